"""Exact projections on the intersection of a hyperplane with the box, in three norms."""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval.api import Problem, per_sample


def cross(problem: Problem, x: Tensor, slope: Tensor, gap: Tensor) -> Tensor:
    """The smallest move, in the problem's norm, of x to a point z of the box with <slope, z - x> = gap: [B, *shape].

    x, slope: [B, *shape], x in the box; gap: [B], of either sign. Where no point of the box lies on the hyperplane, the
    move ends in the corner nearest to it; where the slope is zero, there is no move.
    """
    low, high = problem.bounds
    up = slope * per_sample(torch.where(gap >= 0, 1.0, -1.0), slope)
    room = torch.where(up > 0, high - x, x - low).masked_fill(up == 0, 0).flatten(1).double()
    steep, need = up.flatten(1).abs().double(), gap.abs().double()
    fill = {"l1": _greedy, "l2": _water, "linf": _level}[problem.norm]
    return (fill(steep, room, need) * up.flatten(1).sign()).to(x.dtype).reshape(x.shape)


def _greedy(steep: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """l1: the steepest values first, each as far as the box allows, [B, N]."""
    order = steep.argsort(dim=1, descending=True)
    gain = (steep * room).gather(1, order)
    left = (need[:, None] - gain.cumsum(1) + gain).clamp_min(0)
    taken = torch.minimum(gain, left) / steep.gather(1, order).clamp_min(1e-300)
    return torch.zeros_like(room).scatter_(1, order, taken)


def _level(steep: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """linf: every value moves by the same length, or as far as the box allows, [B, N]."""
    return torch.minimum(room, _solve(steep, room, need)[:, None])


def _water(steep: Tensor, room: Tensor, need: Tensor) -> Tensor:
    """l2: every value moves in proportion to its slope, or as far as the box allows, [B, N]."""
    edge = torch.where(steep > 0, room / steep.clamp_min(1e-300), torch.zeros_like(room))
    return torch.minimum(room, _solve(steep.square(), edge, need)[:, None] * steep)


def _solve(rate: Tensor, edge: Tensor, need: Tensor) -> Tensor:
    """The t at which sum(rate * min(t, edge)) reaches need, or the largest edge where it never does, [B]."""
    order = edge.argsort(dim=1)
    edge, rate = edge.gather(1, order), rate.gather(1, order)
    filled = (rate * edge).cumsum(1)
    growing = rate.sum(1, keepdim=True) - rate.cumsum(1)  # what still grows beyond each edge
    reached = filled + growing * edge
    index = (reached < need[:, None]).sum(1, keepdim=True)
    beyond = index >= edge.shape[1]
    index = index.clamp_max(edge.shape[1] - 1)
    before = torch.where(index > 0, filled.gather(1, (index - 1).clamp_min(0)), torch.zeros_like(need[:, None]))
    slope = (growing + rate).gather(1, index)
    exact = ((need[:, None] - before) / slope.clamp_min(1e-300)).clamp_min(0)
    return torch.where(beyond, edge[:, -1:], torch.minimum(exact, edge.gather(1, index))).squeeze(1)
