"""Bookkeeping that minimal attacks share: the nearest win of each sample, and lengths in units of the pixels' range."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from robusteval.api import Passes, Problem, per_sample, size


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


def nearest_over_targets(problem: Problem, targets: int, run: Callable[[Problem], Tensor]) -> Tensor:
    """The nearest win of one run that takes any class and of one run towards each of the likeliest, [B, *shape].

    A run commits itself to the class that is nearest at first, which is often not the one whose boundary is nearest.
    targets: how many of the likeliest winning classes, by the scores of the clean samples; where a single class wins
    the runs towards it would repeat the first, so there are none.
    """
    first = run(problem)
    count = min(targets, problem.classes - 1)
    if count == 0 or len(problem) == 0:
        return first
    nearest = Nearest(problem)
    nearest.offer(first, problem.won(first))
    order = problem.scores(problem.x).masked_fill(problem.safe, -math.inf).argsort(dim=1, descending=True, stable=True)
    several = (~problem.safe).sum(1) > 1
    for rank in range(count):
        aim = order[:, rank : rank + 1]
        rows = (several & ~problem.safe.gather(1, aim).squeeze(1)).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        safe = torch.ones_like(problem.safe[rows]).scatter_(1, aim[rows], False)
        part = replace(problem[rows], safe=safe)
        found, won = problem.x.clone(), torch.zeros_like(several)
        found[rows] = run(part)
        won[rows] = part.won(found[rows])
        nearest.offer(found, won)
    return torch.where(per_sample(nearest.distance.isinf(), first), first, nearest.found)


def over_targets_passes(run: Passes, targets: int) -> Passes:
    """What nearest_over_targets costs per sample, from the cost of one run; targets: as many as there are classes
    for."""
    return run * (1 + targets) + (Passes(2 + targets) if targets else Passes(0))


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
