"""The data set in the wheel, so that a first run works offline: a class-balanced part of Fashion-MNIST."""

from __future__ import annotations

from importlib.resources import as_file, files
from typing import ClassVar

import numpy as np

from robusteval.contracts.plugins import Dataset, DatasetInfo, Split
from robusteval.engine.data.npz import Array, read_npz
from robusteval.hooks import hookimpl


class FashionMnist:
    """1000 images to attack (from the published test part) and 5000 to learn from (from the training part)."""

    info: ClassVar[DatasetInfo] = DatasetInfo(
        name="fashion-mnist",
        summary="Fashion-MNIST, 28x28 grey images of ten kinds of clothing: 1000 to attack and 5000 to learn from.",
        licence="MIT, Zalando SE",
    )

    def raw(self, split: Split) -> tuple[Array, Array, tuple[str, ...]]:
        """(uint8 [N, 28, 28], uint8 [N], the ten class names)."""
        with as_file(files("robusteval.data") / "fashion_mnist.npz") as path:
            data = read_npz(path, split)
        return np.asarray(data.images), data.labels, data.class_names


@hookimpl
def robusteval_datasets() -> list[type[Dataset]]:
    """The data sets of this package."""
    return [FashionMnist]
