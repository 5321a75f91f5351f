"""Reading a file that somebody named: a plain one, of a bounded size, and never one that waits.

A pipe, a socket or a device in the place of a file makes a reader wait for ever, or takes all memory, whatever its size
says. So what is opened is looked at first, and opened in a way that does not wait.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import IO

LARGEST = 1 << 40  # bytes of any file that is read as a whole
_UNLIMITED = 2.0**60  # what version 1 says where there is no limit
SMALL = 64 << 20  # bytes for which nobody asks what memory there is
_BLOCK = 1 << 20
# not every system has all of them
_FLAGS = sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
}


class NotPlainError(OSError):
    """Something else than a file stands there, or it is larger than it may be; `strerror` says so."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EINVAL, why, str(path))

    def __str__(self) -> str:
        return str(self.strerror)


def odd(path: Path) -> str:
    """What stands at a path in the place of a file: "a named pipe", "a folder"; "" for a file, and for nothing."""
    try:
        return _KINDS.get(stat.S_IFMT(path.stat().st_mode), "")
    except (OSError, ValueError):
        return ""


def real(path: Path) -> Path:
    """Where a path leads when all links are followed. Of links that go round it is one of them, and no error."""
    return Path(os.path.realpath(path))


def opened(path: Path, most: int, follow: bool = True) -> IO[bytes]:
    """The file, opened for reading without waiting. follow: it may be a link, as one that the user gave; not in a
    folder that a stranger made. Raises OSError, as NotPlainError where it is none or has more than `most` bytes."""
    if not follow and path.is_symlink():  # where the system cannot refuse it, and for its own words
        raise NotPlainError(path, "it is a link")
    try:
        handle = os.open(path, os.O_RDONLY | _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except ValueError as error:  # a zero byte in its name
        raise NotPlainError(path, f"{error}") from None
    except OSError:  # as of a socket, which cannot be opened at all
        if what := odd(path):
            raise NotPlainError(path, f"it is {what}, not a file") from None
        raise
    try:
        facts = os.fstat(handle)
        if not stat.S_ISREG(facts.st_mode):
            raise NotPlainError(path, f"it is {_KINDS.get(stat.S_IFMT(facts.st_mode), 'something')}, not a file")
        if facts.st_size > most:
            raise NotPlainError(path, f"it has {facts.st_size:,} bytes, more than the limit of {most:,}")
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_plain(path: Path, most: int = LARGEST, follow: bool = True) -> bytes:
    """The bytes of a file. Raises OSError as `opened` does, and where it is larger than what memory is left."""
    with opened(path, most, follow) as file:
        there = os.fstat(file.fileno()).st_size
        left = memory() if there > SMALL else None
        if left is not None and there > left:
            raise NotPlainError(path, f"it has {size(there)}, and there are {size(left)} of memory left")
        found = file.read(min(there, most) + 1)  # room for so many bytes is made at once
        while len(found) <= most and (more := file.read(_BLOCK)):
            found += more
    if len(found) > most:  # it grew while it was read, or says less than it has
        raise NotPlainError(path, f"it has more than {most:,} bytes")
    return found


def in_words(error: Exception) -> str:
    """What is wrong with a file, without its name."""
    return str(getattr(error, "strerror", None) or error)


def memory() -> float | None:
    """Bytes that this process may still take, by the machine, its control group and `ulimit -v`; None where nobody
    knows."""
    known = [left for left in (_machine(), _group(), _allowed()) if left is not None]
    return min(known) if known else None


def size(count: float) -> str:
    """Bytes in words: 1.5 GB."""
    for unit, power in (("TB", 4), ("GB", 3), ("MB", 2)):
        if count >= 1000**power:
            return f"{count / 1000**power:,.1f} {unit}"
    return f"{count / 1000:,.1f} kB"


def address_space() -> float | None:
    """The limit on this process's address space (`ulimit -v`), in bytes; None where there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if most == resource.RLIM_INFINITY else float(most)


def _allowed() -> float | None:
    most = address_space()
    if most is None:
        return None
    taken = _line("/proc/self/status", "VmSize:")
    return most if taken is None else max(most - taken, 0.0)


def _machine() -> float | None:
    return _line("/proc/meminfo", "MemAvailable:")


def _line(file: str, name: str) -> float | None:
    """A size of a file in which the kernel tells in kB."""
    try:
        rows = Path(file).read_text(encoding="ascii", errors="replace").splitlines()
        return next((float(row.split()[1]) * 1024 for row in rows if row.startswith(name)), None)
    except (OSError, ValueError, IndexError):
        return None


def _group(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """What the control group leaves, version 2 or 1; the cache of files counts as free, as the kernel gives it up."""
    for most, used, detail in (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ):
        try:
            limit, taken = (float((root / name).read_text(encoding="ascii")) for name in (most, used))
            rows = (row.split() for row in (root / detail).read_text(encoding="ascii").splitlines())
            cached = sum(float(row[1]) for row in rows if row[0] in ("active_file", "inactive_file"))
        except (OSError, ValueError, IndexError):  # "max", or another version
            continue
        if limit < _UNLIMITED:
            return max(limit - max(taken - cached, 0.0), 0.0)
    return None
