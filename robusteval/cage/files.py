"""Reading a file in a folder that a stranger made: a plain one of a bounded size, through no link, and no device that
never ends."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_plain(path: Path, most: int, follow: bool = False) -> bytes:
    """The bytes of a regular file of at most so many. follow: the last part of the path may be a link, as in one that
    the user gave. Raises OSError, with words in `strerror`, for anything else."""
    flags = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    if not follow:
        flags |= getattr(os, "O_NOFOLLOW", 0)
        if path.is_symlink():  # where the system cannot refuse it, and for its own words
            raise OSError(None, "it is a link")
    with os.fdopen(os.open(path, flags), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise OSError(None, "it is no plain file")
        if facts.st_size > most:
            raise OSError(None, f"it is larger than {most >> 20} MiB")
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(None, f"it is larger than {most >> 20} MiB")
    return content


def in_words(error: Exception) -> str:
    """What is wrong with a file, without its name."""
    return str(getattr(error, "strerror", None) or error)
