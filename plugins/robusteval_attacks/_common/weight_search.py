"""Searches for the weight of the margin that Carlini & Wagner's objective and its relatives share."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.api import Problem, size

_FACTOR = 10.0  # c grows by this until the first win
_RATIO = 3.0  # of the first two weights that are tried side by side
_ABREAST = 2


def nearest_over_weights(
    problem: Problem, first: float | Tensor, searches: int, run: Callable[[Problem, Tensor], tuple[Tensor, Tensor]]
) -> Tensor:
    """The nearest win of each sample over binary searches on c, per sample: [B, *shape], the clean sample without one.

    first: the first c, for all or for each, [B]. run: one descent for weights c [B], which gives its nearest wins
    [B, *shape] and their distances [B], inf without.
    """
    best, shortest = problem.x.clone(), problem.x.new_full((len(problem),), math.inf)
    c = torch.ones_like(shortest) * first
    low, high = torch.zeros_like(c), torch.full_like(c, math.inf)
    for _ in range(searches):
        todo = (shortest > 0).nonzero().squeeze(1)  # a sample that is lost when clean needs no search
        if len(todo) == 0:
            break
        found, length = run(problem[todo], c[todo])
        nearer = length < shortest[todo]
        best[todo[nearer]], shortest[todo[nearer]] = found[nearer], length[nearer]
        won = length < math.inf
        high[todo] = torch.where(won, torch.minimum(high[todo], c[todo]), high[todo])
        low[todo] = torch.where(won, low[todo], torch.maximum(low[todo], c[todo]))
        c = torch.where(high < math.inf, (low + high) / 2, c * _FACTOR)
    return best


def nearest_around(
    problem: Problem, first: Tensor, searches: int, run: Callable[[Problem, Tensor], tuple[Tensor, Tensor]]
) -> Tensor:
    """The nearest win of each sample over `searches` weights, two of them at a time in one batch: [B, *shape], the
    clean sample without one.

    Begins with first [B] and three times as much, and goes up by tens until a win. From then on it tries the weights on
    both sides of the one with the nearest win, ever closer to it: where the distance is no monotone function of the
    weight a binary search for the smallest weight that wins passes the nearest one by. run: as for
    nearest_over_weights.
    """
    best, shortest = problem.x.clone(), problem.x.new_full((len(problem),), math.inf)
    center, ratio = first.clone(), torch.full_like(first, _RATIO)
    up, top = _RATIO, first / _RATIO
    for start in range(0, searches, _ABREAST):
        todo = (shortest > 0).nonzero().squeeze(1)  # a sample that is lost when clean needs no search
        if len(todo) == 0:
            break
        known = shortest[todo] < math.inf
        ratio[todo] = torch.where(known, ratio[todo].sqrt(), ratio[todo])
        low = torch.where(known, center[todo] / ratio[todo], top[todo] * up)
        high = torch.where(known, center[todo] * ratio[todo], top[todo] * up**2)
        top[todo], ratio[todo] = high, torch.where(known, ratio[todo], up)
        up = _FACTOR
        tried = torch.stack([low, high][: searches - start])
        found, length = run(problem[todo.repeat(len(tried))], tried.flatten())
        for c, x, far in zip(tried, found.chunk(len(tried)), length.chunk(len(tried)), strict=True):
            nearer = far < shortest[todo]
            rows = todo[nearer]
            best[rows], shortest[rows], center[rows] = x[nearer], far[nearer], c[nearer]
    return best


def balancing_weight(problem: Problem, confidence: float, otherwise: float) -> Tensor:
    """The c, [B], at which the slopes of the squared l2 distance, in units of the range, and of c times the margin
    cancel on the boundary, if the margin were linear: below it the clean sample is the minimum. One pass.

    otherwise: c where the gradient tells nothing.
    """
    grad, loss, _, _ = problem.grad(problem.x, "margin")
    steepness = size(grad, "l2") * (problem.bounds[1] - problem.bounds[0])
    c = 2 * (confidence - loss) / steepness.square().clamp_min(1e-30)
    return torch.where((steepness > 0) & (c > 0) & torch.isfinite(c), c, otherwise)
