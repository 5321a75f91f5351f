"""A look at some of the user's images for whoever opens the model file, before anything else is known about the
model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval.contracts.classifier import ModelInfo, Peek
from robusteval.contracts.plugins import Dataset
from robusteval.engine.data.find import Kept, find_data, find_fit
from robusteval.engine.data.labels import balanced_rows
from robusteval.engine.data.npz import RawData
from robusteval.engine.data.pixels import canonical, scaled
from robusteval.errors import RobustEvalError

ROWS = 64  # images shown at most
SEED = 20240301


def peeker(
    model_path: Path | None,
    data: Path | RawData | None,
    datasets: Mapping[str, Dataset],
    data_range: tuple[float, float] | None = None,
    kept: Kept | None = None,
    fit: Path | None = None,
    learning: bool = False,
) -> Peek:
    """The look that contracts.classifier.Peek describes, at the data that the command will find.

    data: --data or arrays. kept: what was read is put there, so that `find_data` need not read it again; one for all
    the models of a command. learning: the data are those that `find_fit` finds (with `fit`, --fit-data), for commands
    that only train. The same images are shown each time.
    """
    store: Kept = {} if kept is None else kept

    def raw_for(info: ModelInfo) -> RawData:
        if isinstance(data, RawData):
            return data
        if learning:
            return find_fit(model_path, info, fit, datasets, store)
        return find_data(model_path, info, data, None, datasets, store, own_fit=False)[0]

    def peek(
        input_shape: tuple[int, ...], bounds: tuple[float, float], dataset: str = ""
    ) -> tuple[Tensor, Tensor] | None:
        try:
            raw = raw_for(_like(input_shape, dataset))
            return _shown(raw, _like(input_shape, dataset), bounds, data_range)
        except RobustEvalError:
            return None  # whoever evaluates says in full what is wrong with the data

    return peek


def _like(input_shape: tuple[int, ...], dataset: str) -> ModelInfo:
    """What finding and turning data ask of a model that is not open yet."""
    return cast(ModelInfo, SimpleNamespace(input_shape=tuple(input_shape), dataset=dataset, name="the model"))


def _shown(
    raw: RawData, info: ModelInfo, bounds: tuple[float, float], data_range: tuple[float, float] | None
) -> tuple[Tensor, Tensor] | None:
    """Up to ROWS images [n, *input_shape] in bounds, evenly drawn from the classes, with their labels [n]."""
    labels = _whole(raw.labels)
    usable = labels is not None and raw.images.dtype.kind in "biuf" and raw.images.ndim > 1
    if not usable or labels is None or not 0 < len(labels) == len(raw.images):
        return None
    rows = balanced_rows(labels, ROWS, SEED)
    images, _ = canonical(raw.images[rows], info, raw.layout)
    pixels, _ = scaled(images, bounds, data_range)
    return torch.from_numpy(np.ascontiguousarray(pixels)), torch.from_numpy(labels[rows])


def _whole(labels: NDArray[Any]) -> NDArray[np.int64] | None:
    """int64 [N] from [N], [N, 1] or one-hot [N, K]; None for anything else."""
    if labels.dtype.kind not in "biuf" or labels.ndim not in (1, 2):
        return None
    flat = labels if labels.ndim == 1 else labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)
    if flat.dtype.kind == "f" and not (np.isfinite(flat) & (flat == np.round(flat))).all():
        return None
    return flat.astype(np.int64)
