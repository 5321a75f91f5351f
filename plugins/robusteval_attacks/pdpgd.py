"""PDPGD: gradient steps towards a win, proximal steps of the norm, and a multiplier that balances the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample, project
from robusteval_attacks._nearest import Nearest, linear_distance, spread


@dataclass(frozen=True)
class PDPGD:
    """Matyasko & Chau's second algorithm: as pdgd, but the norm acts through its proximal operator."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="pdpgd",
        version="1",
        norms=("l1", "linf", "l0"),
        budget="minimal",
        needs="gradient",
        summary="Gradient steps on the margin and proximal steps on the norm, balanced by a learned multiplier.",
        reference="Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021",
        strengths="Norms without a useful gradient, treated exactly; one pass per step.",
        limits="Needs a few hundred steps; in l1 and l0 it misses samples of adversarially trained models.",
    )
    steps: int = param(500, "Gradient steps.", minimum=2, maximum=100_000)
    reach: float = param(2.0, "First step in units of the linearised l2 distance.", minimum=1e-3, maximum=1e3)
    decay: float = param(0.01, "Share of that step that is left at the end.", minimum=1e-6, maximum=1.0)
    dual_rate: float = param(0.1, "First step of the logarithm of the multiplier.", minimum=1e-6, maximum=10.0)
    dual_decay: float = param(1.0, "Share of that step that is left at the end.", minimum=1e-6, maximum=1.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 1, self.steps)

    def run(self, problem: Problem) -> Tensor:
        x, nearest, unit = problem.x, Nearest(problem), spread(problem)
        dual = x.new_full((len(x),), 2.0)  # log of the win's weight over the norm's
        weight, rate = dual.sigmoid(), dual
        for step in range(self.steps):
            grad, loss, _, won = problem.grad(x, "margin")
            nearest.offer(x, won)
            problem.note(loss=loss, distance=nearest.distance, weight=weight, won=won.float())
            if step == 0:
                rate = self.reach * linear_distance(grad * unit, loss, 1.0) * unit
            share = step / self.steps
            # Where small pixels are reset, only long steps let a new one in.
            length = torch.full_like(rate, unit) if problem.norm == "l0" else rate * self.decay**share
            push = per_sample(length * weight * ~won, x) * _direction(grad, problem.norm)
            delta = _proximal(x + push - problem.x, problem.norm, length * (1 - weight), length)
            x = torch.where(delta == 0, problem.x, problem.clip(problem.x + delta))
            dual = dual + self.dual_rate * self.dual_decay**share * torch.where(won, -1.0, 1.0)
            weight = 0.9 * weight + 0.1 * dual.sigmoid()
        return nearest.close(x)


def _direction(grad: Tensor, norm: str) -> Tensor:
    """Unit l2 direction: the gradient's, and for linf its sign's, along which that norm grows least."""
    return ascent(ascent(grad, "linf") if norm == "linf" else grad, "l2")


def _proximal(delta: Tensor, norm: str, pull: Tensor, length: Tensor) -> Tensor:
    """argmin over z of |z - delta|^2 / 2 + t |z|, [B, *shape], for the norm; t is such that l2 would move by pull [B].

    l1: soft threshold; linf: what the l1 ball of radius t leaves over (Moreau); l0: small pixels become 0.
    """
    root = max(1.0, delta[0].numel() ** 0.5 if len(delta) else 1.0)
    if norm == "linf":
        zero = torch.zeros_like(delta)
        return delta - project(zero, delta, "l1", pull * root, (-torch.inf, torch.inf))
    if norm == "l1":
        level = per_sample(pull / root, delta)
        return delta.sign() * (delta.abs() - level).clamp_min(0)
    height = delta.square().sum(1, keepdim=True).sqrt() if delta.dim() == 4 else delta.abs()
    return torch.where(height > per_sample((pull * length).sqrt(), delta), delta, 0.0)


@hookimpl
def robusteval_attacks() -> list[type[PDPGD]]:
    return [PDPGD]
