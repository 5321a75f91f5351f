"""What users of the Python API hand over: a path, a module or a classifier; data as a path, arrays or objects; and what
is said to them, in words of Python."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from robusteval.contracts.classifier import Classifier, LoadOptions, Peek
from robusteval.contracts.guard import guarded
from robusteval.contracts.samples import Samples
from robusteval.engine.data.npz import RawData
from robusteval.engine.data.objects import HINT, held, is_held, is_pairs
from robusteval.errors import DataError, ModelError, RobustEvalError

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
    if isinstance(data, RawData):
        images: Any = data.images
    else:
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
    where = arrays(given) if isinstance(given, tuple | RawData) else given
    return peeker(path, where, discover().datasets(), data_range, kept)


def source(data: object, samples: int | None = None, seed: int = 0) -> Any:
    """A path, a pair of arrays, or None as they are; of objects that hold samples, what was read from them (RawData):
    of many so many, evenly drawn from the classes with that seed. Raises DataError for anything else."""
    if data is None or isinstance(data, RawData):
        return data
    if isinstance(data, tuple) and not is_pairs(data):
        if len(data) != 2:
            raise DataError(f"Data given as a tuple needs two arrays (x, y), not {len(data)}.")
        return data
    if isinstance(data, str | Path):
        return Path(data)
    if isinstance(data, Samples):
        return (data.x, data.y)
    if is_held(data):
        return held(data, samples, seed)
    raise DataError(f"A {type(data).__name__} is not data.", HINT)


def described(model: Classifier, name: str, class_names: Sequence[str]) -> Classifier:
    """The model under another name, and with names for its classes, where these are stated. Raises ModelError."""
    if not name and not class_names:
        return model
    if class_names and len(class_names) != model.info.classes:
        raise ModelError(
            f"There are {len(class_names)} class names for {model.info.classes} classes.", "Name every class, in order."
        )
    told = dataclasses.replace(
        model.info, name=name or model.info.name, class_names=tuple(map(str, class_names)) or model.info.class_names
    )
    other: Any = copy.copy(model)
    try:
        other.info = told
    except AttributeError:  # of somebody's class, which describes itself
        raise ModelError(
            f"A {type(model).__name__} says its own name and classes.",
            "State them in its info, or give a module or file.",
        ) from None
    return cast(Classifier, other)


_OF_THE_MODEL = {"range": "bounds", "mean": "mean", "std": "std", "layout": "layout", "shape": "input_shape"}
_OF_THE_MODEL |= {name: name for name in ("output", "loader", "arch", "trust")}
_OTHERS = {"labels": "labels_from_model", "surrogate": "surrogates"}


@contextmanager
def speaking_python() -> Iterator[None]:
    """Inside, what goes wrong is said in words of Python: the rooms below speak of options of the command line."""
    try:
        yield
    except RobustEvalError as error:
        error.message, error.hint = in_python(error.message), in_python(error.hint)
        error.args = (error.message,)
        raise


def in_python(text: str) -> str:
    """A sentence that names options of the command line, with the arguments of a call in their place."""
    return re.sub(r"--([a-z][a-z-]*[a-z])(?: ((?:[\d.-]+(?:,[\d.-]+)*|cpu|cuda:\d|model|all)(?!\w)))?", _argument, text)


def _argument(found: re.Match[str]) -> str:
    flag, value = found[1], found[2] or ""
    end = "." if value.endswith(".") else ""
    value = value.removesuffix(".")
    if flag == "labels":
        return f"labels_from_model=True{end}"
    shown = f"({', '.join(value.split(','))})" if "," in value else f'"{value}"' if value.isalpha() else value
    if flag in _OF_THE_MODEL:
        inside = f"{_OF_THE_MODEL[flag]}={shown or ('True' if flag == 'trust' else '...')}"
        return f"options=LoadOptions({inside}){end}"
    name = _OTHERS.get(flag, flag.replace("-", "_"))
    return f"{name}={shown}{end}" if value else name
