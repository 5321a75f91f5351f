"""Reads the four gzip-compressed IDX files of Fashion-MNIST, as Debian's package installs them."""

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DEFAULT_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package `dataset-fashion-mnist` puts the files."""

CLASS_NAMES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

Bytes = NDArray[np.uint8]

_UNSIGNED_BYTE = 0x08  # the only element type that these files use


class DatasetMissing(Exception):
    """The data set is not in the folder that was named."""


def read_idx(path: Path) -> Bytes:
    """The array in one gzip-compressed IDX file of unsigned bytes, in the shape that its header states.

    Raises `ValueError` when the file is not IDX or its length disagrees with its header.
    """
    with gzip.open(path, "rb") as stream:
        content = stream.read()
    zero, kind, dimensions = struct.unpack_from(">HBB", content)
    if zero != 0 or kind != _UNSIGNED_BYTE:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes")
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    body = np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions)
    if body.size != np.prod(shape):
        raise ValueError(f"{path} holds {body.size} values, its header says {shape}")
    return body.reshape(shape)


def load_split(folder: Path, split: str) -> tuple[Bytes, Bytes]:
    """Images [N, 28, 28] in 0..255 and labels [N] of one split, "train" (60,000) or "t10k" (10,000).

    Raises `DatasetMissing` when a file is absent.
    """
    images, labels = (folder / f"{split}-{name}-ubyte.gz" for name in ("images-idx3", "labels-idx1"))
    for path in (images, labels):
        if not path.is_file():
            raise DatasetMissing(
                f"{path} does not exist. Install Debian's package dataset-fashion-mnist "
                "(apt install dataset-fashion-mnist), or name the folder that holds the four .gz files."
            )
    return read_idx(images), read_idx(labels)
