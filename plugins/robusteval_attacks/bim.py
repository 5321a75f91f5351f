"""Basic iterative method: FGSM in small steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param
from robusteval_attacks._common.signed_steps import climb


@dataclass(frozen=True)
class BIM:
    """Equal steps from the clean sample, without a random start; the best iterate counts, not the last."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="bim",
        version="2",
        norms=("linf", "l2"),
        budget="fixed",
        needs="gradient",
        summary="The fast gradient method in small steps from the clean sample.",
        reference="Kurakin, Goodfellow, Bengio: Adversarial examples in the physical world, 2016",
        strengths="Deterministic and cheap; samples that are lost leave the batch.",
        limits="No random start, so gradients masked at the clean sample stop it; by default the steps just add up to "
        "eps.",
    )
    steps: int = param(30, "Gradient steps.", minimum=1, maximum=100_000)
    step: float | None = param(
        None, "Length of a step as a share of eps; without one 1 / steps.", minimum=1e-4, maximum=2.0
    )
    stop: bool = param(
        True, "Whether a sample that is lost stops there; else it goes on, as far past the boundary as it gets."
    )
    loss: Literal["ce", "margin", "dlr"] = param("ce", "What is climbed.", choices=["ce", "margin", "dlr"])

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 1, self.steps)

    def run(self, problem: Problem) -> Tensor:
        return climb(problem, self.steps, self.loss, stop=self.stop, step=self.step)


@hookimpl
def robusteval_attacks() -> list[type[BIM]]:
    return [BIM]
