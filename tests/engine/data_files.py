"""Files of data as tests write them, and what reading them must come to."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from robusteval.engine.data.npz import RawData
from robusteval.errors import DataError

X = np.arange(4 * 3 * 5, dtype=np.uint8).reshape(4, 3, 5)
Y = np.array([0, 1, 2, 1])
BEYOND = np.array([0x7FFFFFFF], np.uint32).view("<U1")  # a letter beyond Unicode, of which numpy makes a SystemError


def refused(call: Callable[[], Any], *words: str) -> DataError:
    """The DataError that the call ends in: one sentence that says these words, and a hint."""
    with pytest.raises(DataError) as caught:
        call()
    error = caught.value
    assert error.message.endswith(".")
    assert "\n" not in error.message
    assert error.hint.endswith((".", ")"))
    for word in words:
        assert word in error.message, (word, error.message)
    return error


def npz(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez_compressed(path, **arrays)
    return path


def idx(array: np.ndarray, code: int = 0x08) -> bytes:
    return bytes([0, 0, code, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def pair(folder: Path, part: str, packed: bool = False, x: np.ndarray = X, y: np.ndarray = Y) -> Path:
    ending, pack = (".gz", gzip.compress) if packed else ("", bytes)
    (folder / f"{part}-labels-idx1-ubyte{ending}").write_bytes(pack(idx(y.astype(np.uint8))))
    images = folder / f"{part}-images-idx3-ubyte{ending}"
    images.write_bytes(pack(idx(x)))
    return images


def image(path: Path, mode: str = "RGB", size: tuple[int, int] = (5, 3), value: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode in ("1", "L", "P", "I;16", "F", "I") else (value,) * len(mode)).save(path)
    return path


def same(raw: RawData, x: np.ndarray, y: np.ndarray) -> None:
    assert raw.images.dtype == x.dtype
    assert np.array_equal(raw.images, x)
    assert np.array_equal(raw.labels, y)
