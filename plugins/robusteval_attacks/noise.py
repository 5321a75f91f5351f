"""Random noise of exact size: the baseline that every other attack must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param, per_sample, random_on_sphere

_HALVINGS = 20


@dataclass(frozen=True)
class Noise:
    """Random directions of size eps, until one of them fools the model."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="noise",
        version="1",
        norms=("l2", "linf"),
        budget="fixed",
        needs="decision",
        summary="Adds random noise of size eps and keeps the first draw that fools the model.",
        reference="Baseline; compare Fawzi, Moosavi-Dezfooli, Frossard: Robustness of classifiers, from adversarial to "
        "random noise, 2016",
        stochastic=True,
        strengths="Needs the predicted label alone; an attack that it beats is broken.",
        limits="High-dimensional models withstand far larger noise than adversarial perturbations.",
    )
    repeats: int = param(20, "Draws of noise per sample.", minimum=1, maximum=100_000)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.repeats)

    def run(self, problem: Problem) -> Tensor:
        best = problem.x.clone()
        left = torch.arange(len(best), device=best.device)
        for _ in range(self.repeats):
            if len(left) == 0:
                break
            candidate = _noisy(problem)
            won = problem.won(candidate)
            problem.note(won=won.float())
            best[left] = candidate
            problem, left = problem[~won], left[~won]
        return best


def _noisy(problem: Problem) -> Tensor:
    """x plus noise whose size is eps after clipping to the box, [B, *shape], where the box leaves room for that."""
    eps = problem.budget.to(problem.x.dtype)
    noise = random_on_sphere(problem.x, problem.norm, eps, problem.rng)
    if problem.norm == "l2" and len(noise):
        # Clipping eats up noise, most of it on black and white pixels: grow it until what is left measures eps.
        span = problem.bounds[1] - problem.bounds[0]
        low, high = torch.ones_like(eps), 1 + span / noise.flatten(1).abs().amax(1).clamp_min(1e-12) * 4
        for _ in range(_HALVINGS):
            middle = (low * high).sqrt()
            short = problem.distance(problem.clip(problem.x + noise * per_sample(middle, noise))) < eps
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)
        noise = noise * per_sample(low, noise)
    return problem.project(problem.x + noise)


@hookimpl
def robusteval_attacks() -> list[type[Noise]]:
    return [Noise]
