"""Carlini & Wagner's three attacks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param
from robusteval_attacks._common.weight_search import balancing_weight, nearest_around, nearest_over_weights
from robusteval_attacks.carlini_wagner.descent import Descent
from robusteval_attacks.carlini_wagner.l0 import fewest
from robusteval_attacks.carlini_wagner.l2 import descend
from robusteval_attacks.carlini_wagner.linf import lowest

_ROUNDS_L0, _ROUNDS_LINF = 10, 4  # runs that a hard sample takes


@dataclass(frozen=True)
class CarliniWagner:
    """Adam on a distance plus c max(kappa - margin, 0), with a search on c for each sample.

    l2: ||d||^2 in tanh space, c by a search around a linearisation's guess, or by the paper's binary search.
    l0: l2 runs on ever fewer pixels. linf: sum (|d| - tau)+ with falling tau.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="carlini-wagner",
        version="4",
        norms=("l2", "linf", "l0"),
        budget="minimal",
        needs="gradient",
        summary="Adam on a distance plus a margin penalty, whose weight is searched for each sample.",
        reference="Carlini, Wagner: Towards evaluating the robustness of neural networks, 2017",
        strengths="The reference for small l2 distances on ordinary models; needs no budget in any norm.",
        limits="Hundreds to thousands of passes; fmn is nearer in linf, and sigma-zero in l0, by far on robust models.",
    )
    steps: int = param(
        200, "Gradient steps of a run: for each c, and in l0 and linf for each round.", minimum=1, maximum=100_000
    )
    searches: int = param(6, "Values of c tried per sample; in l0 and linf up to the first win.", minimum=1, maximum=30)
    c: float = param(0.01, "First weight of the margin, squared pixel ranges per score.", minimum=1e-9, maximum=1e9)
    guess: float = param(
        1.0,
        "l2: the first weight in units of the one that a linearisation of the margin asks for; the others, two at a "
        "time in one batch, close in on the one with the nearest win. 0 is the paper's binary search, which begins "
        "with c and spends the first searches on the way there.",
        minimum=0.0,
        maximum=1e6,
    )
    confidence: float = param(0.0, "Margin to reach (kappa), in units of the scores.", minimum=0.0, maximum=1e6)
    rate: float = param(
        0.05,
        "Adam's step size: in tanh space (l0: four times this), in linf in units of tau.",
        minimum=1e-6,
        maximum=10.0,
    )
    share: float = param(0.2, "Share of the free pixels that leave after a win in l0.", minimum=0.0, maximum=1.0)
    abort_early: bool = param(True, "Whether samples whose objective stalls leave a run.")

    def passes(self, norm: str, classes: int) -> Passes:
        runs = {"l0": _ROUNDS_L0, "linf": _ROUNDS_LINF}.get(norm, self.searches)
        return Passes(1, 1) * (runs * self.steps + 1)

    def run(self, problem: Problem) -> Tensor:
        how = Descent(self.steps, self.rate, self.confidence, self.abort_early)
        if problem.norm == "l0":
            return fewest(problem, self.c, self.searches, self.share, how)
        if problem.norm == "linf":
            return lowest(problem, self.c, self.searches, how)
        if self.guess == 0:
            return nearest_over_weights(problem, self.c, self.searches, partial(descend, how=how))
        first = self.guess * balancing_weight(problem, self.confidence, self.c / self.guess)
        return nearest_around(problem, first, self.searches, partial(descend, how=how))


@hookimpl
def robusteval_attacks() -> list[type[CarliniWagner]]:
    return [CarliniWagner]
