"""IDX files, gzipped or not: the format that MNIST and its kin are published in."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path
from typing import IO, cast

import numpy as np

from robusteval.contracts.plugins import Split
from robusteval.engine.data import images as stored
from robusteval.engine.data.images import PIECE, Images, Placed, pieces, spilled
from robusteval.engine.data.npz import LIMIT, RawData, check_limit, readable
from robusteval.errors import DataError

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PARTS = {"test": ("t10k", "test"), "fit": ("train",)}
HINT = "Give the images file (named ...images...), with its labels file (named ...labels...) in the same folder."


def holds_idx(folder: Path) -> bool:
    """Whether a folder holds IDX images files."""
    return bool(_images_in(folder))


def read_idx(path: Path, split: Split = "test", limit: int = LIMIT) -> RawData:
    """The pair that an images file belongs to, or a folder's pair for that split (its only pair, if it has one).

    Raises DataError; `limit` is in bytes, checked against the header before the content is read.
    """
    images_path = _choose(path, split) if path.is_dir() else path
    labels_path = _labels_of(images_path)
    images, labels = _read(images_path, limit), np.asarray(_read(labels_path, limit))
    if images.ndim < 2 or labels.ndim != 1:
        raise DataError(
            f"{images_path.name} has {images.ndim} axes and {labels_path.name} has {labels.ndim}; images need 2 or "
            "more and labels 1.",
            HINT,
        )
    return RawData(images, labels, name=images_path.name.split(".")[0], source=str(images_path))


def idx_splits(folder: Path) -> bool:
    """Whether a folder holds both a part to attack and a part to learn from."""
    return all(_named(_images_in(folder), split) for split in ("test", "fit"))


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and not path.name.startswith(".") and "images" in path.name and "idx" in path.name
    )


def _named(files: list[Path], split: str) -> list[Path]:
    return [path for path in files if any(part in path.name.lower() for part in _PARTS[split])]


def _choose(folder: Path, split: Split) -> Path:
    files = _images_in(folder)
    fitting = files if len(files) == 1 else _named(files, split)
    stems = {path.name.removesuffix(".gz") for path in fitting}
    if len(stems) != 1:
        names = ", ".join(path.name for path in files[:8])
        raise DataError(
            f"{folder.name} holds {len(files)} images files and {len(stems)} of them are named after the {split} part: "
            f"{names}.",
            "Give the images file itself instead of the folder.",
        )
    return fitting[0]


def _labels_of(images: Path) -> Path:
    """The labels file beside an images file, gzipped or not. Raises DataError when there is none."""
    if "images" not in images.name:
        raise DataError(f"{images.name} is not named as an IDX images file, so its labels cannot be found.", HINT)
    name = images.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    plain = name.removesuffix(".gz")
    for candidate in (name, plain, plain + ".gz"):
        if (images.parent / candidate).is_file():
            return images.parent / candidate
    raise DataError(f"There are no labels for {images.name}: {plain} is not beside it.", HINT)


def _read(path: Path, limit: int) -> Images:
    """What one IDX file holds; its length must be exactly what its header says. Large ones stay on disk, unpacked to a
    temporary file where they are packed."""
    with readable(path, HINT), _open(path) as file:
        start = file.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES or start[3] == 0:
            raise DataError(f"{path.name} does not start as an IDX file does.", HINT)
        dtype = np.dtype(_TYPES[start[2]])
        shape = struct.unpack(f">{start[3]}I", file.read(4 * start[3]))
        size = math.prod(shape) * dtype.itemsize
        check_limit(size, limit, path)
        found: Images
        if size <= stored.SMALL or len(shape) < 2:
            content = _exactly(file, size)
            _check_length(path, len(content), size, shape)
            found = np.frombuffer(content, dtype).reshape(shape)
        elif isinstance(file, gzip.GzipFile):
            unpacked = spilled(pieces(file.read, size + 1), dtype, shape)
            _check_length(path, unpacked.path.stat().st_size, size, shape)
            found = unpacked
        else:
            found = Placed(path.absolute(), 4 + 4 * len(shape), dtype, shape)
            _check_length(path, path.stat().st_size - found.offset, size, shape)
        return found


def _check_length(path: Path, there: int, size: int, shape: tuple[int, ...]) -> None:
    if there != size:
        raise DataError(
            f"{path.name} says that it holds {size} bytes of shape {shape}, but holds "
            f"{'fewer' if there < size else 'more'}.",
            "Fetch it again.",
        )


def _open(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[bytes], gzip.open(path)) if packed else path.open("rb")


def _exactly(file: IO[bytes], size: int) -> bytearray:
    """Up to size + 1 bytes, in pieces: one read of `size` would set aside whatever the header claims."""
    content = bytearray()
    while len(content) <= size and (piece := file.read(min(PIECE, size + 1 - len(content)))):
        content += piece
    return content
