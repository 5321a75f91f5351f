"""The linear readout that tells one point from many others with the widest margin."""

from __future__ import annotations

import torch
from torch import Tensor

_RANKING = 20  # steps that suffice to see which candidate stands out
_FINAL = 300  # within half a percent of the widest margin, measured
_APART = 1e-3  # of the points' mean size about their centre: what stands out less cannot be told from rounding


def outstanding(points: Tensor, candidates: Tensor) -> tuple[int, Tensor, Tensor, Tensor] | None:
    """The candidate that a line tells best from all points and all other candidates.

    points: float64 [n, D]; candidates: [T, D]. Returns its place, the way w [D] of the widest margin, the largest w . p
    over all others, and w . z of the candidate itself; None where no candidate stands out.
    """
    centre = points.mean(0)
    low, high = points - centre, candidates - centre
    ways = _apart(low, high, _RANKING)
    values = high @ ways.T  # [T of points, T of ways]
    own = values.diagonal().clone()
    others = torch.maximum((low @ ways.T).amax(0), values.fill_diagonal_(-torch.inf).amax(0))
    best = int(((own - others) / ways.norm(dim=1).clamp_min(1e-300)).argmax())
    rest = torch.cat([low, high[:best], high[best + 1 :]])
    direction = _apart(rest, high[best : best + 1], _FINAL)[0]
    top, value = (rest @ direction).amax(), high[best] @ direction
    if not bool((value - top) > _APART * rest.norm(dim=1).mean() * direction.norm()):
        return None
    shift = centre @ direction
    return best, direction, top + shift, value + shift


def _apart(low: Tensor, high: Tensor, steps: int) -> Tensor:
    """From the convex hull of `low` [n, D] to each point of `high` [T, D], the shortest way: [T, D].

    That is the direction of the largest margin. Accelerated projected gradient over the weights of the hull's points:
    all by inner products, so there may be more dimensions than points.
    """
    gram, cross = low @ low.T, high @ low.T
    rate = 1 / torch.linalg.matrix_norm(gram, 2).clamp_min(1e-300)
    weights = torch.full_like(cross, 1 / len(low))
    ahead, speed = weights, 1.0
    for _ in range(steps):
        moved = _simplex(ahead - rate * (ahead @ gram - cross))
        faster = (1 + (1 + 4 * speed * speed) ** 0.5) / 2
        ahead = moved + (speed - 1) / faster * (moved - weights)
        weights, speed = moved, faster
    return high - weights @ low


def _simplex(rows: Tensor) -> Tensor:
    """Each row's nearest point with entries >= 0 that sum to 1."""
    ordered = rows.sort(1, descending=True).values
    excess = (ordered.cumsum(1) - 1) / torch.arange(1, rows.shape[1] + 1, device="cpu").to(rows)
    last = (ordered > excess).sum(1, keepdim=True).clamp_min(1) - 1
    return (rows - excess.gather(1, last)).clamp_min(0)
