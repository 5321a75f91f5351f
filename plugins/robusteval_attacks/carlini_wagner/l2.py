"""One run of Carlini & Wagner's l2 attack (their section VI-A)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robusteval.api import Problem, per_sample, size
from robusteval_attacks.carlini_wagner.descent import Adam, Descent, Tanh, penalty

_EDGE = 1 - 1e-6
_CHECKS = 10  # how often a run looks whether it still makes progress


def descend(problem: Problem, c: Tensor, how: Descent) -> tuple[Tensor, Tensor]:
    """One run for one c [B]: the nearest win of each sample, [B, *shape], and its distance, [B], inf without one."""
    span, tanh = problem.bounds[1] - problem.bounds[0], Tanh(problem)
    w = tanh.inverse(problem.x, _EDGE)
    adam, best, shortest = Adam(w), problem.x.clone(), torch.full_like(c, math.inf)
    left, record = torch.arange(len(c), device=c.device), torch.full_like(c, math.inf)
    for step in range(how.steps):
        curve = w.tanh()
        x = problem.x if step == 0 else problem.clip(tanh.image(curve))
        short, slope, _, won = penalty(problem, x, how.confidence)
        length = size(x - problem.x, "l2")
        nearer = won & (length < shortest[left])
        best[left[nearer]], shortest[left[nearer]] = x[nearer], length[nearer]
        value = (length / span).square() + c * short
        problem.note(loss=value, distance=length, won=won.float())
        pull = 2 * (x - problem.x) / span**2 + per_sample(c, x) * slope
        w = w - how.rate * adam.direction(tanh.slope(pull, curve))
        if how.abort_early and (step + 1) % max(1, how.steps // _CHECKS) == 0:
            on = value < 0.9999 * record
            record = torch.minimum(value, record)
            problem, left, c, w, record = problem[on], left[on], c[on], w[on], record[on]
            adam.only(on)
        if len(left) == 0:
            break
    return best, shortest
