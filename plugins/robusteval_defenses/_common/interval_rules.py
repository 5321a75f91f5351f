"""What intervals become under each operator of a traced network: a bound below and one above, both differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

Target = Callable[..., Any]
Rule = Callable[[Target, tuple[Any, ...], dict[str, Any]], Any]


@dataclass(frozen=True)
class Interval:
    """Every element of a value lies between low and high, both of the value's shape [B, ...]."""

    low: Tensor
    high: Tensor

    @property
    def middle(self) -> Tensor:
        """Halfway."""
        return (self.low + self.high) / 2

    @property
    def reach(self) -> Tensor:
        """Half of the width."""
        return (self.high - self.low) / 2


def moving(values: Any) -> list[Interval]:
    """The intervals among arguments, and in lists of them."""
    parts = values if isinstance(values, list | tuple) else (values,)
    flat = [element for part in parts for element in (part if isinstance(part, list | tuple) else (part,))]
    return [element for element in flat if isinstance(element, Interval)]


def rising(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A function that rises with each of its intervals: it takes ends to ends, also where it gives several values."""
    low = target(*_ends(args, "low"), **kwargs)
    high = target(*_ends(args, "high"), **kwargs)
    if isinstance(low, Tensor):
        return Interval(low, high)
    return [Interval(below, above) for below, above in zip(low, high, strict=True)]


def straight(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval | None:
    """A function that is affine in its one interval, each element by itself: one end gives the least, one the most."""
    if len(moving(args)) != 1:
        return None
    ends = [target(*_ends(args, name), **kwargs) for name in ("low", "high")]
    return Interval(torch.minimum(*ends), torch.maximum(*ends))


def _ends(args: tuple[Any, ...], name: str) -> Any:
    return tree_map_only(Interval, lambda value: getattr(value, name), args)


def _add(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(moving(args[:2])) == 1:
        return straight(target, args, kwargs)
    return rising(target, args, kwargs) if _scale(args, kwargs) >= 0 else None


def _sub(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(moving(args[:2])) == 1:
        return straight(target, args, kwargs)
    if _scale(args, kwargs) < 0:
        return None
    (a, b), rest = args[:2], args[2:]
    return Interval(target(a.low, b.high, *rest, **kwargs), target(a.high, b.low, *rest, **kwargs))


def _scale(args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
    """What the second summand is multiplied by."""
    return float(kwargs.get("alpha", args[2] if len(args) > 2 else 1.0))


def _mul(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(moving(args)) == 1:
        return straight(target, args, kwargs)
    a, b = args
    ends = torch.stack([x * y for x in (a.low, a.high) for y in (b.low, b.high)])
    return Interval(ends.amin(0), ends.amax(0))


def _div(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return None if isinstance(args[1], Interval) or kwargs.get("rounding_mode") else straight(target, args, kwargs)


def _product(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], at: int, weight: int, bias: int) -> Any:
    """Linear in the interval at place `at`, with a constant weight; bias: the place of a constant summand, -1: none."""
    if len(moving(args)) != 1 or not isinstance(args[at], Interval):
        return None
    x: Interval = args[at]
    parts, sizes = list(args), list(args)
    parts[at], sizes[at], sizes[weight] = x.middle, x.reach, args[weight].abs()
    if bias >= 0 and args[bias] is not None:
        sizes[bias] = torch.zeros_like(args[bias])
    middle, reach = target(*parts, **kwargs), target(*sizes, **kwargs)
    return Interval(middle - reach, middle + reach)


def _convolution(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return _product(target, args, kwargs, 0, 1, 2)


def _matrix(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """x @ W, or W @ x."""
    at = 0 if isinstance(args[0], Interval) else 1
    return _product(target, args, kwargs, at, 1 - at, -1)


def _affine(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """beta bias + alpha x @ W."""
    if any(float(value) < 0 for value in kwargs.values()):
        return None
    return _product(target, args, kwargs, 1, 2, 0)


def _batch_norm(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """With running statistics; args: x, weight, bias, mean, variance, ..., eps."""
    if args[4] is None or len(moving(args)) != 1 or (len(args) == 8 and args[5]):
        return None
    ends = [target(*_ends(args, name), **kwargs)[0] for name in ("low", "high")]
    return [Interval(torch.minimum(*ends), torch.maximum(*ends))]


def _leaky(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    slope = args[1] if len(args) > 1 else 0.01
    if isinstance(slope, Tensor):  # one that learns is kept where the function rises
        return rising(target, (args[0], slope.clamp_min(0.0)), kwargs)
    return rising(target, args, kwargs) if float(slope) >= 0 else None


def _scaled(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """ELU and softplus, which rise where what they are scaled by is no less than 0."""
    numbers = [value for value in (*args[1:], *kwargs.values()) if isinstance(value, int | float)]
    return rising(target, args, kwargs) if all(value >= 0 for value in numbers) else None


def _negated(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
    return Interval(-args[0].high, -args[0].low)


def _size(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
    x: Interval = args[0]
    least = torch.maximum(torch.maximum(x.low, -x.high), torch.zeros_like(x.low))
    return Interval(least, torch.maximum(x.high, -x.low))


def dipping(place: float) -> Rule:
    """Falls up to `place` and rises from there: GELU, SiLU and the like."""

    def rule(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
        x: Interval = args[0]
        below, above = (target(end, *args[1:], **kwargs) for end in (x.low, x.high))
        inside = (x.low < place) & (x.high > place)
        bottom = target(torch.full_like(x.low, place), *args[1:], **kwargs)
        return Interval(torch.where(inside, bottom, torch.minimum(below, above)), torch.maximum(below, above))

    return rule


def _item(target: Target, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return args[0][args[1]]


# They rise with their input: activations, means and maxima, and what selects, repeats or reorders.
_RISING = (
    "relu", "clamp", "clamp_min", "clamp_max", "hardtanh", "tanh", "sigmoid", "hardsigmoid", "erf",
    "log_sigmoid_forward", "log_sigmoid", "exp", "maximum", "minimum", "max_pool2d_with_indices", "max_pool2d",
    "max_pool3d_with_indices", "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "adaptive_avg_pool2d",
    "mean", "sum", "amax", "amin", "upsample_nearest2d", "upsample_bilinear2d",
    "view", "_unsafe_view", "reshape", "permute", "transpose", "t", "squeeze", "unsqueeze", "clone", "alias", "detach",
    "slice", "select", "constant_pad_nd", "_to_copy", "flatten", "contiguous", "lift_fresh_copy", "expand", "repeat",
    "cat", "stack", "split", "split_with_sizes", "unbind", "flip", "roll", "index", "index_select", "gather",
    "pixel_shuffle", "pixel_unshuffle",
)  # fmt: skip

RULES: Mapping[str, Rule] = {
    **dict.fromkeys(_RISING, rising),
    "getitem": _item,
    "add": _add,
    "sub": _sub,
    "rsub": straight,
    "mul": _mul,
    "div": _div,
    "neg": _negated,
    "abs": _size,
    "mm": _matrix,
    "addmm": _affine,
    "convolution": _convolution,
    "native_batch_norm": _batch_norm,
    "cudnn_batch_norm": _batch_norm,  # what a module on a GPU is traced to
    "miopen_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "elu": _scaled,
    "softplus": _scaled,
    "leaky_relu": _leaky,
    "_prelu_kernel": _leaky,
    "gelu": dipping(-0.7517915),
    "silu": dipping(-1.2784645),
    "hardswish": dipping(-1.5),
    "mish": dipping(-1.1924),
}
"""By the operator's name in torch's own set; None in the place of an interval: this case is not covered."""


def elided(middle: Tensor, reach: Tensor, weight: Tensor, bias: Tensor | None, y: Tensor) -> Tensor | None:
    """How far each class may get ahead of the label, [B, K], where a last layer x @ weight + bias, weight [I, K], is
    put into the comparison (Gowal et al. 2018, section 3): tighter than bounds of the scores alone. None where that
    would take too much room."""
    classes = weight.shape[1]
    if classes * classes * weight.shape[0] > _ROOM:
        return None
    scores = middle @ weight if bias is None else torch.addmm(bias, middle, weight)
    ahead = scores - scores.gather(1, y[:, None])
    between = (weight[:, :, None] - weight[:, None, :]).abs()  # [I, K, K]
    may = (reach @ between.flatten(1)).reshape(len(y), classes, classes)
    return ahead + may[torch.arange(len(y), device=y.device), y]


_ROOM = 1 << 22  # numbers: of more classes, or wider layers, the scores' own bounds are taken


def ahead_by(scores: Interval, y: Tensor) -> Tensor:
    """The same from bounds of the scores, [B, K]: 0 for the label itself."""
    ahead = scores.high - scores.low.gather(1, y[:, None])
    return ahead.scatter(1, y[:, None], 0.0)
