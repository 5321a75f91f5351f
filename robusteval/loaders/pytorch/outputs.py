"""What a module returns: one tensor, or several in a tuple, a dictionary or an object. Which of them are class
scores?"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robusteval.errors import ModelError

DEPTH = 3  # of containers in containers
SHOWN = 4  # outputs named in a sentence
_NAMES = ("logits", "logit", "scores", "score", "probabilities", "probs", "pred", "predictions", "output", "out")

Path = tuple[Any, ...]  # keys, positions and attributes, the outermost first; empty for a plain tensor


def name_of(path: Path) -> str:
    """How people name an output: its key or position, nested ones joined by dots."""
    return ".".join(str(part) for part in path)


def tensors(result: Any, path: Path = ()) -> Iterator[tuple[Path, Tensor]]:
    """Every tensor in what a module returned, with the way to it."""
    if isinstance(result, Tensor):
        yield path, result
        return
    if len(path) < DEPTH:
        for key, value in _parts(result):
            yield from tensors(value, (*path, key))


def _parts(result: Any) -> list[tuple[Any, Any]]:
    if isinstance(result, Mapping):
        return list(result.items())
    if isinstance(result, tuple) and hasattr(result, "_fields"):
        return list(zip(result._fields, result, strict=True))
    if isinstance(result, list | tuple):
        return list(enumerate(result))
    if dataclasses.is_dataclass(result):
        return [(field.name, getattr(result, field.name)) for field in dataclasses.fields(result)]
    return [(key, value) for key, value in getattr(result, "__dict__", {}).items() if not key.startswith("_")]


def picked(result: Any, path: Path) -> Tensor:
    """The tensor at the end of a path. Raises ModelError where this answer has none there."""
    for part in path:
        found = [value for key, value in _parts(result) if key == part]
        if not found:
            raise ModelError(
                f"This time the module returned no output {name_of(path)!r}.", "Return the same each time."
            )
        result = found[0]
    if not isinstance(result, Tensor):
        raise ModelError(
            f"The module returns {_kind(result)}, not class scores.", "Return a tensor with one score a class."
        )
    return result


def _kind(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def nothing_in(result: Any) -> ModelError:
    """The error for an answer that holds no class scores."""
    shapes = [f"{name_of(path) or 'tensor'} {tuple(value.shape)}" for path, value in tensors(result)]
    shown = f"{_kind(result)} with {', '.join(shapes[:SHOWN])}" if shapes else _kind(result)
    return ModelError(
        f"The module returns {shown}: no class scores are in there.", "Return a tensor with one score a class."
    )


def rows_of(raw: Tensor, n: int) -> Tensor | None:
    """[n, K] of a tensor that answers n inputs: [n, K], [n], [n, K, 1, 1], [n, 1, 1, K], and, for a single input, [K]
    or a number. None where it is something else: another batch, or several axes of classes."""
    if raw.is_complex() or raw.is_sparse or raw.is_quantized:
        return None
    if raw.dim() > 0 and raw.shape[0] == n and not (n == 1 and raw.dim() == 1):
        wide = [size for size in raw.shape[1:] if size != 1]
    elif n == 1:
        wide = [size for size in raw.shape if size != 1]
    else:
        return None
    return raw.reshape(n, -1) if len(wide) <= 1 and 0 not in wide else None


@dataclass(frozen=True)
class Chosen:
    """The output that holds the class scores, and a note where there were others."""

    path: Path
    note: str = ""


def choose(found: dict[Path, Tensor], y: Tensor | None, asked: str) -> Chosen:
    """The class scores among several outputs [n, K]: by name where the user gave one, else those that are right most
    often.

    y: int64 [n], the labels of the images answered, or None where there are no images of the user's. Where accuracies
    are alike the name decides, then the fit of the number of classes, then the order. Raises ModelError for an unknown
    name.
    """
    if asked:
        return Chosen(_named(found, asked))
    if len(found) == 1:
        return Chosen(next(iter(found)))
    right = {path: accuracy(rows, y) for path, rows in found.items()}
    order = list(found)
    best = max(order, key=lambda path: (*_rank(path, found[path], right[path], y), -order.index(path)))
    others = [_shown(path, found[path], right[path]) for path in order if path != best]
    how = "" if y is None or not len(y) else f", by the labels of {len(y)} of your images"
    note = (
        f"The module returns {len(found)} outputs; {_shown(best, found[best], right[best])} was taken for the class "
        f"scores{how}, not {', '.join(others[:SHOWN])}. --output NAME (LoadOptions.output) takes another."
    )
    return Chosen(best, note)


def _named(found: dict[Path, Tensor], asked: str) -> Path:
    for path in found:
        if name_of(path) == asked or (path and str(path[-1]) == asked):
            return path
    if () in found and asked in ("0", "output"):
        return ()
    names = [name_of(path) for path in found if path]
    near = difflib.get_close_matches(asked, names, 1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    known = (
        f"Its outputs with one value a class are {', '.join(map(repr, names))}." if names else "It returns one tensor."
    )
    raise ModelError(f"The module has no output {asked!r}.", hint + known)


def _rank(path: Path, rows: Tensor, right: float | None, y: Tensor | None) -> tuple[float, ...]:
    """What speaks for an output, the weightiest first."""
    last = str(path[-1]).lower() if path else ""
    named = next((len(_NAMES) - i for i, name in enumerate(_NAMES) if last == name), 0)
    classes = rows.shape[1] if rows.shape[1] > 1 else 2
    fits = y is not None and len(y) > 0 and classes == int(y.max()) + 1
    real = rows.is_floating_point() and rows.shape[1] > 1
    return (round(right, 6) if right is not None else 0.0, float(real), float(named), float(fits))


def accuracy(rows: Tensor, y: Tensor | None) -> float | None:
    """The share of y [n] that rows [n, K] (scores, one score for two classes, or labels) get right; None without
    labels."""
    if y is None or not len(y):
        return None
    if rows.shape[1] > 1:
        answers = torch.nan_to_num(rows.double()).argmax(1)
    elif not rows.is_floating_point():
        answers = rows[:, 0].long()
    else:
        within = bool((rows >= 0).all() and (rows <= 1).all())
        answers = (rows[:, 0] > (0.5 if within else 0.0)).long()
    return float((answers.cpu() == y.cpu()).double().mean())


def _shown(path: Path, rows: Tensor, right: float | None) -> str:
    share = "" if right is None else f", {right:.0%} right"
    return f"{name_of(path)!r} ({rows.shape[1]} values{share})"


def labels_in(rows: Tensor) -> bool:
    """Whether answers [n, 1] are class numbers, not scores: whole numbers that are not all 0."""
    if rows.shape[1] != 1 or not len(rows):
        return False
    if not rows.is_floating_point():
        return bool((rows >= 0).all())
    return bool(torch.isfinite(rows).all() and (rows >= 0).all() and (rows == rows.round()).all() and rows.max() >= 1)


def one_hot(rows: Tensor, classes: int) -> Tensor:
    """Labels [n, 1] as float32 [n, K]. Raises ModelError for a label beyond the classes."""
    labels = rows[:, 0].long()
    if len(labels) and (int(labels.max()) >= classes or int(labels.min()) < 0):
        worst = int(labels.max()) if int(labels.max()) >= classes else int(labels.min())
        raise ModelError(
            f"The module answered with the label {worst}, beyond the {classes} classes that its first answers and your "
            "labels know.",
            "Give images of all classes, or let the module return its scores.",
        )
    return torch.nn.functional.one_hot(labels, classes).float()
