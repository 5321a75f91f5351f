"""Projected gradient descent from random starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robusteval.api import (
    AttackInfo,
    Passes,
    Problem,
    ascent,
    hookimpl,
    margin,
    param,
    per_sample,
    random_in_ball,
    wins,
)
from robusteval_attacks._common.linearisation import aim_passes, nearest_class, towards


@dataclass(frozen=True)
class PGD:
    """Steps of steepest ascent, projected on the ball around the clean sample and on the box; restarts on survivors.

    Long steps first, short ones last: thirty such are at least as strong in l2 and linf as the forty equal ones of a
    tenth of eps that are usual (benchmarks/results/peers.md has both, on a plain and on an adversarially trained
    model).
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="pgd",
        version="2",
        norms=("linf", "l2", "l1"),
        budget="fixed",
        needs="gradient",
        summary="Iterated gradient steps inside the ball from random starts; samples that are lost leave the batch.",
        reference="Madry, Makelov, Schmidt, Tsipras, Vladu: Towards deep learning models resistant to adversarial "
        "attacks, 2017; sparse l1 steps after Tramer, Boneh: Adversarial training and robustness for multiple "
        "perturbations, 2019",
        stochastic=True,
        strengths="The standard first-order attack; cheap where the model is weak, because lost samples stop at once.",
        limits="Steps of a fixed schedule; masked gradients stop it, and on robust models apgd or alma find more.",
    )
    steps: int = param(30, "Gradient steps per restart.", minimum=1, maximum=100_000)
    step: float = param(0.2, "Mean size of a step as a share of eps.", minimum=1e-4, maximum=2.0)
    schedule: Literal["cosine", "constant"] = param(
        "cosine",
        "l2, linf. cosine: steps shrink from twice the mean to nothing; constant: all are equal, as published.",
        choices=["cosine", "constant"],
    )
    restarts: int = param(1, "Random starts; later ones run on the samples that withstood.", minimum=1, maximum=1000)
    loss: Literal["ce", "margin", "dlr", "nearest"] = param(
        "ce",
        "What is climbed; nearest: ce, and in the second half the class that a linearisation puts nearest.",
        choices=["ce", "margin", "dlr", "nearest"],
    )
    random_start: bool = param(True, "Whether the first run starts at a random point, not at the clean sample.")
    sparsity: float = param(
        0.05, "Share of the values that the first l1 steps move; later ones move fewer.", minimum=1e-6, maximum=1.0
    )

    def passes(self, norm: str, classes: int) -> Passes:
        run = Passes(self.steps + 1, self.steps)
        return (run + aim_passes(classes) if self.loss == "nearest" else run) * self.restarts

    def run(self, problem: Problem) -> Tensor:
        best, best_value = problem.x.clone(), problem.x.new_full((len(problem),), -math.inf)
        left = torch.arange(len(problem), device=best.device)
        for restart in range(self.restarts):
            if len(left) == 0:
                break
            survivors = problem[left]
            x = survivors.x
            if self.random_start or restart > 0:
                noise = random_in_ball(x, problem.norm, survivors.budget.to(x.dtype), problem.rng)
                x = survivors.project(x + noise)
            found, value = self._climb(survivors, x)
            better = value > best_value[left]
            best[left[better]], best_value[left[better]] = found[better], value[better]
            left = left[best_value[left] < math.inf]
        return best

    def _climb(self, problem: Problem, x: Tensor) -> tuple[Tensor, Tensor]:
        """One run from x: the best point of each sample, [B, *shape], and its margin, [B], infinite where it won."""
        best, best_value = x.clone(), x.new_full((len(x),), -math.inf)
        left = torch.arange(len(x), device=x.device)
        aim = nearest_class(problem) if self.loss == "nearest" else None
        for step in range(self.steps):
            grad, _, scores, won = problem.roughly(step / self.steps).grad(x, self._loss(problem, aim, left, step))
            _keep_better(problem, x, scores, won, left, best, best_value)
            if bool(won.any()):
                on = ~won
                problem, x, grad, left = problem[on], x[on], grad[on], left[on]
            if len(left) == 0:
                return best, best_value
            # where the second half goes elsewhere than the first, each has a schedule of its own
            part = self.steps if aim is None else self.steps / 2
            x = problem.project(x + self._direction(problem, x, grad, step % part / part))
        scores = problem.scores(x)
        _keep_better(problem, x, scores, wins(scores, problem.safe), left, best, best_value)
        return best, best_value

    def _loss(self, problem: Problem, aim: Tensor | None, left: Tensor, step: int) -> str | Callable[[Tensor], Tensor]:
        if aim is None:
            return self.loss
        return "ce" if 2 * step < self.steps else towards(problem.safe, aim[left])

    def _direction(self, problem: Problem, x: Tensor, grad: Tensor, progress: float) -> Tensor:
        length = self.step * problem.budget.to(x.dtype)
        if problem.norm != "l1":
            if self.schedule == "cosine":
                length = length * (1 + math.cos(math.pi * progress))
            return ascent(grad, problem.norm) * per_sample(length, grad)
        # The steepest l1 step inside the box fills value after value, best first, each as far as it may go. Moving many
        # values a little explores better; few make the best use of the budget: so the number shrinks to one on the way.
        count = max(1.0, self.sparsity * grad[0].numel()) ** (1 - progress)
        low, high = problem.bounds
        room = torch.where(grad > 0, high - x, x - low).masked_fill(grad == 0, 0).flatten(1)
        room = torch.minimum(room, length[:, None] / count)
        order = grad.flatten(1).abs().argsort(dim=1, descending=True)
        room = room.gather(1, order)
        filled = torch.minimum(room, (length[:, None] - room.cumsum(1) + room).clamp_min(0))
        return torch.zeros_like(room).scatter_(1, order, filled).reshape(grad.shape) * grad.sign()


def _keep_better(
    problem: Problem, x: Tensor, scores: Tensor, won: Tensor, left: Tensor, best: Tensor, best_value: Tensor
) -> None:
    """Writes x [B, *shape] into the rows `left` of best and best_value where its margin is larger."""
    value = margin(scores, problem.safe)
    problem.note(margin=value, won=won.float())
    value = value.masked_fill(won, math.inf)
    better = value > best_value[left]
    rows = left[better]
    best[rows], best_value[rows] = x[better], value[better]


@hookimpl
def robusteval_attacks() -> list[type[PGD]]:
    return [PGD]
