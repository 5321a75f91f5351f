"""Carlini & Wagner's linf attack (their section VI-C): a penalty on what exceeds a bound tau that shrinks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robusteval.api import Problem, per_sample, size
from robusteval_attacks.carlini_wagner.descent import Adam, Descent, penalty

_SHRINK = 0.9  # tau falls by this, as in the paper
_FACTOR = 10.0  # c grows by this when a run fails
_RAISES = 1  # how often it may in a round that follows a win
_CHECKS = 10  # how often a run looks whether it still makes progress


def lowest(problem: Problem, first: float, searches: int, how: Descent) -> Tensor:
    """The win of each sample with the lowest largest change, [B, *shape]; the clean sample without one.

    Each round minimises c f + sum (|delta| - tau)+ until a win has no change above tau; then tau is 0.9 of the largest.
    A sample ends when no c does it. first, searches: the first c, and how many of them the first round may try.

    The box is kept by clipping, the first of the three ways in their section V-B: in tanh space a value at the edge of
    the box could not move by as little as tau in any number of steps.
    """
    span = problem.bounds[1] - problem.bounds[0]
    best = problem.x.clone()
    rows = (~problem.won(best)).nonzero().squeeze(1)
    rest, start = problem[rows], problem.x[rows]
    c, tau, tries = start.new_full((len(rows),), first), start.new_ones(len(rows)), searches
    while len(rows):
        won, found, c = _round(rest, start, tau, c, tries, how)
        best[rows[won]] = found[won]
        rows, rest, start, c, tries = rows[won], rest[won], found[won], c[won], 1 + _RAISES
        tau = _SHRINK * torch.minimum(tau[won], size(start - rest.x, "linf") / span)
        on = tau > 1e-6
        rows, rest, start, c, tau = rows[on], rest[on], start[on], c[on], tau[on]
    return best


def _round(
    problem: Problem, start: Tensor, tau: Tensor, c: Tensor, tries: int, how: Descent
) -> tuple[Tensor, Tensor, Tensor]:
    """Runs from start with tau [B] and growing c [B]: whether there is a win within tau, bool [B], the win, and its
    c."""
    won, found, c = torch.zeros_like(c, dtype=torch.bool), start.clone(), c.clone()
    for turn in range(tries):
        rows = (~won).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        if turn:
            c[rows] *= _FACTOR
        won[rows], found[rows] = _run(problem[rows], start[rows], tau[rows], c[rows], how)
    return won, found, c


def _run(problem: Problem, x: Tensor, tau: Tensor, c: Tensor, how: Descent) -> tuple[Tensor, Tensor]:
    """Adam from x, each sample until its first win without a change above tau: bool [B] and [B, *shape]."""
    span = problem.bounds[1] - problem.bounds[0]
    done, found = torch.zeros_like(c, dtype=torch.bool), x.clone()
    adam, left = Adam(x), torch.arange(len(c), device=c.device)
    lowest, record = torch.full_like(c, math.inf), torch.full_like(c, math.inf)  # of the objective: so far, last check
    for step in range(how.steps):
        short, slope, _, won = penalty(problem, x, how.confidence)
        delta = (x - problem.x) / span
        over = (delta.abs() - per_sample(tau, x)).clamp_min(0)
        height = size(delta, "linf")
        excess = over.flatten(1).sum(1)
        value = c * short + excess
        lowest = torch.minimum(lowest, value)
        problem.note(loss=value, distance=height * span, won=won.float())
        enough = won & (height <= tau * (1 + 1e-4))
        done[left[enough]], found[left[enough]] = True, x[enough]
        pull = delta.sign() * (over > 0) + per_sample(c, x) * slope * span
        x = problem.clip(x - per_sample(how.rate * tau * span, x) * adam.direction(pull))
        on = ~enough
        if how.abort_early and (step + 1) % max(1, how.steps // _CHECKS) == 0:
            on &= lowest < 0.99 * record
            record = lowest
        if not bool(on.all()):
            problem, left, c, tau, x = problem[on], left[on], c[on], tau[on], x[on]
            lowest, record = lowest[on], record[on]
            adam.only(on)
        if len(left) == 0:
            break
    return done, found
