"""Fast minimum-norm: gradient steps in a ball whose radius follows the estimated distance of the boundary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample, size
from robusteval_attacks._common.best_so_far import Nearest, cosine, nearest_over_targets, over_targets_passes, spread

_DUAL: dict[str, Literal["l1", "l2", "linf"]] = {"l1": "linf", "l2": "l2", "linf": "l1"}


@dataclass(frozen=True)
class FMN:
    """Pintor et al.'s algorithm 1; steps are a share of the radius, so that no scale of the data is assumed."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="fmn",
        version="2",
        norms=("l0", "l1", "l2", "linf"),
        budget="minimal",
        needs="gradient",
        summary="Gradient steps projected on a ball that shrinks at a win and grows without one.",
        reference="Pintor, Roli, Brendel, Biggio: Fast minimum-norm adversarial attacks through adaptive norm "
        "constraints, 2021",
        strengths="One attack for all four norms; one pass per step; no constant to tune.",
        limits="Greedy on adversarially trained models, where the first boundary is seldom the nearest.",
    )
    steps: int = param(200, "Gradient steps.", minimum=1, maximum=100_000)
    step: float = param(1.0, "First step as a share of the radius.", minimum=1e-4, maximum=100.0)
    last_step: float = param(0.01, "Last step as a share of the radius.", minimum=1e-6, maximum=100.0)
    gamma: float = param(0.1, "Share by which the radius first shrinks or grows.", minimum=1e-4, maximum=0.99)
    last_gamma: float = param(0.001, "Share by which the radius shrinks or grows at last.", minimum=0.0, maximum=0.99)
    targets: int = param(0, "Likeliest classes that it goes for one by one in further runs.", minimum=0, maximum=1000)

    def passes(self, norm: str, classes: int) -> Passes:
        return over_targets_passes(Passes(self.steps + 1, self.steps), min(self.targets, classes - 1))

    def run(self, problem: Problem) -> Tensor:
        return nearest_over_targets(problem, self.targets, self._follow)

    def _follow(self, problem: Problem) -> Tensor:
        """The nearest win of one run, [B, *shape]."""
        x, nearest = problem.x, Nearest(problem)
        radius = x.new_zeros(len(x))
        farthest = size(torch.full_like(x, spread(problem)), problem.norm)
        for step in range(self.steps):
            grad, loss, _, won = problem.roughly(step / self.steps).grad(x, "margin")
            length = nearest.offer(x, won)
            gamma = cosine(self.gamma, self.last_gamma, step, self.steps)
            radius = self._radius(problem, radius, length, nearest.distance, (grad, loss, won), gamma)
            radius = torch.minimum(radius, farthest)
            problem.note(loss=loss, radius=radius, won=won.float())
            share = cosine(self.step, self.last_step, step, self.steps)
            x = problem.project(x + self._move(problem, grad, share * radius), radius)
        return nearest.close(x)

    def _radius(
        self,
        problem: Problem,
        radius: Tensor,
        length: Tensor,
        shortest: Tensor,
        query: tuple[Tensor, Tensor, Tensor],
        gamma: float,
    ) -> Tensor:
        """The next radius, [B]: the linearised distance of the boundary until the first win, then a search around
        it."""
        grad, loss, won = query
        smaller, larger = radius * (1 - gamma), radius * (1 + gamma)
        if problem.norm == "l0":
            smaller = torch.minimum(radius - 1, smaller.floor()).clamp_min(1)
            larger = torch.maximum(radius + 1, larger.floor())
            estimate = larger  # a count of pixels has no slope
        else:
            slope = size(grad, _DUAL[problem.norm])
            estimate = length + torch.where(slope > 0, -loss / slope.clamp_min(1e-30), length * gamma)
            # A little beyond: where the estimate is exact, the iterate would stay just inside the boundary.
            estimate = torch.nan_to_num(estimate, nan=0.0).clamp_min(0) * (1 + gamma / 2) + 1e-6 * spread(problem)
        outward = torch.where(shortest.isinf(), estimate, larger)
        return torch.where(won, torch.minimum(smaller, shortest), outward)

    def _move(self, problem: Problem, grad: Tensor, length: Tensor) -> Tensor:
        if problem.norm == "linf":
            return ascent(grad, "linf") * per_sample(length, grad)
        if problem.norm == "l0":
            length = torch.full_like(length, spread(problem)) * length.sqrt()
        return ascent(grad, "l2") * per_sample(length, grad)


@hookimpl
def robusteval_attacks() -> list[type[FMN]]:
    return [FMN]
