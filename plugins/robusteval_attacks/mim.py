"""Momentum iterative method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param
from robusteval_attacks._common.signed_steps import climb


@dataclass(frozen=True)
class MIM:
    """BIM along an accumulated gradient; each gradient enters with l1 size 1."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="mim",
        version="2",
        norms=("linf", "l2"),
        budget="fixed",
        needs="gradient",
        summary="The basic iterative method with momentum on the l1-normalised gradient.",
        reference="Dong, Liao, Pang, Su, Zhu, Hu, Li: Boosting adversarial attacks with momentum, 2018",
        strengths="Its adversarials transfer to other models better than those of bim or pgd.",
        limits="Steps of a fixed length from one start; as a white-box attack no stronger than pgd.",
    )
    steps: int = param(16, "Gradient steps, each of length eps / steps.", minimum=1, maximum=100_000)
    decay: float = param(1.0, "Share of the accumulated gradient that is carried on.", minimum=0.0, maximum=2.0)
    loss: Literal["ce", "margin", "dlr"] = param("ce", "What is climbed.", choices=["ce", "margin", "dlr"])

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 1, self.steps)

    def run(self, problem: Problem) -> Tensor:
        return climb(problem, self.steps, self.loss, self.decay)


@hookimpl
def robusteval_attacks() -> list[type[MIM]]:
    return [MIM]
