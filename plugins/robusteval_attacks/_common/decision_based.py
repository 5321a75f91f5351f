"""What attacks that see decisions alone have in common: a first win, and the walk from there to the boundary."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robusteval.api import Problem, per_sample, size

START_PASSES = 50  # what a first win and its walk to the boundary take per sample, about


def first_wins(problem: Problem, draws: int, theta: float) -> tuple[Tensor, Tensor]:
    """Points at the boundary to start from: ([B, *shape], found [B]); the clean sample where nothing wins.

    Candidates are uniform noise, drawn until it wins, and the nearest of the other clean samples with a winning label;
    both are blended with the clean sample up to the boundary and the nearer one is taken. Samples that are won as they
    are stay as they are. theta: precision of the blend, as a share of its length.
    """
    found = problem.won(problem.x)
    start = problem.x.clone()
    rows = (~found).nonzero().squeeze(1)
    best = start.new_full((len(start),), math.inf)
    if len(rows) == 0:
        return start, found
    for points, known in (_other_samples(problem, rows), _noise(problem, rows, draws)):
        some = rows[known]
        if len(some) == 0:
            continue
        near = to_boundary(problem[some], points[known], theta)
        length = problem[some].distance(near)
        better = length < best[some]
        start[some[better]], best[some[better]] = near[better], length[better]
    return start, found | best.isfinite()


def to_boundary(problem: Problem, x: Tensor, theta: float) -> Tensor:
    """The winning end of a bisection between winning points x [B, *shape] and the clean samples, to the precision
    theta.

    l2 bisects the segment, linf the radius of the ball on which x is projected (section 4 of the HopSkipJump paper).
    """
    length = size(x - problem.x, "linf")
    low, high = torch.zeros_like(length), torch.ones_like(length)
    best = x.clone()
    for _ in range(max(1, math.ceil(-math.log2(theta)))):
        middle = (low + high) / 2
        candidate = _between(problem, x, middle, length)
        won = problem.won(candidate)
        best = torch.where(per_sample(won, x), candidate, best)
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    return best


def _between(problem: Problem, x: Tensor, share: Tensor, length: Tensor) -> Tensor:
    if problem.norm == "linf":
        radius = per_sample(share * length, x)
        return problem.clip(problem.x + (x - problem.x).clamp(-radius, radius))
    return problem.clip(problem.x + per_sample(share, x) * (x - problem.x))


def _other_samples(problem: Problem, rows: Tensor) -> tuple[Tensor, Tensor]:
    """For each row the nearest other clean sample whose label wins for it: (points, known [R])."""
    labels = problem.labels(problem.x)
    wins = ~problem.safe[rows][:, labels]
    flat = problem.x.flatten(1)
    apart = torch.cdist(flat[rows], flat).masked_fill(~wins, math.inf)
    nearest, which = apart.min(1)
    points = problem.x[which]
    known = nearest.isfinite()
    some = known.nonzero().squeeze(1)
    known[some] = problem[rows[some]].won(points[some])  # scores that are not finite have a label but never win
    return points, known


def _noise(problem: Problem, rows: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """The first draw of uniform noise that wins: (points, known [R])."""
    low, high = problem.bounds
    points = problem.x[rows]
    known = torch.zeros(len(rows), dtype=torch.bool, device=points.device)
    for _ in range(draws):
        left = (~known).nonzero().squeeze(1)
        if len(left) == 0:
            break
        part = problem[rows[left]]
        noise = torch.rand(part.x.shape, generator=problem.rng, device=problem.rng.device).to(
            points.device, points.dtype
        )
        points[left] = low + (high - low) * noise
        known[left] = part.won(points[left])
    return points, known
