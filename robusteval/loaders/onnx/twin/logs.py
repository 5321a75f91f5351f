"""Operators of our own: sums, means and complements of numbers that are given by their logarithms."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, fixed
from robusteval.loaders.onnx.twin.reduce import axes_to_reduce

DOMAIN = "robusteval"
NEVER = -1e4  # stands for the logarithm of zero: finite, so that no product with it is NaN


def _sum(*logs: Tensor) -> Tensor:
    """log(exp a + exp b + ...), broadcasting."""
    return functools.reduce(torch.logaddexp, logs)


def _mean(*logs: Tensor) -> Tensor:
    return _sum(*logs) - math.log(len(logs))


def _reduce_mean(node: Node) -> Fn:
    def run(x: Tensor, given: Tensor | None = None) -> Tensor:
        axes, keep = axes_to_reduce(node, x, given)
        if axes is None:
            return x
        return torch.logsumexp(x, axes, keep) - math.log(math.prod(x.shape[a] for a in axes))

    return run


def _rest(log: Tensor) -> Tensor:
    """log(1 - p) from log p <= 0 (Maechler 2012, Accurately computing log(1 - exp(-|a|)))."""
    log = log.clamp(max=-1e-12)
    near = torch.log(
        -torch.expm1(log.clamp(min=-1.0))
    )  # the other branch's values must not reach this one's derivative
    return torch.where(log > -math.log(2), near, torch.log1p(-torch.exp(log.clamp(max=-0.5))))


def _rest_softmax(node: Node) -> Fn:
    """log(1 - softmax(z)) = logsumexp of the others - logsumexp of all, along an axis; exact where p is nearly 1."""
    axis = node.get_int("axis", -1 if node.opsets.get("", 13) >= 13 else 1)

    def run(z: Tensor) -> Tensor:
        rows = z.movedim(axis, -1)
        own = torch.eye(rows.shape[-1], dtype=torch.bool, device=z.device)
        others = rows.unsqueeze(-2).masked_fill(own, NEVER).logsumexp(-1)
        return (others - rows.logsumexp(-1, keepdim=True)).movedim(-1, axis)

    return run


def _log_constant(x: Tensor) -> Tensor:
    return torch.where(x > 0, x.clamp_min(torch.finfo(x.dtype).tiny).log(), torch.full_like(x, NEVER))


def _matmul(node: Node) -> Fn:
    """log(exp(a) @ w) for w >= 0."""
    turned = node.get_int("transB")

    def run(log: Tensor, weight: Tensor) -> Tensor:
        weight = _log_constant(weight.T if turned else weight)
        return torch.logsumexp(log.unsqueeze(-1) + weight, -2)

    return run


def _softplus(x: Tensor) -> Tensor:
    """log(softplus(x)); far to the left softplus(x) is exp(x)."""
    return torch.where(x < -15, x, F.softplus(x.clamp(min=-15)).log())


RULES: Mapping[str, Rule] = {
    "LogSum": Rule(fixed(_sum)),
    "LogMean": Rule(fixed(_mean)),
    "ReduceLogMean": Rule(_reduce_mean, host=(1,)),
    "LogRest": Rule(fixed(_rest)),
    "LogRestSoftmax": Rule(_rest_softmax),
    "LogConstant": Rule(fixed(_log_constant)),
    "LogMatMul": Rule(_matmul),
    "LogSoftplus": Rule(fixed(_softplus)),
}
