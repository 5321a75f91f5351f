"""What users of the Python API hand over: a path, a module or a classifier; data as a path or as arrays."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from robusteval.contracts.classifier import Classifier, LoadOptions, Peek
from robusteval.contracts.guard import guarded
from robusteval.contracts.samples import Samples
from robusteval.errors import DataError, ModelError

if TYPE_CHECKING:
    from torch import nn


def opened(
    model: object,
    options: LoadOptions,
    data: object,
    kept: dict[Any, Any],
    data_range: tuple[float, float] | None,
) -> tuple[Classifier, Path | None]:
    """The model opened, with a look at the data for its loader; and its path, if it is a file."""
    from torch import nn

    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model

    if not isinstance(model, str | Path | nn.Module):
        if isinstance(model, Classifier):
            return guarded(model), None
        raise ModelError(
            f"A {type(model).__name__} is not a model.",
            "Give a path, a torch.nn.Module, or an object with info, logits and twin.",
        )
    path = Path(model) if isinstance(model, str | Path) else None
    options = (
        options if options.peek is not None else dataclasses.replace(options, peek=_peek(path, data, kept, data_range))
    )
    if path is not None:
        return load_model(path, options, discover()), path
    return _module(cast("nn.Module", model), options, data), None


def _module(module: nn.Module, options: LoadOptions, data: object) -> Classifier:
    """A module in memory, for inputs of the stated shape, else of that of the images: as stored, else channels
    first."""
    from robusteval.engine.settings import check_options
    from robusteval.loaders.pytorch.classifier import TorchClassifier

    check_options(options)
    shapes = [options.input_shape] if options.input_shape else _shapes(data)
    failed: list[ModelError] = []
    for shape in shapes:
        try:
            return TorchClassifier.from_module(module, shape, options)
        except ModelError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    raise ModelError(
        "The module does not say what shape its input has.", "Give LoadOptions(input_shape=...), or data as arrays."
    )


def _shapes(data: object) -> list[tuple[int, ...]]:
    """Input shapes that images given as arrays may stand for: as they are stored, and with their channels moved
    first."""
    images = data.x if isinstance(data, Samples) else data[0] if isinstance(data, tuple) and data else None
    if images is None:
        return []
    shape = tuple(int(size) for size in (images.shape if hasattr(images, "shape") else np.shape(images))[1:])
    if len(shape) == 2:
        return [(1, *shape)]
    return [shape, (shape[2], shape[0], shape[1])] if len(shape) == 3 and shape[2] <= 4 else [shape]


def _peek(path: Path | None, data: object, kept: dict[Any, Any], data_range: tuple[float, float] | None) -> Peek:
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.data.peek import peeker
    from robusteval.engine.run.prepare import arrays

    given = source(data)
    where = arrays(given) if isinstance(given, tuple) else given
    return peeker(path, where, discover().datasets(), data_range, kept)


def source(data: object) -> Any:
    """A path, a pair of arrays, or None. Raises DataError for anything else."""
    if data is None or isinstance(data, tuple):
        if isinstance(data, tuple) and len(data) != 2:
            raise DataError(f"Data given as a tuple needs two arrays (x, y), not {len(data)}.")
        return data
    if isinstance(data, str | Path):
        return Path(data)
    if isinstance(data, Samples):
        return (data.x, data.y)
    raise DataError(f"A {type(data).__name__} is not data.", "Give a path, or arrays (x, y).")
