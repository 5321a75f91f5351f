"""Steps and what is as flat as a step: comparisons, logic on them, choices by them, and functions that saturate.

In straight-through mode a truth value is the real number 0 or 1, whose derivative is that of a soft companion: a ramp
about the threshold. How wide it is, `Node.width` says: "unit" a ramp as hardtanh's (Hubara et al. 2016, Binarized
neural networks); "scaled" one as wide as the operand's own values are large, row by row; "wide" no end at all. Which
serves, is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, through

Soft = Callable[[Tensor], Tensor]


def own_scale(x: Tensor, at_least: float = 1e-6) -> Tensor:
    """Twice the mean size of each row's values, a constant for autograd; broadcasts over x."""
    axes = list(range(1, x.dim())) if x.dim() > 1 else list(range(x.dim()))
    size = x.detach().abs().to(torch.float32)
    size = 2 * (size.mean(axes, keepdim=True) if axes else size)
    return torch.nan_to_num(size, 1.0, 1.0, 1.0).clamp_min(at_least).to(x.dtype)


def ramp(node: Node, d: Tensor) -> Tensor:
    """The soft companion of d > 0, between 0 and 1 where it has an end."""
    if node.width == "unit":
        return torch.clamp(d / 2 + 0.5, 0.0, 1.0)
    scaled = d / own_scale(d)
    return (torch.clamp(scaled, -1.0, 1.0) if node.width == "scaled" else scaled) / 2 + 0.5


def _comparison(hard: Fn, rising: float) -> Callable[[Node], Fn]:
    """`rising`: 1 where the answer turns true as the first operand grows, -1 where it turns false."""

    def build(node: Node) -> Fn:
        def compare(a: Tensor, b: Tensor) -> Tensor:
            truth: Tensor = hard(a, b)
            if not node.straight or not (a.is_floating_point() or b.is_floating_point()):
                return truth
            d = a - b
            return through(node, ramp(node, rising * d), truth.to(d.dtype))

        return compare

    return build


def _equal(node: Node) -> Fn:
    def equal(a: Tensor, b: Tensor) -> Tensor:
        same = torch.eq(a, b)
        if not node.straight or not (a.is_floating_point() or b.is_floating_point()):
            return same
        d = a - b
        # at equality either side is a way out, and rounded numbers are equal often: which one serves, is measured
        far = torch.where(d > 0, d, -d) if node.width == "unit" else torch.where(d < 0, -d, d)
        return through(node, 1 - far if node.width == "wide" else torch.clamp(1 - far, 0.0, 1.0), same.to(d.dtype))

    return equal


def true(x: Tensor) -> Tensor:
    """A truth value as a boolean, whatever it travels as."""
    return x if x.dtype == torch.bool else x > 0.5


def _logic(hard: Fn, soft: Fn) -> Callable[[Node], Fn]:
    def build(node: Node) -> Fn:
        def run(*xs: Tensor) -> Tensor:
            real = next((x.dtype for x in xs if x.is_floating_point()), None)
            if real is None:
                return hard(*xs)  # type: ignore[no-any-return]
            out: Tensor = soft(*(x.to(real) for x in xs))
            return out

        return run

    return build


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    chosen = torch.where(true(condition), a, b)
    if condition.dtype == torch.bool or not chosen.is_floating_point():
        return chosen
    gap = torch.nan_to_num((a - b).detach(), 0.0, 0.0, 0.0).to(chosen.dtype)
    return chosen + gap * (condition - condition.detach())  # the bracket is exactly 0


def to_bool(node: Node, x: Tensor) -> Tensor:
    """Cast of real numbers to truth values."""
    hard = x != 0
    if not node.straight or not x.is_floating_point():
        return hard
    size = torch.where(x < 0, -x, x)  # unlike abs, it rises at 0, where a rectified value lies
    return through(node, size if node.width == "wide" else torch.clamp(size, 0.0, 1.0), hard.to(x.dtype))


def _sign(node: Node) -> Fn:
    def sign(x: Tensor) -> Tensor:
        if not x.is_floating_point():
            return torch.sign(x)
        return through(node, 2 * ramp(node, x) - 1, torch.sign(x))

    return sign


def _mod(node: Node) -> Fn:
    take = torch.fmod if node.get_int("fmod") else torch.remainder

    def mod(a: Tensor, b: Tensor) -> Tensor:
        out = take(a, b)
        return out.detach() if node.straight and out.is_floating_point() else out  # x - x mod b is a staircase

    return mod


def wide(node: Node, fn: Soft, centre: float, reach: float, slope: float = 1.0) -> Fn:
    """A function that is flat beyond `reach` from `centre`, and has `slope` there: wide ramps let gradients through
    beyond.

    A steep one, such as a sigmoid of 1000 x, is a step for all that an attack can tell.
    """
    if not node.straight or node.width == "unit" or not math.isfinite(reach) or reach <= 0:
        return fn

    def run(x: Tensor) -> Tensor:
        hard = fn(x)
        if not x.is_floating_point():
            return hard
        away = x - centre
        soft = away * (reach / own_scale(away, reach))  # what is not steep keeps about its own slope
        return through(node, slope * (soft if node.width == "wide" else torch.clamp(soft, -reach, reach)), hard)

    return run


def _saturating(fn: Soft, reach: float, slope: float = 1.0) -> Rule:
    return Rule(lambda node: wide(node, fn, 0.0, reach, slope))


def _relu(node: Node) -> Fn:
    if not node.straight or node.width != "wide":
        return torch.relu
    return lambda x: through(node, F.leaky_relu(x, 0.1), torch.relu(x)) if x.is_floating_point() else torch.relu(x)


def _thresholded(node: Node) -> Fn:
    alpha = node.get_float("alpha", 1.0)
    return lambda x: _passed(node, x, torch.where(x > alpha, x, torch.zeros_like(x)))


def _shrink(node: Node) -> Fn:
    bias, lambd = node.get_float("bias", 0.0), node.get_float("lambd", 0.5)

    def shrink(x: Tensor) -> Tensor:
        zero = torch.zeros_like(x)
        return _passed(node, x, torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero)))

    return shrink


def _passed(node: Node, x: Tensor, hard: Tensor) -> Tensor:
    return through(node, x, hard) if node.straight and x.is_floating_point() else hard


RULES: Mapping[str, Rule] = {
    "Greater": Rule(_comparison(torch.gt, 1.0), steps=True),
    "GreaterOrEqual": Rule(_comparison(torch.ge, 1.0), steps=True),
    "Less": Rule(_comparison(torch.lt, -1.0), steps=True),
    "LessOrEqual": Rule(_comparison(torch.le, -1.0), steps=True),
    "Equal": Rule(_equal, steps=True),
    "Not": Rule(_logic(torch.logical_not, lambda a: 1 - a)),
    "And": Rule(_logic(torch.logical_and, lambda a, b: a * b)),
    "Or": Rule(_logic(torch.logical_or, lambda a, b: a + b - a * b)),
    "Xor": Rule(_logic(torch.logical_xor, lambda a, b: a + b - 2 * a * b)),
    "Where": Rule(lambda node: _where),
    "Sign": Rule(_sign, steps=True),
    "Mod": Rule(_mod, steps=True),
    "ThresholdedRelu": Rule(_thresholded, steps=True),
    "Shrink": Rule(_shrink, steps=True),
    "Relu": Rule(_relu),
    "Sigmoid": _saturating(torch.sigmoid, 2.0, 0.25),
    "Tanh": _saturating(torch.tanh, 1.0),
    "Erf": _saturating(torch.erf, 1.0),
}
