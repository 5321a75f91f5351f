"""Robust accuracy at one budget: attacks in order, each on what the ones before it left."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.engine.plan.cascades import Member
from robusteval.engine.search.distance_search import Best, Sweep
from robusteval.engine.search.judge import Judged, judge

Ask = Callable[[Member, Tensor, Tensor | None], Tensor]  # (member, rows, eps or None) -> candidates of these rows


def run_cascade(sweep: Sweep, members: tuple[Member, ...], eps: float, ask: Ask) -> tuple[Best, Tensor]:
    """The nearest win within eps of each sample, and the place of the member that found it, int64 [B], -1 where none
    did.

    A win is kept at the distance at which it was found: no search towards the clean sample follows, as the question is
    only whether the sample is lost. A minimal attack wins where its answer lies within the budget.
    """
    best = Best.none(sweep.x0)
    by = torch.full((len(sweep.x0),), -1, dtype=torch.int64, device=sweep.x0.device)
    for index, member in enumerate(members):
        rows = (by < 0).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        budget = torch.full((len(rows),), eps, dtype=sweep.x0.dtype, device=sweep.x0.device)
        candidates = ask(member, rows, budget if member.attack.info.budget == "fixed" else None)
        x0, threat = sweep.x0[rows], sweep.threat[rows]
        if member.attack.info.budget == "fixed":
            judged = judge(sweep.pipeline, x0, candidates, threat, budget, sweep.rng)
        else:
            judged = judge(sweep.pipeline, x0, candidates, threat, None, sweep.rng)
        _within(judged, budget)
        best.take(rows, judged)
        by[rows[judged.won]] = index
    return best, by


def _within(judged: Judged, budget: Tensor) -> None:
    """Takes back the wins that lie beyond the budget as judged, after any rounding to a grid."""
    far = judged.won & (judged.distance > budget.double() * (1 + 1e-6))
    judged.won[far] = False
    judged.distance[far] = torch.inf
    judged.l2[far] = torch.inf
