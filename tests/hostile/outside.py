"""ONNX files whose weights are said to lie elsewhere: nothing but plain ranges of plain files beside them is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from onnx import TensorProto

from tests.hostile.base import inspect, model, save, weights
from tests.hostile.case import Case, Place, says

Built = Callable[[Place], object]
BYTES = weights().nbytes


def _nothing(_: Place) -> None:
    """No file is made."""


def _model(place: Place, entries: dict[str, str], dims: list[int] | None = None, kind: int = 0) -> Path:
    made = model()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    for key, said in entries.items():
        tensor.external_data.add(key=key, value=said)
    tensor.data_location = TensorProto.EXTERNAL
    if dims is not None:
        del tensor.dims[:]
        tensor.dims.extend(dims)
    tensor.data_type = kind or tensor.data_type
    return save(place.given / "m.onnx", made)


def _file(place: Place, name: str = "w.bin", holes: int = 0) -> Path:
    path = place.given / name
    with path.open("wb") as file:
        file.write(weights().tobytes())
        if holes:
            file.truncate(holes)
    return path


def _secret(place: Place) -> Path:
    path = place.home / "secret.bin"
    path.write_bytes(weights().tobytes())
    return path


def _linked_folder(place: Place) -> None:
    (place.given / "d").symlink_to(place.home)
    _secret(place)


LOCATIONS: dict[str, tuple[str, str, Built]] = {
    "up": ("a file above its folder", "../secret.bin", _secret),
    "up-and-down": ("a file above, by way of a folder", "in/../../secret.bin", _secret),
    "far-up": ("the system's passwords", "../" * 30 + "etc/passwd", _nothing),
    "absolute": ("an absolute path", "/etc/passwd", _nothing),
    "device": ("a device without an end", "/dev/zero", _nothing),
    "stdin": ("what the command itself reads", "/dev/stdin", _nothing),
    "memory": ("the memory of the process", "/proc/self/mem", _nothing),
    "url": ("an address on the network", "https://example.com/w.bin", _nothing),
    "file-url": ("a file by its address", "file:///etc/passwd", _nothing),
    "home": ("a file in the home folder", "~/secret.bin", _nothing),
    "variable": ("a variable of the shell", "$HOME/secret.bin", _nothing),
    "windows": ("a path as Windows has them", "..\\secret.bin", _secret),
    "drive": ("a drive as Windows has them", "C:\\secret.bin", _nothing),
    "empty": ("no name at all", "", _nothing),
    "dot": ("its own folder", ".", _nothing),
    "itself": ("the model's own file", "m.onnx", _nothing),
    "nul": ("a name with a zero byte", "w.bin\0.txt", _file),
    "line": ("a name with a line break and ESC", "w\x1b[2J\nGrade: A", _nothing),
    "long": ("a name of 5,000 letters", "n" * 5000, _nothing),
    "deep": ("a name of 3,000 folders", "a/" * 3000 + "w.bin", _nothing),
    "gone": ("a file that is not there", "w.bin", _nothing),
    "link": ("a link", "w.bin", lambda place: (place.given / "w.bin").symlink_to(_secret(place))),
    "loop": ("a link to itself", "w.bin", lambda place: (place.given / "w.bin").symlink_to("w.bin")),
    "linked-folder": (
        "a file in a folder that is a link",
        "d/secret.bin",
        _linked_folder,
    ),
    "hard-link": ("a hard link", "w.bin", lambda place: os.link(_secret(place), place.given / "w.bin")),
    "pipe": ("a named pipe", "w.bin", lambda place: os.mkfifo(place.given / "w.bin")),
    "folder": ("a folder", "w.bin", lambda place: (place.given / "w.bin").mkdir()),
}
ENTRIES: dict[str, tuple[str, dict[str, str], list[int] | None, int]] = {
    "offset-negative": ("an offset below zero", {"offset": "-8"}, None, 0),
    "offset-word": ("an offset that is a word", {"offset": "zero"}, None, 0),
    "offset-digits": ("an offset of 6,000 digits", {"offset": "9" * 6000}, None, 0),
    "offset-far": ("an offset behind the end", {"offset": str(1 << 40)}, None, 0),
    "length-short": ("a length that is not the shape's", {"length": "4"}, None, 0),
    "length-long": ("a length of 2^63", {"length": str(1 << 63)}, None, 0),
    "dims-huge": ("a shape of 2^62 rows", {}, [1 << 62, 3], 0),
    "dims-negative": ("a shape below zero", {}, [-64, -3], 0),
    "dims-many": ("a shape of 300,000 large axes", {}, [1 << 62] * 300_000, 0),
    "kind": ("texts that lie outside", {}, None, int(TensorProto.STRING)),
}


def _at(location: str, built: Built) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        built(place)
        return inspect(place, _model(place, {"location": location}))

    return make


def _with(entries: dict[str, str], dims: list[int] | None, kind: int) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        _file(place)
        return inspect(place, _model(place, {"location": "w.bin"} | entries, dims, kind))

    return make


def _sparse(size: int, entries: dict[str, str], dims: list[int] | None = None) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        _file(place, holes=size)
        return inspect(place, _model(place, {"location": "w.bin"} | entries, dims))

    return make


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, location, built) in LOCATIONS.items():
        yield Case(f"outside/{name}", f"weights in {tries}", _at(location, built))
    for name, (tries, entries, dims, kind) in ENTRIES.items():
        yield Case(f"outside/{name}", f"weights with {tries}", _with(entries, dims, kind))
    yield Case("outside/7gb", "a file of 7 GB, most of it holes", _sparse(7 * 10**9, {}), (0,), seconds=60)
    yield Case("outside/1tb", "a file of a terabyte of holes", _sparse(10**12, {}), (0,), seconds=60)
    far = _sparse(7 * 10**9, {"offset": str(6 * 10**9)})
    yield Case("outside/7gb-far", "weights 6 GB into a file of holes", far, wrong=says("too far"))
    yield Case("outside/7gb-whole", "weights of 6 GB of holes", _sparse(7 * 10**9, {}, [500_000_000, 3]))
    yield Case("outside/plain", "nothing: plain weights beside it", _with({}, None, 0), (0,))
