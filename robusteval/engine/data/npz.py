"""Labelled images as they were stored, and `.npz` files of them. Hostile files end in a DataError."""

from __future__ import annotations

import lzma
import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from robusteval.contracts.plugins import Split
from robusteval.engine.data import images as stored
from robusteval.engine.data.images import Array, Images, Placed, pieces, spilled
from robusteval.errors import DataError

__all__ = ["Array", "RawData", "check_limit", "npz_keys", "read_npz", "readable"]

LIMIT = 8 * 2**30  # bytes that one data file may unpack to
LAYOUTS = ("", "NCHW", "NHWC")
NPZ_HINT = "Write it with numpy.savez(path, x=images, y=labels): numbers only, one label per image."
_PAIRS = {"test": (("x_test", "y_test"), ("x", "y")), "fit": (("x_train", "y_train"), ("x", "y"))}
_TROUBLE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    LookupError,
    MemoryError,
    OverflowError,
    SyntaxError,
    TypeError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    SystemError,
)
# numpy takes heads that are no Python apart as those of Python 2, with Python's own tokeniser
_PACKING = (struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tokenize.TokenError)
TROUBLE = (*_TROUBLE, *_PACKING)  # what readers raise at damaged files


@dataclass(frozen=True)
class RawData:
    """Images and labels as they were stored: nothing scaled, reordered or checked against a model yet.

    images: [N, ...] of numbers, an array or what is read row by row; labels: [N] or one-hot [N, K]; layout: "NCHW" or
    "NHWC" where the file says it, else "".
    """

    images: Images
    labels: Array
    class_names: tuple[str, ...] = ()
    name: str = ""
    source: str = ""
    layout: str = ""
    names: tuple[str, ...] = ()  # of each image's file, below the folder; () where they come from one file
    notes: tuple[str, ...] = ()  # what the reader did to the pixels, for the report

    def __len__(self) -> int:
        return len(self.images)


@contextmanager
def readable(path: Path, hint: str) -> Iterator[None]:
    """Turns whatever a damaged or hostile file makes the standard readers raise into one DataError that names it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a reader's remark about an odd file is of no use to the user
            yield
    except DataError:
        raise
    except TROUBLE as trouble:
        raise unreadable(path.name, trouble, hint) from trouble


def unreadable(name: str, trouble: BaseException, hint: str) -> DataError:
    """What to say of a file, or of an image in it, that a reader stumbled over."""
    reason = " ".join(str(trouble).split())[:200] or type(trouble).__name__
    return DataError(f"{name} cannot be read: {reason.rstrip('.')}.", hint)


def check_limit(size: int, limit: int, path: Path) -> None:
    """Raises DataError when a file says that it unpacks to more bytes than the limit."""
    if size > limit:
        raise DataError(
            f"{path.name} unpacks to {size / 2**30:.3g} GiB; the limit is {limit / 2**30:.3g} GiB.",
            "Store fewer samples: a robustness evaluation rarely needs more than a few thousand.",
        )


def npz_keys(path: Path) -> list[str]:
    """The names of the arrays in an `.npz` file. Raises DataError when it is not one."""
    with readable(path, NPZ_HINT), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def read_npz(path: Path, split: Split = "test", limit: int = LIMIT) -> RawData:
    """Images and labels of an `.npz` file: x_test, y_test or x, y (fit: x_train, y_train, else x, y of a file that
    holds nothing but those); class_names and layout if there.

    `limit` is in bytes, checked against the zip directory before anything is unpacked. Raises DataError.
    """
    keys = npz_keys(path)
    x_key, y_key = _pair(path, keys, split)
    requested = [x_key, y_key, *(key for key in ("class_names", "layout") if key in keys)]
    with readable(path, NPZ_HINT), zipfile.ZipFile(path) as archive:
        check_limit(sum(archive.getinfo(key + ".npy").file_size for key in requested), limit, path)
        arrays = {key: _read_member(archive, key, path) for key in requested[1:]}
        images = _images(archive, x_key, path)
    return RawData(
        images=images,
        labels=arrays[y_key],
        class_names=_names(arrays.get("class_names"), path),
        name=path.stem,
        source=str(path),
        layout=_layout(arrays.get("layout"), path),
    )


def _pair(path: Path, keys: list[str], split: Split) -> tuple[str, str]:
    found = [pair for pair in _PAIRS[split] if pair[0] in keys]
    if split == "fit" and len(found) > 1:
        found = found[:1]  # x, y beside x_train, y_train are what is to be attacked, as README says
    shown = ", ".join(sorted(keys)[:12])[:200] or "nothing"
    if not found:
        first, second = _PAIRS[split]
        raise DataError(
            f"{path.name} has no array named {first[0]} or {second[0]}; it has {shown}.",
            f"Name the images {second[0]} (or {first[0]}) and their labels {second[1]} (or {first[1]}).",
        )
    if len(found) > 1:
        raise DataError(
            f"{path.name} has both {found[0][0]} and {found[1][0]}, so it is not clear which images are meant.",
            "Keep one of the two.",
        )
    if found[0][1] not in keys:
        raise DataError(f"{path.name} has {found[0][0]} but no {found[0][1]}; it has {shown}.", NPZ_HINT)
    return found[0]


@dataclass(frozen=True)
class _Header:
    """What a member says of itself, and where its values begin."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    start: int

    @property
    def size(self) -> int:
        """Bytes of its values."""
        return math.prod(self.shape) * self.dtype.itemsize


def _read_member(archive: zipfile.ZipFile, key: str, path: Path) -> Array:
    """One array. The header is checked first: numpy would allocate whatever shape it claims."""
    _header(archive, key, path)
    with archive.open(key + ".npy") as file:
        return np.asarray(npy.read_array(file, allow_pickle=False))


def _images(archive: zipfile.ZipFile, key: str, path: Path) -> Images:
    """The images: whole where they are few, else by their place in the file, or in a temporary one where it is packed.

    Columns before rows, as Fortran has them, are turned in memory: rows of such a file lie nowhere together.
    """
    header, info = _header(archive, key, path), archive.getinfo(key + ".npy")
    if header.size <= stored.SMALL or header.fortran or len(header.shape) < 2:
        return _read_member(archive, key, path)
    if info.compress_type == zipfile.ZIP_STORED and not info.flag_bits & 1:
        with path.open("rb") as file:
            file.seek(info.header_offset)
            mark, name, extra = struct.unpack("<4s22xHH", file.read(30))
        start = info.header_offset + 30 + name + extra + header.start
        if mark != b"PK\3\4" or start + header.size > path.stat().st_size:
            raise DataError(f"{path.name} is cut short, or its directory is wrong.", NPZ_HINT)
        return Placed(path.absolute(), start, header.dtype, header.shape)
    with archive.open(info) as file:
        file.read(header.start)
        found = spilled(pieces(file.read, header.size), header.dtype, header.shape)
    if found.path.stat().st_size != header.size:
        raise DataError(f"{key} in {path.name} claims the shape {header.shape} but holds fewer bytes.", NPZ_HINT)
    return found


def _header(archive: zipfile.ZipFile, key: str, path: Path) -> _Header:
    """Raises DataError for one that nobody may believe."""
    info = archive.getinfo(key + ".npy")
    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):  # (3, 0) is for field names that are not latin-1: structured arrays only
            raise DataError(f"{key} in {path.name} is stored in the unknown format {version}.", NPZ_HINT)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(file)
        start = file.tell()
    if dtype.hasobject or dtype.names is not None:
        raise DataError(
            f"{key} in {path.name} holds Python objects or records, which are never loaded: they can run code.",
            NPZ_HINT,
        )
    header = _Header(shape, fortran, dtype, start)
    if min(shape, default=0) < 0 or header.size > info.file_size:
        raise DataError(f"{key} in {path.name} claims the shape {shape} but holds fewer bytes than that.", NPZ_HINT)
    return header


def _names(array: Array | None, path: Path) -> tuple[str, ...]:
    if array is None:
        return ()
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise DataError(f"class_names in {path.name} is not a list of texts.", 'Store class_names=["cat", "dog"].')
    try:
        return tuple(name.decode("utf-8") if isinstance(name, bytes) else str(name) for name in array.tolist())
    except (UnicodeDecodeError, SystemError) as error:  # the latter of letters beyond Unicode
        raise DataError(
            f"class_names in {path.name} holds what is no text.", 'Store class_names=["cat", "dog"].'
        ) from error


def _layout(array: Array | None, path: Path) -> str:
    try:
        layout = "" if array is None else str(array)
    except (UnicodeDecodeError, SystemError):
        layout = "no text"
    if layout not in LAYOUTS:
        raise DataError(f"layout in {path.name} is {layout[:20]!r}.", "Store layout='NCHW' or layout='NHWC'.")
    return layout
