"""Iterative steps towards the least likely class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param
from robusteval_attacks._common.signed_steps import climb


@dataclass(frozen=True)
class LeastLikely:
    """Climbs towards the least likely of the winning classes of the clean sample; any win on the way counts."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="least-likely",
        version="1",
        norms=("linf", "l2"),
        budget="fixed",
        needs="gradient",
        summary="Iterative gradient steps towards the class that the model finds least likely.",
        reference="Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016",
        strengths="Uses no true label, so adversarial training with it cannot leak the label; gross errors.",
        limits="The farthest class is the hardest to reach: budgets where it fails may still be unsafe.",
    )
    steps: int = param(40, "Gradient steps, each of length eps / steps.", minimum=1, maximum=100_000)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 2, self.steps)

    def run(self, problem: Problem) -> Tensor:
        scores = problem.scores(problem.x)
        target = scores.nan_to_num().masked_fill(problem.safe, torch.inf).argmin(1)
        aim = torch.ones_like(problem.safe).scatter_(1, target[:, None], False)
        return climb(problem, self.steps, "ce", aim=aim)


@hookimpl
def robusteval_attacks() -> list[type[LeastLikely]]:
    return [LeastLikely]
