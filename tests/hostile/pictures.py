"""Folders of pictures, and Parquet files of them: bombs, links, pipes, odd names, damaged or of odd columns."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.hostile.base import SIZE, inspect
from tests.hostile.case import Case, Place
from tests.hostile_text import EVIL

Built = Callable[[Path], object]


def picture(kind: str = "PNG", size: tuple[int, int] = (SIZE, SIZE), mode: str = "L") -> bytes:
    """A grey picture."""
    buffer = io.BytesIO()
    Image.new(mode, size, 100 if mode == "L" else None).save(buffer, kind)
    return buffer.getvalue()


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _png(width: int, height: int, *more: bytes, data: bytes = b"\0") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", head)
        + b"".join(more)
        + _chunk(b"IDAT", zlib.compress(data))
        + _chunk(b"IEND", b"")
    )


def _folder(name: str, made: bytes | Built) -> Callable[[Place], list[object]]:
    """A folder of two classes, with something odd in one of them."""

    def make(place: Place) -> list[object]:
        home = place.given / "d"
        for label in ("0", "1"):
            (home / label).mkdir(parents=True)
            for number in range(6):
                (home / label / f"{number}.png").write_bytes(picture())
        path = home / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(made, bytes):
            path.write_bytes(made)
        else:
            made(path)
        return inspect(place, data=home)

    return make


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _passwords(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _elsewhere(path: Path) -> None:
    other = path.parent.parent.parent.parent / "elsewhere"
    other.mkdir(parents=True, exist_ok=True)
    (other / "0.png").write_bytes(picture())
    path.symlink_to(other)


def _surrogate(path: Path) -> None:
    Path(os.fsdecode(os.fsencode(path.parent) + b"/\xff\xfe.png")).write_bytes(picture())


TEXT = _chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000)))
FOLDERS: dict[str, tuple[str, str, bytes | Built, tuple[int, ...]]] = {
    "bomb": ("a picture of 60,000 x 60,000", "0/b.png", _png(60_000, 60_000), (2,)),
    "bomb-2": ("a picture of 8,000 x 8,000 in 70 bytes", "0/b.png", _png(8000, 8000), (2,)),
    "text": ("a picture with 200 MB of packed text", "0/b.png", _png(8, 8, TEXT, data=b"\0" * 72), (0, 2)),
    "chunk": ("a picture with a part of 2^31 bytes", "0/b.png", _png(8, 8)[:33] + b"\x7f\xff\xff\xffIDAT", (2,)),
    "jpeg-cut": ("a cut JPEG", "0/b.jpg", picture("JPEG")[:200], (2,)),
    "png-cut": ("a cut PNG", "0/b.png", picture()[:50], (2,)),
    "webp-cut": ("a cut WebP", "0/b.webp", picture("WEBP")[:30], (2,)),
    "tiff": (
        "a TIFF with wild tags",
        "0/b.tiff",
        b"II*\0\x08\0\0\0\x04\0" + b"\xff\x01\x04\0\xff\xff\xff\x7f\0\0\0\0" * 4,
        (2,),
    ),
    "eps": (
        "PostScript that is named .png",
        "0/b.png",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(%pipe%touch x) (w) file\n",
        (2,),
    ),
    "text-file": ("text that is named .png", "0/b.png", b"no picture", (2,)),
    "empty": ("no byte at all", "0/b.png", b"", (2,)),
    "size": ("a picture of another size", "0/b.png", picture(size=(9, 9)), (2,)),
    "alpha": ("a picture that one sees through", "0/b.png", picture(mode="RGBA"), (2,)),
    "link": ("a link to the passwords", "0/b.png", _passwords, (2,)),
    "device": ("a link to a device", "0/b.png", _device, (2,)),
    "pipe": ("a named pipe", "0/b.png", os.mkfifo, (0, 2)),
    "loop": ("a link to itself", "0/b.png", lambda path: path.symlink_to("b.png"), (0, 2)),
    "class-link": ("a class that is a link elsewhere", "2", _elsewhere, (2,)),
    "class-loop": ("a class that is a link to its folder", "2", lambda path: path.symlink_to("."), (0, 2)),
    "class-empty": ("a class without pictures", "2", lambda path: path.mkdir(), (2,)),
    "class-99": ("a class beyond the model's", "99/0.png", picture(), (2,)),
    "name-esc": (
        "a name with ESC and a line break",
        f"0/{EVIL['esc']}\n.png".replace("/\x1b", "/x\x1b"),
        picture(size=(9, 9)),
        (2,),
    ),
    "name-bytes": ("a name that is no text", "0/b.png", _surrogate, (0, 2)),
    "class-esc": ("a class named with ESC", f"x{EVIL['esc']}/0.png", picture(), (0, 2)),
}


def _table(images: Any, labels: Any, **more: Any) -> bytes:
    buffer = io.BytesIO()
    made = pa.table({"image": images, "label": labels} | more.get("columns", {}))
    pq.write_table(made.replace_schema_metadata(more.get("metadata")), buffer, row_group_size=more.get("rows", 1000))
    return buffer.getvalue()


def _feature(names: object) -> dict[str, str]:
    return {"huggingface": json.dumps({"info": {"features": {"label": {"names": names}}}})}


def _good() -> bytes:
    return _table([picture()] * 12, [0, 1, 2] * 4)


def _flipped(seed: int) -> bytes:
    content, rng = bytearray(_good()), np.random.default_rng(seed)
    for place in rng.integers(0, len(content), 5):
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


PARQUET: dict[str, tuple[str, Callable[[], bytes]]] = {
    "noise": ("random bytes", lambda: b"PAR1" + np.random.default_rng(0).bytes(2000) + b"PAR1"),
    "cut": ("half of a file", lambda: _good()[:600]),
    "foot": ("a foot of 2^31 bytes", lambda: _good()[:-8] + b"\xff\xff\xff\x7fPAR1"),
    "bomb": (
        "an image that comes three million times",
        lambda: _table(pa.array([picture()] * 3_000_000), [0] * 3_000_000, rows=3_000_000),
    ),
    "lists": ("lists in the place of images", lambda: _table([[1.0]] * 12, [0] * 12)),
    "paths": (
        "images that are paths to the passwords",
        lambda: _table([{"bytes": None, "path": "/etc/passwd"}] * 12, [0] * 12),
    ),
    "labels-text": ("labels that are texts", lambda: _table([picture()] * 12, ["a"] * 12)),
    "labels-none": ("no labels", lambda: _table([picture()] * 12, [None] * 12)),
    "labels-high": ("labels of 2^62", lambda: _table([picture()] * 12, [1 << 62] * 12)),
    "image-none": ("a row without an image", lambda: _table([picture()] * 11 + [None], [0] * 12)),
    "image-bomb": ("a picture of 60,000 x 60,000", lambda: _table([_png(60_000, 60_000)] * 12, [0] * 12)),
    "none": ("no rows", lambda: _table(pa.array([], pa.binary()), pa.array([], pa.int64()))),
    "columns": (
        "columns named with ESC",
        lambda: _table([1], [1], columns={EVIL["esc"]: [1]}).replace(b"image", b"imagf"),
    ),
    "names-esc": (
        "class names with ESC",
        lambda: _table([picture()] * 12, [0] * 12, metadata=_feature([EVIL["esc"]] * 5)),
    ),
    "names-deep": (
        "deep JSON beside",
        lambda: _table([picture()] * 12, [9] * 12, metadata={"huggingface": "[" * 100_000}),
    ),
}


def _file(made: Callable[[], bytes]) -> Callable[[Place], list[object]]:
    def make(place: Place) -> list[object]:
        (place.given / "d.parquet").write_bytes(made())
        return inspect(place, data=place.given / "d.parquet")

    return make


def cases() -> Iterator[Case]:
    """All of them."""
    for name, (tries, at, made, codes) in FOLDERS.items():
        yield Case(f"pictures/{name}", tries, _folder(at, made), codes)
    for name, (tries, content) in PARQUET.items():
        yield Case(f"parquet/{name}", tries, _file(content), (0, 2) if name == "bomb" else (2,), memory=3.5e9)
    for seed in range(4):
        yield Case(f"parquet/flip-{seed}", "bits flipped at random", _file(lambda seed=seed: _flipped(seed)), (0, 2))  # type: ignore[misc]
