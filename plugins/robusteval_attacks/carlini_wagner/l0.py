"""Carlini & Wagner's l0 attack (their section VI-B): l2 runs on fewer and fewer free pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from robusteval.api import Problem, per_sample
from robusteval_attacks.carlini_wagner.descent import Adam, Descent, Tanh, penalty

_EDGE = 0.99  # nearness does not count here, and a pixel at the edge of the box would take a hundred steps to leave it
_HASTE = 4.0  # times the rate: a run ends at its first win, so it need not settle
_FACTOR = 10.0  # c grows by this when a run stalls
_RAISES = 2  # how often it may in a round that follows a win
_CHECKS = 10  # how often a run looks whether it still makes progress


class Round(NamedTuple):
    """Where a run on some free pixels came to; rows without a win stand where they began."""

    won: Tensor  # bool [B]
    x: Tensor  # the win, [B, *shape]
    w: Tensor  # the same in tanh space
    worth: Tensor  # of each pixel, [B, P]: g_i delta_i, what the margin loses without it
    c: Tensor  # [B]


def fewest(problem: Problem, first: float, searches: int, share: float, how: Descent) -> Tensor:
    """The win of each sample with the fewest changed pixels, [B, *shape]; the clean sample without one.

    After a win the pixels leave that are worth least, a share of the free ones at once. Where the rest is not enough
    half as many are tried; a sample ends when not even one pixel can go. first, searches: the first c, and how many of
    them.
    """
    best = problem.x.clone()
    rows = (~problem.won(best)).nonzero().squeeze(1)  # lost samples need no change at all
    rest = problem[rows]
    w, free = Tanh(rest).inverse(rest.x, _EDGE), torch.ones_like(_pixels(rest.x), dtype=torch.bool)
    last = _run(rest, free, w, rest.x.new_full((len(rows),), first), searches - 1, how)
    best[rows[last.won]] = last.x[last.won]
    most = free.sum(1)  # so many pixels may leave at once
    on = last.won & (most > 1)
    while bool(on.any()):
        rows, rest, free, most, last = rows[on], rest[on], free[on], most[on], Round(*(part[on] for part in last))
        leaving = _leaving(last.worth, free, share, most)
        fewer = free & (last.worth.masked_fill(~free, math.inf).argsort(1).argsort(1) >= leaving[:, None])
        new = _run(rest, fewer, last.w, last.c, _RAISES, how)
        best[rows[new.won]] = new.x[new.won]
        last = Round(*(torch.where(per_sample(new.won, a), a, b) for a, b in zip(new, last, strict=True)))
        free, most = torch.where(new.won[:, None], fewer, free), torch.where(new.won, most * 2, leaving // 2)
        on = (most > 0) & (free.sum(1) > 1)
    return best


def _leaving(worth: Tensor, free: Tensor, share: float, most: Tensor) -> Tensor:
    """How many of the free pixels [B, P] leave next: a share, all that are worth nothing, not more than `most`, [B]."""
    count, idle = free.sum(1), ((worth <= 0) & free).sum(1)
    wanted = torch.maximum((share * count).ceil().long(), idle)
    return torch.minimum(torch.minimum(wanted, most), count - 1)


def _run(problem: Problem, free: Tensor, w: Tensor, c: Tensor, raises: int, how: Descent) -> Round:
    """Adam on the free pixels [B, P] from w, each sample until its first win; c [B] grows where it stalls."""
    span, tanh, raised = problem.bounds[1] - problem.bounds[0], Tanh(problem), torch.zeros_like(c)
    end = Round(
        torch.zeros_like(c, dtype=torch.bool),
        problem.x.clone(),
        w.clone(),
        torch.zeros_like(free, dtype=w.dtype),
        c.clone(),
    )
    adam, left, record = Adam(w), torch.arange(len(c), device=c.device), torch.full_like(c, math.inf)
    spread = _spread(free, w)
    for step in range(how.steps * (raises + 1)):
        curve = w.tanh()
        x = torch.where(spread, problem.clip(tanh.image(curve)), problem.x)
        short, slope, rise, won = penalty(problem, x, how.confidence)
        problem.note(loss=short, distance=problem.distance(x), won=won.float())
        at, hit = left[won], x[won]
        end.won[at], end.x[at], end.w[at], end.c[at] = True, hit, w[won], c[won]
        end.worth[at] = _pixels((rise * (x - problem.x))[won])
        pull = 2 * (x - problem.x) / span**2 + per_sample(c, x) * slope
        w = w - _HASTE * how.rate * adam.direction(tanh.slope(pull, curve) * spread)
        on = ~won
        if (step + 1) % max(1, how.steps // _CHECKS) == 0:
            stalled = short >= 0.99 * record
            c, raised = torch.where(stalled, c * _FACTOR, c), raised + stalled
            record = torch.minimum(short, record)
            on &= (raised <= raises) if how.abort_early else True
        if not bool(on.all()):
            problem, left, c, w, record = problem[on], left[on], c[on], w[on], record[on]
            spread, raised = spread[on], raised[on]
            adam.only(on)
        if len(left) == 0:
            break
    return end


def _pixels(values: Tensor) -> Tensor:
    """The sum over the channels of each pixel, [B, P]: for images [B, C, H, W], otherwise every value is a pixel."""
    return values.sum(1).flatten(1) if values.dim() == 4 else values.flatten(1)


def _spread(pixels: Tensor, like: Tensor) -> Tensor:
    """Values [B, P] of pixels for each of their channels, [B, *shape]."""
    shape = (len(like), 1, *like.shape[2:]) if like.dim() == 4 else like.shape
    return pixels.reshape(shape).expand_as(like)
