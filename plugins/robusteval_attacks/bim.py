"""Basic iterative method: FGSM in small steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from robusteval.api import AttackInfo, Problem, hookimpl, param
from robusteval_attacks._climb import climb


@dataclass(frozen=True)
class BIM:
    """Steps of eps / steps from the clean sample, without a random start; the best iterate counts, not the last."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="bim",
        version="2",
        norms=("linf", "l2"),
        budget="fixed",
        needs="gradient",
        summary="The fast gradient method in small steps from the clean sample.",
        reference="Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016",
        strengths="Deterministic and cheap; samples that are lost leave the batch.",
        limits="No random start, so gradients masked at the clean sample stop it; the steps just add up to eps.",
    )
    steps: int = param(30, "Gradient steps, each of length eps / steps.", minimum=1, maximum=100_000)
    loss: Literal["ce", "margin", "dlr"] = param("ce", "What is climbed.", choices=["ce", "margin", "dlr"])

    def run(self, problem: Problem) -> Tensor:
        return climb(problem, self.steps, self.loss)


@hookimpl
def robusteval_attacks() -> list[type[BIM]]:
    return [BIM]
