"""A safetensors file written a part at a time, so that no more than a part is ever in memory: byte for byte what
`safetensors.numpy.save` would write."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError

_KINDS = {"int64": "I64", "float32": "F32", "uint8": "U8"}  # in the order in which the format lays them out


@dataclass(frozen=True)
class Part:
    """One tensor to be written. rows: its values in order, a few at a time."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    rows: Callable[[], Iterator[NDArray[Any]]]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


def write_tensors(path: Path, parts: Sequence[Part]) -> str:
    """Writes the whole file or nothing; returns its sha256. Raises RecordError where it cannot be written."""
    ordered = sorted(parts, key=lambda part: ([*_KINDS].index(part.dtype), part.name.encode()))
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.")
    except OSError as error:
        raise _cannot(path, error) from None
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as file:
            for content in _contents(ordered):
                try:
                    file.write(content)
                except OSError as error:
                    raise _cannot(path, error) from None
                digest.update(content)
            _flushed(file, path)
        _settle(Path(name), path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _flushed(file: IO[bytes], path: Path) -> None:
    try:
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise _cannot(path, error) from None


def _settle(written: Path, path: Path) -> None:
    try:
        written.chmod(0o644)
        written.replace(path)
    except OSError as error:
        raise _cannot(path, error) from None


def _contents(parts: Sequence[Part]) -> Iterator[bytes]:
    header: dict[str, Any] = {}
    start = 0
    for part in parts:
        header[part.name] = {
            "dtype": _KINDS[part.dtype],
            "shape": list(part.shape),
            "data_offsets": [start, start + part.size],
        }
        start += part.size
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for part in parts:
        count = 0
        for rows in part.rows():
            content = np.ascontiguousarray(rows, part.dtype).tobytes()
            count += len(content)
            yield content
        if count != part.size:
            raise ValueError(f"{part.name} has {count} bytes, not the {part.size} that were said")


def _cannot(path: Path, error: OSError) -> RecordError:
    return RecordError(
        f"Cannot write {path}: {error.strerror or error}.",
        "What was finished is kept: once there is a place to write to, the same command goes on from there.",
    )
