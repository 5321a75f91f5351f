"""Gradient steps of equal length inside the ball, shared by bim, mim and least-likely."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from robusteval.api import Problem, ascent, margin, per_sample, size, wins


def climb(
    problem: Problem,
    steps: int,
    loss: str,
    decay: float = 0.0,
    aim: Tensor | None = None,
    stop: bool = True,
    step: float | None = None,
) -> Tensor:
    """The best iterate of each sample, [B, *shape]: the first that wins, else the one with the largest margin.

    Steps are eps / steps long, or the share `step` of eps, from the clean sample; decay: share of the accumulated
    gradient that is carried on; aim: bool [B, K] in place of problem.safe for the gradient only. Samples that won leave
    the batch, unless not `stop`: then they go on, and the largest margin of all counts.
    """
    x, speed = problem.x, torch.zeros_like(problem.x)
    best, highest = x.clone(), x.new_full((len(x),), -math.inf)
    left = torch.arange(len(x), device=x.device)
    for _ in range(steps):
        if len(left) == 0:
            return best
        guide = problem if aim is None else replace(problem, safe=aim[left])
        grad, value, scores, _ = guide.grad(x, loss)
        won = _keep_better(problem, x, scores, left, best, highest, stop)
        problem.note(loss=value, won=won.float())
        if stop and bool(won.any()):
            on = ~won
            problem, x, grad, speed, left = problem[on], x[on], grad[on], speed[on], left[on]
        speed = decay * speed + grad / per_sample(size(grad, "l1").clamp_min(1e-30), grad)
        length = problem.budget.to(x.dtype) * (1 / steps if step is None else step)
        x = problem.project(x + per_sample(length, x) * ascent(speed, problem.norm))
    if len(left):
        _keep_better(problem, x, problem.scores(x), left, best, highest, stop)
    return best


def _keep_better(
    problem: Problem, x: Tensor, scores: Tensor, left: Tensor, best: Tensor, highest: Tensor, first: bool
) -> Tensor:
    """Writes x into the rows `left` of best where its margin is larger; returns which of them won, bool [B].

    first: no win is better than the first one.
    """
    won = wins(scores, problem.safe)
    value = margin(scores, problem.safe)
    if first:
        value = value.masked_fill(won, math.inf)
    better = value > highest[left]
    best[left[better]], highest[left[better]] = x[better], value[better]
    return won
