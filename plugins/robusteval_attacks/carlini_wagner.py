"""Carlini & Wagner's l2 attack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Problem, hookimpl, margin, param, per_sample, size
from robusteval_attacks._weights import nearest_over_weights

_EDGE = 1 - 1e-6  # keeps atanh finite at the edges of the box
_CHECKS = 10  # how often a run looks whether it still makes progress
_DECAYS = (0.9, 0.999)  # Adam's, as in its paper


@dataclass(frozen=True)
class CarliniWagner:
    """Adam on ||d||^2 + c max(kappa - margin, 0) in tanh space, with a binary search on c for each sample."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="carlini-wagner",
        version="1",
        norms=("l2",),
        budget="minimal",
        needs="gradient",
        summary="Adam on squared distance plus a margin penalty, whose weight is searched for each sample.",
        reference="Carlini, Wagner: Towards evaluating the robustness of neural networks, 2017",
        strengths="The reference for small l2 distances on ordinary models.",
        limits="Thousands of passes; its linf and l0 forms are not here.",
    )
    steps: int = param(200, "Gradient steps for each c.", minimum=1, maximum=100_000)
    searches: int = param(9, "Values of c tried per sample.", minimum=1, maximum=30)
    c: float = param(0.01, "First weight of the margin, squared pixel ranges per score.", minimum=1e-9, maximum=1e9)
    confidence: float = param(0.0, "Margin to reach (kappa), in units of the scores.", minimum=0.0, maximum=1e6)
    rate: float = param(0.05, "Adam's step size in tanh space.", minimum=1e-6, maximum=10.0)
    abort_early: bool = param(True, "Whether samples whose objective stalls leave a run.")

    def run(self, problem: Problem) -> Tensor:
        return nearest_over_weights(problem, self.c, self.searches, self._descend)

    def _descend(self, problem: Problem, c: Tensor) -> tuple[Tensor, Tensor]:
        """One run for one c [B]: the nearest win of each sample, [B, *shape], and its distance, [B], inf without one."""
        lo, hi = problem.bounds
        half = (hi - lo) / 2
        w = ((problem.x - lo) / half - 1).mul(_EDGE).atanh()
        first, second = torch.zeros_like(w), torch.zeros_like(w)
        best, shortest = problem.x.clone(), torch.full_like(c, math.inf)
        left, record = torch.arange(len(c), device=c.device), torch.full_like(c, math.inf)
        for step in range(self.steps):
            curve = w.tanh()
            x = problem.x if step == 0 else problem.clip(lo + half * (curve + 1))
            grad, gap, scores, won = problem.grad(x, "margin")
            won = won & (margin(scores, problem.keep) >= self.confidence)
            length = size(x - problem.x, "l2")
            nearer = won & (length < shortest[left])
            best[left[nearer]], shortest[left[nearer]] = x[nearer], length[nearer]
            short = (self.confidence - gap).clamp_min(0)
            value = (length / (2 * half)).square() + c * short
            problem.note(loss=value, distance=length, won=won.float())
            pull = 2 * (x - problem.x) / (2 * half) ** 2 - per_sample(c * (short > 0), x) * grad
            slope = pull * half * (1 - curve.square())
            first = _DECAYS[0] * first + (1 - _DECAYS[0]) * slope
            second = _DECAYS[1] * second + (1 - _DECAYS[1]) * slope.square()
            root = (second / (1 - _DECAYS[1] ** (step + 1))).sqrt() + 1e-8
            w = w - self.rate * first / (1 - _DECAYS[0] ** (step + 1)) / root
            if self.abort_early and (step + 1) % max(1, self.steps // _CHECKS) == 0:
                on = value < 0.9999 * record
                record = torch.minimum(value, record)
                problem, left, c, w = problem[on], left[on], c[on], w[on]
                first, second, record = first[on], second[on], record[on]
            if len(left) == 0:
                break
        return best, shortest


@hookimpl
def robusteval_attacks() -> list[type[CarliniWagner]]:
    return [CarliniWagner]
