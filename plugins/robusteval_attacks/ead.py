"""Elastic-net attack: sparse perturbations by iterated shrinkage."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, margin, param, per_sample, size
from robusteval_attacks._common.weight_search import nearest_over_weights


@dataclass(frozen=True)
class EAD:
    """FISTA on c max(kappa - margin, 0) + ||d||^2 and shrinkage by beta, with a binary search on c for each sample.

    Every step shrinks by beta itself, not by beta times the step size, as published: so in the objective the l1 term
    weighs beta over the step size, a hundred times beta.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="ead",
        version="2",
        norms=("l1",),
        budget="minimal",
        needs="gradient",
        summary="Carlini & Wagner's objective with an l1 term, solved by iterated shrinkage.",
        reference="Chen, Sharma, Zhang, Yi, Hsieh: EAD, elastic-net attacks to deep neural networks via adversarial "
        "examples, 2018",
        strengths="Sparse perturbations that transfer well.",
        limits="About a thousand passes; fmn and pdpgd find nearer adversarials in fewer.",
    )
    steps: int = param(100, "Shrinkage steps for each c.", minimum=1, maximum=100_000)
    searches: int = param(9, "Values of c tried per sample.", minimum=1, maximum=30)
    c: float = param(0.01, "First weight of the margin, squared pixel ranges per score.", minimum=1e-9, maximum=1e9)
    beta: float = param(
        0.01, "Threshold of the shrinkage in every step, in pixel ranges, as published.", minimum=0.0, maximum=10.0
    )
    confidence: float = param(0.0, "Margin to reach (kappa), in units of the scores.", minimum=0.0, maximum=1e6)
    rate: float = param(
        0.01, "First step size; it falls with the square root of the steps left.", minimum=1e-6, maximum=1
    )

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(1, 1) * (self.searches * self.steps)

    def run(self, problem: Problem) -> Tensor:
        return nearest_over_weights(problem, self.c, self.searches, self._shrink)

    def _shrink(self, problem: Problem, c: Tensor) -> tuple[Tensor, Tensor]:
        """One run for one c [B]: the nearest win in l1, [B, *shape], and its distance, [B], inf without one."""
        span = problem.bounds[1] - problem.bounds[0]
        best, shortest = problem.x.clone(), torch.full_like(c, math.inf)
        x = ahead = problem.x
        for step in range(self.steps):
            grad, gap, scores, won = problem.grad(ahead, "margin")
            won = won & (margin(scores, problem.safe) >= self.confidence)
            length = problem.distance(ahead)
            nearer = won & (length < shortest)
            best, shortest = torch.where(per_sample(nearer, x), ahead, best), torch.where(nearer, length, shortest)
            short = (self.confidence - gap).clamp_min(0)
            problem.note(loss=c * short + (size(ahead - problem.x, "l2") / span).square(), won=won.float())
            rate = self.rate * math.sqrt(1 - step / self.steps)
            # in pixel ranges, so that the range makes no difference
            slope = 2 * (ahead - problem.x) / span - per_sample(c * (short > 0), x) * grad * span
            delta = (ahead - problem.x) / span - rate * slope
            delta = (delta.abs() - self.beta).clamp_min(0) * delta.sign()
            new = problem.clip(problem.x + delta * span)
            ahead, x = problem.clip(new + step / (step + 3) * (new - x)), new
        return best, shortest


@hookimpl
def robusteval_attacks() -> list[type[EAD]]:
    return [EAD]
