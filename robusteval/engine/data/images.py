"""Stored images that are read when they are asked for: by their place in a file, or from an array in memory.

Files are read, not mapped: a mapped file that somebody cuts short ends the process with a signal, and no sentence.
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import DataError

Array = NDArray[Any]
SMALL = 8 * 2**20  # bytes of pixels up to which a file is simply read whole, which costs less than asking it often
SENT = 64 * 2**20  # bytes of pixels up to which an array in memory is sent to workers; a larger one goes to a file
PIECE = 16 * 2**20  # bytes that are unpacked at once
CHANGED = (
    "Leave the data as they are while a run is at work. What was finished is kept: with the data as they were, the "
    "same command goes on from there."
)


class Images(Protocol):
    """[N, *shape] of numbers whose rows are read when they are asked for; an array is one."""

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Array:
        """rows: a slice, or whole numbers [n]; gives [n, *shape]. Raises DataError where they cannot be read."""
        ...

    def __array__(self, *args: Any, **options: Any) -> Array:
        """All of them."""
        ...


class Lazy:
    """What all images that are read on demand share. They have `dtype` and `shape`, and `_read`."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Axes, that of the samples too."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Values of all images."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all images once they are read."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any, /) -> Array:
        return self._read(places_of(rows, len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if copy is False:
            raise ValueError("images on disk cannot be had without reading them")
        found = self[:]
        return found if dtype is None else found.astype(dtype)

    def _read(self, places: NDArray[np.int64]) -> Array:
        raise NotImplementedError


@dataclass(frozen=True)
class Placed(Lazy):
    """Rows one after the other in a file that is not packed, from `offset` on. owner: whatever has to live as long."""

    path: Path
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    owner: object = field(default=None, compare=False, repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return Placed, (self.path, self.offset, self.dtype, self.shape)

    def _read(self, places: NDArray[np.int64]) -> Array:
        width = math.prod(self.shape[1:]) * self.dtype.itemsize
        content = np.empty(len(places) * width, np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                for first, run in runs(places):
                    file.seek(self.offset + first * width)
                    _fill(file, content[run.start * width : run.stop * width], self.path)
        except OSError as error:
            raise DataError(f"{self.path.name} cannot be read: {error.strerror or error}.", CHANGED) from None
        return content.view(self.dtype).reshape(len(places), *self.shape[1:])


def places_of(rows: Any, count: int) -> NDArray[np.int64]:
    """int64 [n], all from 0 to count, of a slice, of whole numbers or of booleans [count]."""
    if isinstance(rows, slice):
        return np.arange(*rows.indices(count), dtype=np.int64)
    found = np.asarray(rows)
    if found.dtype == np.bool_:
        return np.flatnonzero(found)
    places = found.astype(np.int64)
    if len(places) and not (places.min() >= 0 and places.max() < count):
        raise IndexError(f"there are {count} images")
    return places


def runs(places: NDArray[np.int64]) -> Iterator[tuple[int, slice]]:
    """Rows as runs of rows that follow one another: (first row, where the run stands among them)."""
    breaks = (np.flatnonzero(np.diff(places) != 1) + 1).tolist()
    for start, stop in zip([0, *breaks], [*breaks, len(places)], strict=True):
        if stop > start:
            yield int(places[start]), slice(start, stop)


def _fill(file: IO[bytes], content: NDArray[np.uint8], path: Path) -> None:
    view, done = content.data, 0
    while done < len(view):
        got: int = file.readinto(view[done:])  # type: ignore[attr-defined]  # a raw file has it
        if not got:
            raise DataError(f"{path.name} is shorter than it was when it was first looked at.", CHANGED)
        done += got


@dataclass(frozen=True, eq=False)
class Held(Lazy):
    """An array in memory. Small ones travel to workers as they are; a larger one is written to a temporary file, once,
    that workers read."""

    array: Array
    file: list[Placed] = field(default_factory=list, compare=False, repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:  # type: ignore[override]  # of the array, so that it is nowhere said twice
        """Of the array."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of the array."""
        return self.array.shape

    def __reduce__(self) -> tuple[Any, ...]:
        if self.array.nbytes <= SENT:
            return Held, (np.ascontiguousarray(self.array),)
        if not self.file:
            rows = max(PIECE * len(self.array) // self.array.nbytes, 1)
            parts = (self.array[start : start + rows].tobytes() for start in range(0, len(self.array), rows))
            self.file.append(spilled(parts, self.dtype, self.shape))
        return self.file[0].__reduce__()

    def _read(self, places: NDArray[np.int64]) -> Array:
        found: Array = self.array[places]
        return found


class _Scratch:
    """A temporary folder, which goes with this object, or with the process."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="robusteval-"))
        # a process that was started by another one runs these when it ends, and nothing that `weakref` remembers
        Finalize(self, shutil.rmtree, (self.path,), {"ignore_errors": True}, exitpriority=10)


def spilled(parts: Iterable[bytes | memoryview], dtype: np.dtype[Any], shape: tuple[int, ...]) -> Placed:
    """The content of [N, *shape] in a temporary file, which is removed with the last that refers to it. Raises
    DataError where there is no room for it."""
    folder = _Scratch()
    path = folder.path / "images"
    try:
        with path.open("wb") as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        size = math.prod(shape) * dtype.itemsize / 2**30
        raise DataError(
            f"The images cannot be unpacked to {folder.path}: {error.strerror or error}; they take {size:.3g} GiB.",
            "Set TMPDIR to a folder with more room, or store them unpacked: numpy.savez instead of savez_compressed.",
        ) from None
    return Placed(path, 0, dtype, shape, folder)


def pieces(read: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Up to so many bytes of a stream, a piece at a time; fewer where it ends early."""
    left = size
    while left and (piece := read(min(PIECE, left))):
        left -= len(piece)
        yield piece


class Texts:
    """Many short texts in one piece, as they travel to workers."""

    def __init__(self, texts: Iterable[str]) -> None:
        encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
        self._content = b"".join(encoded)
        self._ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: int) -> str:
        return self._content[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogateescape")
