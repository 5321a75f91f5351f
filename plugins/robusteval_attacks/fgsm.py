"""The fast gradient (sign) method: one step along the gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, margin, per_sample


@dataclass(frozen=True)
class FGSM:
    """x + eps * sign(gradient of the cross-entropy), or along the normalised gradient in l2."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="fgsm",
        version="1",
        norms=("linf", "l2"),
        budget="fixed",
        needs="gradient",
        summary="One step of size eps along the sign of the gradient (linf) or the normalised gradient (l2).",
        reference="Goodfellow, Shlens, Szegedy: Explaining and harnessing adversarial examples, 2014",
        strengths="One gradient; exact on linear models.",
        limits="The weakest gradient attack on anything that is not linear; easily fooled by masked gradients.",
    )

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(2, 1)

    def run(self, problem: Problem) -> Tensor:
        here = problem.grad(problem.x, "ce")
        step = ascent(here.grad, problem.norm) * per_sample(problem.budget.to(here.grad.dtype), here.grad)
        candidate = problem.project(problem.x + step)
        # One long step may land where the model is more certain than before: then the clean sample is the better
        # answer.
        better = problem.loss(candidate, "margin") >= margin(here.scores, problem.safe)
        return torch.where(per_sample(better, candidate), candidate, problem.x)


@hookimpl
def robusteval_attacks() -> list[type[FGSM]]:
    return [FGSM]
