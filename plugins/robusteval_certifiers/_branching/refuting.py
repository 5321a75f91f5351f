"""Whether a goal is plainly not true: a walk down the gradient that stays in the ball (Frank and Wolfe 1956)."""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval_certifiers._branching.choosing import lowest_point, values_at
from robusteval_certifiers._branching.parts import Frame


def lowest_met(frame: Frame, rows: Tensor, steps: int) -> float:
    """The smallest value that was met of the functions [S, m] of the start node's value at points of the ball; inf
    without functions."""
    ball, lowest = frame.bounds.ball, torch.inf
    x = ball.x.repeat(len(rows), 1)
    for step in range(steps + 1 if len(rows) else 0):
        leaf = x.detach().requires_grad_(True)
        with torch.enable_grad():
            value = (rows * values_at(frame, leaf)[frame.start]).sum(1)
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        lowest = min(lowest, float(value.detach().min()))
        x = x + (lowest_point(ball, slope) - x) * (2 / (step + 2))
    return lowest
