"""Files that are none: never waited for, never larger than what they may be, and said in words."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from robusteval import plain
from robusteval.plain import NotPlainError, odd, read_plain


def strange(kind: str, folder: Path) -> Path:
    """Something at a path that is no file, or one of a terabyte of holes."""
    path = folder / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            os.chdir(folder)  # a socket's name may have 100 letters
            made.bind(kind)
    elif kind == "device":
        return Path("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "link-to-pipe":
        os.mkfifo(folder / "real")
        path.symlink_to(folder / "real")
    elif kind == "holes":
        with path.open("wb") as file:
            file.truncate(10**12)
    return path


@pytest.fixture(autouse=True)
def _back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("pipe", "a named pipe"),
        ("socket", "a socket"),
        ("device", "a device"),
        ("folder", "a folder"),
        ("link-to-pipe", "a named pipe"),
        ("holes", "memory left"),
    ],
)
def test_what_is_no_file_is_refused_at_once(kind: str, said: str, tmp_path: Path) -> None:
    path = strange(kind, tmp_path)
    with pytest.raises(OSError, match=said):
        read_plain(path)
    if kind != "holes":
        assert said in odd(path)
    with pytest.raises(OSError, match=said if kind != "holes" else "more than the limit of 100"):
        read_plain(path, 100)


def test_a_file_is_read_and_a_larger_one_is_not(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 10)
    assert read_plain(path, 10) == b"x" * 10
    assert odd(path) == odd(tmp_path / "nothing") == odd(tmp_path / ("n" * 5000)) == ""
    with pytest.raises(NotPlainError, match="10 bytes, more than the limit of 9"):
        read_plain(path, 9)
    with pytest.raises(FileNotFoundError):
        read_plain(tmp_path / "nothing")
    with pytest.raises(OSError, match="null byte"):
        read_plain(Path("a\0b"))


def test_a_file_that_has_more_than_it_says() -> None:
    with pytest.raises(NotPlainError, match="more than 10 bytes"):
        read_plain(Path("/proc/self/status"), 10)  # its size is said to be 0


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    pipe = strange("pipe", tmp_path)
    for _ in range(5):
        with pytest.raises(NotPlainError):
            read_plain(pipe)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() < 50


def test_memory_is_what_is_least(monkeypatch: pytest.MonkeyPatch) -> None:
    left = plain.memory()
    assert left is not None
    assert 10**7 < left < 10**14
    for name, value in (("_machine", 7e9), ("_group", 5e9), ("_allowed", 6e9)):
        monkeypatch.setattr(plain, name, lambda value=value: value)
    assert plain.memory() == 5e9
    for name in ("_machine", "_group", "_allowed"):
        monkeypatch.setattr(plain, name, lambda: None)
    assert plain.memory() is None


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0.0 kB"), (1500, "1.5 kB"), (2.5e6, "2.5 MB"), (1.024e9, "1.0 GB"), (1e12, "1.0 TB")]
)
def test_sizes_in_words(count: float, said: str) -> None:
    assert plain.size(count) == said


@pytest.mark.parametrize("names", [("memory.max", "memory.current", "memory.stat"), None])
def test_the_cache_of_files_is_free_memory(names: tuple[str, str, str] | None, tmp_path: Path) -> None:
    first, used, detail = names or (
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
    )
    assert plain._group(tmp_path) is None
    (tmp_path / "memory").mkdir()
    (tmp_path / first).write_text("1000\n")
    (tmp_path / used).write_text("900\n")
    (tmp_path / detail).write_text("anon 300\nactive_file 200\ninactive_file 400\n")
    assert plain._group(tmp_path) == 700
    (tmp_path / first).write_text("max\n" if names else f"{2**63 - 4096}\n")
    assert plain._group(tmp_path) is None
