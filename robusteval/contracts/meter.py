"""Meters at the pipeline: what an attack used is counted here, never by the attack."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


@dataclass
class Meter:
    """Passes and gradient health, per sample: int64 [N] each; shared by all sub-problems of a unit."""

    size: int
    forwards: Tensor = field(init=False)
    backwards: Tensor = field(init=False)
    zero_gradients: Tensor = field(init=False)  # gradient queries whose answer was exactly zero
    bad_gradients: Tensor = field(init=False)  # gradient queries whose answer was not finite

    def __post_init__(self) -> None:
        for name in ("forwards", "backwards", "zero_gradients", "bad_gradients"):
            setattr(self, name, torch.zeros(self.size, dtype=torch.int64))

    def forward(self, rows: Tensor, passes: int = 1) -> None:
        """Counts forward passes of these rows (repeated rows count each time)."""
        self.forwards.index_add_(0, rows.cpu(), torch.full((len(rows),), passes))

    def backward(self, rows: Tensor, passes: int = 1) -> None:
        """Counts backward passes of these rows."""
        self.backwards.index_add_(0, rows.cpu(), torch.full((len(rows),), passes))

    def gradients(self, grad: Tensor, bad: Tensor, rows: Tensor, passes: int) -> None:
        """Counts a gradient query's backward passes, and the rows whose gradient was zero or not finite."""
        self.backward(rows, passes)
        zero = (grad.flatten(1) == 0).all(1) & ~bad
        self.zero_gradients.index_add_(0, rows.cpu(), zero.long().cpu())
        self.bad_gradients.index_add_(0, rows.cpu(), bad.long().cpu())


@dataclass
class Trace:
    """Trace points of a run: for each name, the sum over samples and their number at each step."""

    points: list[dict[str, float]] = field(default_factory=list)

    def add(self, rows: Tensor, values: dict[str, Tensor | float]) -> None:
        """One point: each value's mean over the samples where it is finite (a distance is infinite until a win), left
        out where it is nowhere; and how many samples were still in play. JSON can carry every number of it."""
        point = {"samples": float(len(rows))}
        for name, value in values.items():
            column = torch.as_tensor(value, dtype=torch.float64).detach()
            column = column[torch.isfinite(column)]
            if column.numel():
                point[name] = float(column.mean())
        self.points.append(point)
