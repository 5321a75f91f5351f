"""What Carlini & Wagner's three attacks share: Adam, the margin penalty, and how a run is set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from robusteval.api import Problem, margin, per_sample

_DECAYS = (0.9, 0.999)  # Adam's, as in its paper


@dataclass(frozen=True)
class Descent:
    """How one run goes: steps at most, Adam's rate, kappa in units of the scores, whether stalled samples leave."""

    steps: int
    rate: float
    confidence: float
    abort_early: bool


class Penalty(NamedTuple):
    """max(kappa - margin, 0) of one pass."""

    short: Tensor  # [B], its value
    slope: Tensor  # [B, *shape], by x: zero where the margin is reached
    rise: Tensor  # [B, *shape], the margin's own gradient
    won: Tensor  # bool [B], a win with a margin of kappa


def penalty(problem: Problem, x: Tensor, kappa: float) -> Penalty:
    """The margin penalty at x, for one forward and one backward pass."""
    grad, gap, scores, won = problem.grad(x, "margin")
    short = (kappa - gap).clamp_min(0)
    # the margin is taken once more from the mean scores: with several draws it is not the mean of their margins
    return Penalty(short, per_sample(short > 0, x) * -grad, grad, won & (margin(scores, problem.safe) >= kappa))


class Adam:
    """Adam's moments of a batch that samples may leave."""

    def __init__(self, like: Tensor) -> None:
        self.first, self.second, self.count = torch.zeros_like(like), torch.zeros_like(like), 0

    def direction(self, slope: Tensor) -> Tensor:
        """The next step for this slope, of size one at most in the beginning; to be scaled by the rate and
        subtracted."""
        self.count += 1
        self.first = _DECAYS[0] * self.first + (1 - _DECAYS[0]) * slope
        self.second = _DECAYS[1] * self.second + (1 - _DECAYS[1]) * slope.square()
        root = (self.second / (1 - _DECAYS[1] ** self.count)).sqrt() + 1e-8
        return self.first / (1 - _DECAYS[0] ** self.count) / root

    def only(self, rows: Tensor) -> None:
        """Goes on with these rows, by bool mask or index."""
        self.first, self.second = self.first[rows], self.second[rows]


class Tanh:
    """The change of variable x = low + half (tanh w + 1), which keeps x inside the box."""

    def __init__(self, problem: Problem) -> None:
        self.low, self.half = problem.bounds[0], (problem.bounds[1] - problem.bounds[0]) / 2

    def inverse(self, x: Tensor, edge: float) -> Tensor:
        """w of x, once x is drawn towards the middle by the factor edge < 1, which keeps atanh finite."""
        return ((x - self.low) / self.half - 1).mul(edge).atanh()

    def image(self, curve: Tensor) -> Tensor:
        """x of tanh w; rounding may leave the box by a hair."""
        return self.low + self.half * (curve + 1)

    def slope(self, slope: Tensor, curve: Tensor) -> Tensor:
        """A slope by x as one by w."""
        return slope * self.half * (1 - curve.square())
