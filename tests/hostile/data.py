"""Arrays that mean harm: bombs, pickles, heads that lie, values that are no pixels and labels that are no classes."""

from __future__ import annotations

import gzip
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.engine.data_files import idx
from tests.hostile.base import SIZE, arrays, inspect, model, save
from tests.hostile.case import Case, Place
from tests.hostile_text import EVIL

Built = Callable[[Place], bytes]
_PIECE = 1 << 24


def deflated(size: int) -> tuple[bytes, int]:
    """(a raw deflate stream that unfolds to about so many zeros, how many); quick, as one piece is repeated."""
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    piece = pack.compress(bytes(_PIECE)) + pack.flush(zlib.Z_FULL_FLUSH)
    count = max(size // _PIECE, 1)
    return piece * count + pack.flush(zlib.Z_FINISH), count * _PIECE


def inflating(name: str, size: int, said: int, head: bytes = b"") -> bytes:
    """A zip file with one member that unfolds to `size` bytes and says that it has `said`."""
    stream, _ = deflated(size)
    if head:  # stored blocks come before: deflate may mix them
        stream = b"\0" + struct.pack("<HH", len(head), len(head) ^ 0xFFFF) + head + stream
    sizes = struct.pack("<QQ", said, len(stream))
    extra = struct.pack("<HH", 1, 16) + sizes
    common = struct.pack("<HHHHHIII", 45, 0, 8, 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF)
    encoded = name.encode()
    local = b"PK\3\4" + common + struct.pack("<HH", len(encoded), len(extra)) + encoded + extra + stream
    entry = (
        b"PK\1\2" + struct.pack("<H", 45) + common + struct.pack("<HHHHHII", len(encoded), len(extra), 0, 0, 0, 0, 0)
    )
    entry += encoded + extra
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


def npy(shape: tuple[int, ...], kind: str = "|u1") -> bytes:
    """The head of an array."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def _bomb(said: int, shape: tuple[int, ...]) -> Built:
    """A bomb for x, with ordinary labels beside it."""
    return lambda _: inflating("x.npy", said, said, npy(shape))


def _npz(**changed: Any) -> Built:
    def made(place: Place) -> bytes:
        buffer = io.BytesIO()
        values = arrays() | {name: make(place) if callable(make) else make for name, make in changed.items()}
        np.savez(buffer, **{name: value for name, value in values.items() if value is not None}, allow_pickle=True)
        return buffer.getvalue()

    return made


def _objects(place: Place) -> Any:
    """What leaves a canary where it is unpickled."""
    from tests.hostile.pickles import Evil

    found = np.empty(12, object)
    found[:] = [Evil(place.canary)] * 12
    return found


def _member(name: str, content: bytes) -> Built:
    """One member as it is, beside the rest."""

    def made(place: Place) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for key, value in arrays().items():
                inner = io.BytesIO()
                np.save(inner, value)
                archive.writestr(f"{key}.npy", content if f"{key}.npy" == name else inner.getvalue())
            if name not in ("x.npy", "y.npy"):
                archive.writestr(name, content)
        return buffer.getvalue()

    return made


def _flipped(seed: int) -> Built:
    def made(place: Place) -> bytes:
        content, rng = bytearray(_npz()(place)), np.random.default_rng(seed)
        for at in rng.integers(0, len(content), 6):
            content[at] ^= 1 << int(rng.integers(8))
        return bytes(content)

    return made


def _many(_: Place) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(30_000):
            archive.writestr(f"{number}{EVIL['esc']}.npy", b"")
    return buffer.getvalue()


X = arrays()["x"]
NPZ: dict[str, tuple[str, Built]] = {
    "bomb-9gb": ("9 MB that unfold to 9 GB", _bomb(9 * 10**9, (140_000_000, 64))),
    "bomb-small": ("a bomb that says it is small", lambda _: inflating("x.npy", 8 * 10**9, 1000, npy((12, 1, 8, 8)))),
    "objects-x": ("images that are pickled code", _npz(x=_objects)),
    "objects-y": ("labels that are pickled code", _npz(y=_objects)),
    "objects-names": ("class names that are pickled code", _npz(class_names=_objects)),
    "record": ("records in the place of numbers", _npz(x=np.zeros(12, [("a", "f4"), ("b", "f4")]))),
    "lies": ("a shape of 2^40 images", _member("x.npy", npy((1 << 40, 8, 8)) + bytes(100))),
    "lies-negative": ("a shape below zero", _member("x.npy", npy((-12, 8, 8)) + bytes(1000))),
    "lies-empty": ("a shape of nothing but a huge axis", _member("x.npy", npy((0, 1 << 62)))),
    "code-head": ("code in a head", _member("x.npy", npy(("__import__('os').system('touch $CANARY')",)))),  # type: ignore[arg-type]
    "python-2": ("a head that is no Python at all", _member("x.npy", npy((1,)).replace(b"(1,)", b"(1,L"))),
    "head-long": ("a head of 60,000 letters", _member("x.npy", npy(tuple([1] * 20_000)))),
    "version-9": ("a format of the year 9999", _member("x.npy", b"\x93NUMPY\x09\x00" + bytes(100))),
    "up": ("a member above its folder", _member("../../x.npy", b"")),
    "many": ("30,000 members with ESC in their names", _many),
    "zip-empty": ("an archive of nothing", lambda _: b"PK\5\6" + bytes(18)),
    "cut": ("half of a file", lambda place: _npz()(place)[:500]),
    "pixels-nan": ("images of NaN", _npz(x=X * np.nan)),
    "pixels-inf": ("an infinite pixel", _npz(x=np.where(X.max() == X, np.inf, X))),
    "pixels-huge": ("pixels of 10^300", _npz(x=X.astype(float) * 1e300)),
    "pixels-complex": ("complex pixels", _npz(x=X * 1j)),
    "pixels-text": ("texts in the place of pixels", _npz(x=X.astype("U8"))),
    "pixels-other": ("images of another size", _npz(x=np.zeros((12, 1, 9, 9)))),
    "pixels-none": ("no image", _npz(x=X[:0], y=np.zeros(0, int))),
    "pixels-flat": ("one number", _npz(x=np.float32(1))),
    "labels-high": ("labels beyond the classes", _npz(y=np.full(12, 99))),
    "labels-low": ("labels below zero", _npz(y=np.full(12, -1))),
    "labels-nan": ("labels of NaN", _npz(y=np.full(12, np.nan))),
    "labels-half": ("labels between classes", _npz(y=np.full(12, 0.5))),
    "labels-huge": ("labels of 2^64", _npz(y=np.full(12, 2**64 - 1, np.uint64))),
    "labels-1e300": ("labels of 10^300", _npz(y=np.full(12, 1e300))),
    "labels-few": ("fewer labels than images", _npz(y=np.zeros(3, int))),
    "labels-soft": ("labels that are mixed", _npz(y=np.full((12, 3), 0.3))),
    "labels-none": ("no labels", _npz(y=None)),
    "names-esc": ("class names with ESC", _npz(class_names=np.array([EVIL["esc"] + str(n) for n in range(5)]))),
}
RAMP = np.arange(768, dtype=np.uint8).reshape(12, 8, 8)
IDX: dict[str, tuple[str, Built]] = {
    "fewer": ("fewer bytes than it says", lambda _: idx(np.zeros((12, 8, 8), np.uint8))[:100]),
    "more": ("more bytes than it says", lambda _: idx(np.zeros((12, 8, 8), np.uint8)) + bytes(100)),
    "huge": ("a shape of 2^96", lambda _: bytes([0, 0, 8, 3]) + b"\xff" * 12),
    "7gb": ("a shape of 7 GB in 16 bytes", lambda _: bytes([0, 0, 8, 3]) + struct.pack(">III", 110_000_000, 8, 8)),
    "axes-255": ("255 axes", lambda _: bytes([0, 0, 8, 255]) + b"\0\0\0\1" * 255 + b"x"),
    "axes-0": ("no axis", lambda _: bytes([0, 0, 8, 0])),
    "zeros": ("255 axes of nothing", lambda _: bytes([0, 0, 8, 255]) + bytes(4 * 255)),
    "kind": ("a kind that is none", lambda _: bytes([0, 0, 0x77, 3]) + struct.pack(">III", 12, 8, 8) + bytes(768)),
    "gzip-bomb": ("7 MB that unfold to 7 GB", lambda _: b"\x1f\x8b\x08" + bytes(7) + deflated(7 * 10**9)[0] + bytes(8)),
    "gzip-cut": ("half of a packed file", lambda _: gzip.compress(idx(RAMP))[:120]),
}


def _as_npz(made: Built, name: str = "d.npz") -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        (place.given / name).write_bytes(made(place))
        return inspect(place, data=place.given / name)

    return make


def _as_idx(made: Built) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        (place.given / "t10k-images-idx3-ubyte").write_bytes(made(place))
        (place.given / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(12, np.uint8)))
        return inspect(place, data=place.given / "t10k-images-idx3-ubyte")

    return make


def _odd(kind: str) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        path: Path = place.given / "d.npz"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        elif kind == "beside":  # found without being asked for
            (place.given / "m.npz").symlink_to("/dev/zero")
            return inspect(place, save(place.given / "m.onnx", model()))
        elif kind == "labels":
            (place.given / "t10k-images-idx3-ubyte").write_bytes(idx(np.zeros((12, 8, 8), np.uint8)))
            (place.given / "t10k-labels-idx1-ubyte").symlink_to("/dev/zero")
            return inspect(place, data=place.given)
        else:
            with path.open("wb") as file:
                file.truncate(10**12)
        return inspect(place, data=path)

    return make


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, made) in NPZ.items():
        yield Case(f"npz/{name}", tries, _as_npz(made), codes=(0, 2) if name == "up" else (2,))
    for seed in range(4):
        yield Case(f"npz/flip-{seed}", "bits flipped at random", _as_npz(_flipped(seed)), codes=(0, 2))
    for name, (tries, made) in IDX.items():
        yield Case(f"idx/{name}", tries, _as_idx(made))
    for kind, tries in {"pipe": "a named pipe", "device": "a device", "holes": "a terabyte of holes"}.items():
        yield Case(f"npz/{kind}", tries, _odd(kind))
    yield Case("npz/beside", "a device beside the model", _odd("beside"), codes=(0, 2))
    yield Case("idx/labels", "labels that are a link to a device", _odd("labels"))


assert SIZE == 8  # what the shapes above go with
