"""Bookkeeping that minimal attacks share: the nearest win of each sample, and lengths in units of the pixels' range."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robusteval.api import Problem, per_sample, size


class Nearest:
    """The nearest win of each sample so far; `found` [B, *shape], `distance` [B] in the problem's norm, or infinity."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.found = problem.x.clone()
        self.distance = problem.x.new_full((len(problem),), math.inf)

    def offer(self, x: Tensor, won: Tensor) -> Tensor:
        """Takes the rows of x that win nearer than before; returns their distances from the clean samples, [B]."""
        distance = self.problem.distance(x)
        nearer = won & (distance < self.distance)
        self.found = torch.where(per_sample(nearer, x), x, self.found)
        self.distance = torch.where(nearer, distance, self.distance)
        return distance

    def close(self, last: Tensor) -> Tensor:
        """The answer of the attack: the nearest wins, and the last iterate where there was none."""
        self.offer(last, self.problem.won(last))
        return torch.where(per_sample(self.distance.isinf(), last), last, self.found)


def spread(problem: Problem) -> float:
    """Length of the box's side, the unit of every step and radius."""
    return problem.bounds[1] - problem.bounds[0]


def cosine(first: float, last: float, step: int, steps: int) -> float:
    """Cosine annealing from first at step 0 to last at the end."""
    return last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2


def linear_distance(grad: Tensor, loss: Tensor, most: float) -> Tensor:
    """L2 distance at which a loss below 0 would reach 0 if it grew at the rate of its gradient, at most `most`, [B].

    Scales the steps of attacks whose papers assume digits; `most` where the gradient tells nothing.
    """
    steepness = size(grad, "l2")
    estimate = -loss / steepness.clamp_min(1e-30)
    usable = (steepness > 0) & (estimate > 1e-4 * most) & torch.isfinite(estimate)
    return torch.where(usable, estimate.clamp_max(most), most)
