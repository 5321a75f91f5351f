"""What is read of a folder that a stranger made."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robusteval.plain import in_words, read_plain


def test_a_plain_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_plain(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, more than the limit of 4"):
        read_plain(path, 4)
    with pytest.raises(OSError, match="No such file"):
        read_plain(tmp_path / "none", 4)
    assert in_words(OSError(2, "No such file", "name")) == "No such file"
    assert in_words(ValueError("odd")) == "odd"


def test_links_devices_pipes_and_folders_are_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "soft").symlink_to(tmp_path / "file")
    (tmp_path / "endless").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for name in ("soft", "endless"):
        with pytest.raises(OSError, match="it is a link"):
            read_plain(tmp_path / name, 100, follow=False)
    assert read_plain(tmp_path / "soft", 100, follow=True) == b"12345"
    for path in (tmp_path / "endless", tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(OSError, match=r"it is (a device|a named pipe|a folder), not a file"):
            read_plain(path, 100, follow=True)
