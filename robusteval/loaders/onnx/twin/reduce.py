"""Reductions, softmax and its relatives, running sums, and the position of extremes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, numbers
from robusteval.loaders.onnx.twin.shape import axes_of

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _prod(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    for axis in sorted(axes, reverse=True):
        x = x.prod(axis, keepdim=keep)
    return x


def _extreme(take: Fn, otherwise: Callable[[torch.dtype], float]) -> Reduction:
    def reduce(x: Tensor, axes: list[int], keep: bool) -> Tensor:
        if any(x.shape[a] == 0 for a in axes):  # nothing to take the extreme of: the type's own limit
            shape = [1 if i in axes else n for i, n in enumerate(x.shape)]
            empty = torch.full(shape, otherwise(x.dtype), dtype=x.dtype, device=x.device)
            return empty if keep else empty.squeeze(tuple(axes))
        out: Tensor = take(x.to(torch.uint8) if x.dtype == torch.bool else x, axes, keep)
        return out.to(x.dtype)

    return reduce


def _lowest(dtype: torch.dtype) -> float:
    return -math.inf if dtype.is_floating_point else (0 if dtype == torch.bool else torch.iinfo(dtype).min)


def _highest(dtype: torch.dtype) -> float:
    return math.inf if dtype.is_floating_point else (1 if dtype == torch.bool else torch.iinfo(dtype).max)


def _sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keep, dtype=x.dtype)


def _mean(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.mean(axes, keep) if x.is_floating_point() else x.double().mean(axes, keep).to(x.dtype)


def _l2(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    size: Tensor = torch.linalg.vector_norm(x if x.is_floating_point() else x.double(), 2, axes, keep)
    return size.to(x.dtype)


def _log_sum(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return x.sum(axes, keep).log()


def _log_sum_exp(x: Tensor, axes: list[int], keep: bool) -> Tensor:
    return torch.logsumexp(x, axes, keep)


REDUCTIONS: Mapping[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceProd": _prod,
    "ReduceMax": _extreme(torch.amax, _lowest),
    "ReduceMin": _extreme(torch.amin, _highest),
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep, dtype=x.dtype),
    "ReduceL2": _l2,
    "ReduceSumSquare": lambda x, axes, keep: (x * x).sum(axes, keep, dtype=x.dtype),
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}
POINTWISE: Mapping[str, Fn] = {  # what remains of a reduction over no axes at all
    "ReduceL1": torch.abs,
    "ReduceL2": torch.abs,
    "ReduceSumSquare": torch.square,
    "ReduceLogSum": torch.log,
}


def axes_to_reduce(node: Node, x: Tensor, given: Tensor | None) -> tuple[list[int] | None, bool]:
    """The axes to reduce x over, None where there is nothing to reduce, and whether they are kept."""
    axes, keep = axes_of(node, given), bool(node.get_int("keepdims", 1))
    if not axes and node.get_int("noop_with_empty_axes"):
        return None, keep
    return [a % x.dim() for a in axes] if axes and x.dim() else list(range(x.dim())), keep


def _reduction(op: str) -> Rule:
    reduce = REDUCTIONS[op]

    def build(node: Node) -> Fn:
        def run(x: Tensor, given: Tensor | None = None) -> Tensor:
            axes, keep = axes_to_reduce(node, x, given)
            if axes is None:
                return POINTWISE[op](x) if op in POINTWISE else x
            if not x.dim():
                return reduce(x.reshape(1), [0], False)
            return reduce(x, axes, keep)

        return run

    return Rule(build, host=(1,))


def _softmax(fn: Fn) -> Callable[[Node], Fn]:
    """Before opset 13 the input was flattened to two axes first."""

    def build(node: Node) -> Fn:
        if node.opset >= 13 or node.domain:
            axis = node.get_int("axis", -1)
            return lambda x: fn(x, axis)
        at = node.get_int("axis", 1)

        def flat(x: Tensor) -> Tensor:
            rows = math.prod(x.shape[: at if at >= 0 else at + x.dim()])
            out: Tensor = fn(x.reshape(rows, -1), 1)
            return out.reshape(x.shape)

        return flat

    return build


def _hardmax(x: Tensor, axis: int) -> Tensor:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)


def _arg(largest: bool) -> Callable[[Node], Fn]:
    def build(node: Node) -> Fn:
        axis, keep, last = node.get_int("axis"), bool(node.get_int("keepdims", 1)), node.get_int("select_last_index")
        find = torch.argmax if largest else torch.argmin

        def arg(x: Tensor) -> Tensor:
            if not last:
                return find(x, axis, keep)
            return x.shape[axis] - 1 - find(x.flip(axis), axis, keep)

        return arg

    return build


def _cumulative(fn: Fn, neutral: float) -> Callable[[Node], Fn]:
    def build(node: Node) -> Fn:
        exclusive, reverse = node.get_int("exclusive"), node.get_int("reverse")

        def run(x: Tensor, axis: Tensor) -> Tensor:
            at = int(numbers(axis)[0])
            x = x.flip(at) if reverse else x
            if exclusive:
                first = torch.full_like(x.narrow(at, 0, 1), neutral)
                x = torch.cat([first, x.narrow(at, 0, x.shape[at] - 1)], at)
            out: Tensor = fn(x, at, dtype=x.dtype)
            return out.flip(at) if reverse else out

        return run

    return build


def _lp_normalization(node: Node) -> Fn:
    axis, p = node.get_int("axis", -1), node.get_int("p", 2)

    def normalize(x: Tensor) -> Tensor:
        size = torch.linalg.vector_norm(x, p, axis, keepdim=True)
        return x / torch.where(size == 0, torch.ones_like(size), size)

    return normalize


RULES: Mapping[str, Rule] = {
    **{op: _reduction(op) for op in REDUCTIONS},
    "Softmax": Rule(_softmax(torch.softmax)),
    "LogSoftmax": Rule(_softmax(F.log_softmax)),
    "Hardmax": Rule(_softmax(_hardmax), steps=True),
    "ArgMax": Rule(_arg(True), steps=True),
    "ArgMin": Rule(_arg(False), steps=True),
    "CumSum": Rule(_cumulative(torch.cumsum, 0.0), host=(1,)),
    "CumProd": Rule(_cumulative(torch.cumprod, 1.0), host=(1,)),
    "LpNormalization": Rule(_lp_normalization),
}
