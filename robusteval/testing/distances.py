"""Smallest steps across a flat boundary inside a box, exact in all four norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robusteval.ops import Norm


def smallest_step(gap: float, slope: Tensor, room: Tensor, norm: Norm) -> float:
    """Size of the smallest d with 0 <= d <= room and <slope, d> >= gap; slope, room: float64 [D], not negative."""
    if gap <= 0:
        return 0.0
    if float((slope * room).sum()) < gap:
        return math.inf
    if norm == "l0":
        return fewest(gap, slope * room)
    if norm == "l1":
        order = slope.argsort(descending=True)
        gains = (slope * room)[order].cumsum(0)
        full = int((gains < gap).sum())
        before = float(gains[full - 1]) if full else 0.0
        return float(room[order][:full].sum()) + (gap - before) / float(slope[order][full])
    # The solution is min(t * direction, room); its gain grows with t.
    direction = slope if norm == "l2" else torch.ones_like(slope)
    low, high = 0.0, float((room / direction.clamp_min(1e-12)).max())
    for _ in range(200):
        middle = (low + high) / 2
        enough = float((slope * torch.minimum(middle * direction, room)).sum()) >= gap
        low, high = (low, middle) if enough else (middle, high)
    step = torch.minimum(high * direction, room)
    return float(step.norm() if norm == "l2" else step.max())


def fewest(gap: float, gains: Tensor) -> float:
    """How many of the largest gains are needed to cover the gap."""
    total = gains.sort(descending=True).values.cumsum(0)
    if gap <= 0:
        return 0.0
    return float((total < gap).sum() + 1) if float(total[-1]) >= gap else math.inf
