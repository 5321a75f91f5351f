"""What becomes of logarithms, and of their order from class to class, in single functions of torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Call = Callable[..., Any]
Rest = tuple[Any, ...]  # arguments behind the first
Words = dict[str, Any]  # keyword arguments
NEVER = -1e4  # stands for the logarithm of zero: finite, so that no product with it is NaN
SMALL = 1e-3  # constants added below this are guards against log(0), and would hide what lies below them
SAME = (  # monotone, and as good as nothing between probabilities
    "clamp", "clip", "clamp_min", "clamp_max", "hardtanh", "relu", "abs", "nan_to_num", "round", "dropout", "threshold",
    "maximum", "minimum",
)  # fmt: skip
MOVED = (  # the same function moves the logarithms
    "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "permute", "transpose", "t", "movedim",
    "getitem",
    "index_select", "gather", "select", "narrow", "flip", "roll", "expand", "repeat", "take_along_dim", "contiguous",
    "clone", "to", "type", "float", "double", "half", "detach", "alias", "slice", "chunk", "split", "unbind", "tile",
    "swapaxes", "moveaxis", "type_as", "view_as", "reshape_as", "tensor_split", "amax", "amin", "identity",
)  # fmt: skip
TIMES = ("mul", "multiply")
OVER = ("div", "truediv", "true_divide", "divide")
ARITHMETIC = (*TIMES, *OVER, "add", "sub", "pow", "rsub", "rdiv", "rtruediv")
SUMS = ("sum", "mean", "nansum", "nanmean", "prod")
PRODUCTS = ("matmul", "mm", "linear")


def order_of(
    name: str, func: Call, first: tuple[Any, Tensor | None], second: tuple[Any, Tensor | None], rest: Rest, words: Words
) -> Tensor | None:
    """What tells the classes of a result apart in its own order: logarithms, maybe negated. None where that is not
    known. first, second: operands, each with what it is in the order of. The function keeps that order, or turns it
    round, where it does the same for every class."""
    mine = first[1]
    if name == "rsub":
        name, first, second = "sub", second, first
    if name in (*TIMES, *OVER, "add", "sub"):
        return _beside_constant(name, first, second)
    if mine is None or name in SAME or name in ("neg", "negative"):
        return -mine if mine is not None and name in ("neg", "negative") else mine
    if name == "normalize":  # behind the exponent; each row is divided by its own size
        axis = rest[1] if len(rest) > 1 else words.get("dim", 1)
        return mine if mine.dim() == 2 and axis in (1, -1) else None
    found = moved(func, mine, None, rest, words) if name in MOVED else None
    return found[0] if isinstance(found, tuple) else None


def _beside_constant(name: str, first: tuple[Any, Tensor | None], second: tuple[Any, Tensor | None]) -> Tensor | None:
    """Of a sum, difference, product or quotient with what is the same for all classes."""
    (a, mine), (b, theirs) = first, second
    of_rows = mine is not None and theirs is not None  # such as the mean over the classes, which is known itself
    if of_rows and not _is_row(b, mine):
        return None
    order, constant = (mine, b) if mine is not None else (theirs, a)
    number = None if order is None else _row_sign(constant) if _is_row(constant, order) else uniform(constant)
    if number is None or order is None:
        return None
    if name in ("add", "sub"):
        return -order if name == "sub" and mine is None else order
    if not number or (name in OVER and mine is None):
        return None
    return order if number > 0 else -order


def _is_row(value: Any, order: Tensor | None) -> bool:
    """Whether it is one number a row, for all of its classes: [B, 1] beside [B, K]."""
    if not isinstance(value, Tensor) or order is None:
        return False
    return value.dim() == order.dim() == 2 and value.shape[1] == 1 < order.shape[1]


def _row_sign(value: Tensor) -> float:
    """Of all rows; 0 where they differ."""
    return 1.0 if bool((value > 0).all()) else -1.0 if bool((value < 0).all()) else 0.0


def uniform(value: Any) -> float | None:
    """The number that a constant is; None for what depends on the input, or differs from class to class."""
    if isinstance(value, Tensor):
        if value.requires_grad or not value.numel() or not bool((value == value.reshape(-1)[0]).all()):
            return None
        value = value.reshape(-1)[0].item()
    plain = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if plain else None


def positive(value: Any) -> Any:
    """The logarithm of a tensor or number that is positive throughout; else None."""
    if isinstance(value, Tensor):
        return value.log() if value.is_floating_point() and bool((value.detach() > 0).all()) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return math.log(value) if value > 0 else None


def product(name: str, log: Tensor, rest: Rest, words: Words) -> Tensor | None:
    """log(exp(log) @ weight) for a constant weight of no negative numbers, and no bias."""
    weight, bias = rest[0] if rest else words.get("weight"), rest[1] if len(rest) > 1 else words.get("bias")
    if not isinstance(weight, Tensor) or weight.dim() != 2 or log.dim() != 2 or not weight.is_floating_point():
        return None
    if bias is not None or weight.requires_grad or not bool((weight >= 0).all()) or not bool(weight.any()):
        return None
    weight = weight.T if name == "linear" else weight
    factors = torch.where(weight > 0, weight.clamp_min(torch.finfo(weight.dtype).tiny).log(), NEVER)
    return torch.logsumexp(log.unsqueeze(-1) + factors, -2)


def summed(name: str, log: Tensor, rest: Rest, words: Words) -> Tensor:
    """The logarithm of a sum, mean or product along axes."""
    axis = rest[0] if rest else words.get("dim", words.get("axis"))
    keep = bool(rest[1] if len(rest) > 1 else words.get("keepdim", False))
    axes = tuple(range(log.dim())) if axis is None else axis
    if name == "prod":
        return log.sum(axes, keepdim=keep)
    total = torch.logsumexp(log, axes, keep)
    if "mean" not in name:
        return total
    sizes = [log.shape[i] for i in (axes if isinstance(axes, tuple | list) else (axes,))]
    return total - math.log(math.prod(sizes))


def blended(log: Any, other: Any, share: Any) -> Tensor | None:
    """log((1 - share) exp(log) + share exp(other)), for a share between 0 and 1."""
    if log is None or other is None or isinstance(share, Tensor) or not 0 < share < 1:
        return None
    return torch.logaddexp(log + math.log1p(-share), other + math.log(share))


def moved(func: Call, log: Tensor, other: Tensor | None, rest: Rest, words: Words) -> Any:
    """(logarithm, that of the complement or None) of what was moved, a list of them for several."""
    words = {key: value for key, value in words.items() if key != "input"}
    first = func(log, *rest, **words)
    if isinstance(first, list | tuple):
        return [(part, None) for part in first]
    return first, None if other is None else func(other, *rest, **words)


def axis_of(x: Tensor, rest: Rest, words: Words) -> int:
    """Of a softmax."""
    axis = rest[0] if rest else words.get("dim")
    if axis is None:  # torch's own old rule
        return 0 if x.dim() in (0, 1, 3) else 1
    return int(axis)


def like(*values: Any) -> torch.dtype:
    """The type of the first tensor."""
    return next(value.dtype for value in values if isinstance(value, Tensor))


def alike(out: Tensor, log: Tensor) -> bool:
    """Whether one can be the logarithm of the other."""
    return log.shape == out.shape and out.is_floating_point() and log.is_floating_point()


def is_one(value: Any) -> bool:
    """Whether it is 1 throughout."""
    return bool((value.detach() == 1).all()) if isinstance(value, Tensor) else value == 1


def tiny(value: Any) -> bool:
    """Whether it is a guard against log(0)."""
    return float(value.detach().abs().max()) < SMALL if isinstance(value, Tensor) else abs(value) < SMALL


def no_more(value: Any) -> bool:
    """Whether it is the number 0, as `sum` starts from."""
    return not isinstance(value, Tensor) and value == 0
