"""What of a model lies in files beside it: the ranges that its tensors name, and no byte more.

A file beside a model of 200 bytes may have a terabyte, most of it holes. So every range is held against the tensor's
own shape, the file's size, the limit of a model and the machine's memory before anything is read.
"""

from __future__ import annotations

import hashlib
import math
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robusteval.errors import ModelError
from robusteval.plain import memory, opened, size

MAX_BYTES = 2_000_000_000  # protobuf's own limit is 2 GiB
FURTHEST = 2 * MAX_BYTES  # from a file's start to the end of the last tensor: what lies before is hashed
AXES = 64  # of a tensor: no runtime has more
PADDING = 65_536  # bytes behind the last tensor that count as the file's own
COPIES = 3  # of what is read: the bytes, the model that holds them, and ONNX Runtime's
_HINT = "Keep the external data as plain files in the model's own folder, or save the model with its data inside."
_AGAIN = "Export the model again."
_BLOCK = 1 << 20
# onnx.TensorProto.DataType -> bits of an element
BITS = {1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 16: 16}
BITS |= {17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4}


@dataclass(frozen=True)
class Stored:
    """A tensor that is kept outside, as the model says it: nothing is believed yet."""

    name: str
    kind: int  # onnx.TensorProto.DataType
    dims: tuple[int, ...]
    entries: dict[str, str]  # location, offset, length

    @property
    def location(self) -> str:
        """The file's name, as the model has it."""
        return self.entries.get("location", "")


@dataclass(frozen=True)
class Range:
    """Bytes of one file beside the model."""

    location: str
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Behind the last byte."""
        return self.offset + self.length


@dataclass(frozen=True)
class Beside:
    """The files beside a model: where they lie, and a range a tensor, in the order of the tensors."""

    paths: dict[str, Path]
    ranges: tuple[Range, ...]

    def read(self, wanted: Range) -> bytes:
        """The bytes of one range. Raises ModelError."""
        with _readable(wanted.location), opened(self.paths[wanted.location], 1 << 62) as file:
            file.seek(wanted.offset)
            found = file.read(wanted.length)
        if len(found) != wanted.length:
            raise ModelError(f"The model's external data {wanted.location!r} changed while they were read.", _AGAIN)
        return found

    def reach(self, location: str) -> int:
        """How far into a file the model's tensors go, in bytes."""
        return max((part.end for part in self.ranges if part.location == location), default=0)

    def update(self, digest: Any) -> None:
        """Adds the files to a hash in the order of their names, each as far as `update_by` takes it."""
        for location in sorted(self.paths):
            self.update_by(location, digest)

    def update_by(self, location: str, digest: Any) -> None:
        """Adds one of the files to a hash: up to its last tensor, and to its end where no more than padding follows.
        Raises ModelError."""
        with _readable(location), opened(self.paths[location], 1 << 62) as file:
            reach, whole = self.reach(location), os.fstat(file.fileno()).st_size
            left = whole if whole - reach <= PADDING else reach
            while left > 0 and (block := file.read(min(_BLOCK, left))):
                digest.update(block)
                left -= len(block)


def beside(folder: Path, tensors: Iterable[Stored], inside: int) -> Beside:
    """Where each tensor's bytes are, all of it checked and nothing read. inside: bytes of the model's own file. Raises
    ModelError."""
    paths: dict[str, Path] = {}
    sizes: dict[str, int] = {}
    ranges: list[Range] = []
    total = inside
    for tensor in tensors:
        location = tensor.location
        if location not in paths:
            paths[location] = checked(folder, location)
            sizes[location] = paths[location].stat().st_size
        ranges.append(_range(tensor, sizes[location]))
        total += ranges[-1].length
        if total > MAX_BYTES:
            raise ModelError(
                f"The model with its external data has more than {MAX_BYTES} bytes.", "Use a smaller model."
            )
    left = memory() if total > inside else None
    if left is not None and COPIES * total > left:
        raise ModelError(
            f"The model with its external data has {size(total)}: opening it takes {size(COPIES * total)} of memory, "
            f"and {size(left)} are left.",
            "Use a machine with more memory, or a smaller model.",
        )
    return Beside(paths, tuple(ranges))


def _range(tensor: Stored, there: int) -> Range:
    # of many huge axes the product alone would take hours
    if tensor.kind not in BITS or len(tensor.dims) > AXES or any(extent < 0 for extent in tensor.dims):
        raise ModelError(f"The tensor {tensor.name!r} has a type or shape that cannot be read from outside.", _AGAIN)
    need = (math.prod(tensor.dims) * BITS[tensor.kind] + 7) // 8
    try:
        offset, length = int(tensor.entries.get("offset", "0")), int(tensor.entries.get("length", need))
    except ValueError:
        raise ModelError(f"The tensor {tensor.name!r} has an offset that is not a number.", _AGAIN) from None
    if offset < 0 or length != need or offset + length > there:
        raise ModelError(f"The tensor {tensor.name!r} does not fit into its external data file.", _AGAIN)
    if offset + length > FURTHEST:
        raise ModelError(
            f"The tensor {tensor.name!r} lies {size(offset)} into its external data file, too far for a model.",
            _AGAIN,
        )
    return Range(tensor.location, offset, length)


def checked(folder: Path, location: str) -> Path:
    """The external data file, if it lies beside the model and nowhere else. Raises ModelError."""
    parts = Path(location).parts
    if not location or Path(location).is_absolute() or ".." in parts or "\\" in location or "\0" in location:
        raise ModelError(f"The model asks for external data outside its folder ({location!r}).", _HINT)
    at = folder
    try:
        for part in parts:
            at = at / part
            if at.is_symlink():
                raise ModelError(f"The model's external data {location!r} is a link.", _HINT)
        info = os.lstat(at)
    except (OSError, ValueError) as error:  # a name that is too long for any file, or that the system cannot have
        raise ModelError(f"The model's external data {location!r} is missing.", _HINT) from error
    if not stat.S_ISREG(info.st_mode):
        raise ModelError(f"The model's external data {location!r} is not a plain file.", _HINT)
    if info.st_nlink > 1:
        raise ModelError(f"The model's external data {location!r} is a hard link.", _HINT)
    return at


def sha256(content: bytes, files: Beside) -> str:
    """The hash of a model: of its file's bytes, and of the files beside it as `Beside.update` takes them."""
    digest = hashlib.sha256(content)
    files.update(digest)
    return digest.hexdigest()


@contextmanager
def _readable(location: str) -> Iterator[None]:
    """Turns what the system says against reading into a ModelError."""
    try:
        yield
    except OSError as error:
        raise ModelError(
            f"The model's external data {location!r} cannot be read: {error.strerror or error}.", _HINT
        ) from error
