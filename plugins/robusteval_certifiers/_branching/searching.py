"""Branch and bound (Bunel et al. 2020): the parts with the least bounds are split until all are beyond the goal.

What is returned is the least bound of parts that cover the ball, whenever the search ends. It ends at a count of parts,
never by a clock, so that a run that is taken up again has the same bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from robusteval.api import beat
from robusteval_certifiers._branching.choosing import chosen
from robusteval_certifiers._branching.climbing import climbed
from robusteval_certifiers._branching.parts import Frame, Parts, halves, joined

_TRIED = 32  # parts, before anything is said of how many more it would take
_HOPE = 2.0  # how much faster than so far the least bound may rise from there on


@dataclass(frozen=True)
class Effort:
    """limit: parts that are bounded at most; at_once: of them in a batch; steps, rate: of their ascent; looks: ReLUs
    of which both halves are bounded before one is split."""

    limit: int
    at_once: int
    steps: int
    rate: float
    looks: int


def searched(frame: Frame, parts: Parts, goal: float, effort: Effort) -> tuple[float, int]:
    """(a lower bound of the least value of the parts' functions, each on its part; how many parts were bounded)."""
    settled, spent, first = torch.inf, 0, float(parts.best.min()) if len(parts) else torch.inf
    while True:
        settled = min([settled, *parts.best[parts.best > goal].tolist()])
        parts = parts[(~(parts.best > goal)).nonzero().squeeze(1)]
        room = min(effort.at_once, (effort.limit - spent) // 2)
        if not len(parts) or room < 1 or _hopeless(first, parts, goal, spent, effort.limit):
            break
        beat()
        order = parts.best.argsort(dim=0, stable=True)
        worst, others = parts[order[:room]], parts[order[room:]]
        choice = chosen(frame, worst, effort.looks)
        if bool((choice.met <= goal).any()) or bool(choice.none.any()):
            break  # the goal is not true, or this part stays as it is
        spent += 2 * len(worst)
        both = halves(worst, choice.place, choice.element)
        parts = joined(others, climbed(frame, both, effort.steps, effort.rate, goal))
    return float(min([settled, *parts.best.tolist()])), spent


def _hopeless(first: float, parts: Parts, goal: float, spent: int, limit: int) -> bool:
    """Whether the goal is too far for the parts that may still be bounded: with their count doubled again and again the
    least bound rises ever less, so that twice what a doubling has brought so far is more than can be hoped for."""
    least = float(parts.best.min())
    if not math.isfinite(least) or spent < _TRIED:
        return not math.isfinite(least)
    ahead = _HOPE * (least - first) * math.log(limit / spent) / math.log(spent)
    return least + ahead < goal
