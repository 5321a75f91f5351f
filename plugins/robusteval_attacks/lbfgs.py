"""Szegedy et al.'s attack: box-constrained L-BFGS."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import softplus

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param, size
from robusteval_attacks._common.weight_search import nearest_over_weights

_BAD = 1e12  # stands for a loss that is not finite: no line search goes there


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS-B on ||d||^2 + c CE inside the box, one sample after the other, with a search on c for each.

    CE is the cross-entropy of winning: log(1 + exp(lse of the kept scores - lse of the others)). For one target it is
    the paper's; c is its 1 / c.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="lbfgs",
        version="1",
        norms=("l2",),
        budget="minimal",
        needs="gradient",
        summary="L-BFGS in the box on squared distance plus cross-entropy, whose weight is searched for each sample.",
        reference="Szegedy, Zaremba, Sutskever, Bruna, Erhan, Goodfellow, Fergus: Intriguing properties of neural "
        "networks, 2013",
        strengths="The first of all gradient attacks: a reference from another optimiser than all others.",
        limits="One sample at a time, so it is slow; beyond two classes cross-entropy leads a little astray; ddn is as "
        "near in fewer passes.",
    )
    maxiter: int = param(20, "Iterations of L-BFGS for each c.", minimum=1, maximum=100_000)
    searches: int = param(9, "Values of c tried per sample.", minimum=1, maximum=50)
    c: float = param(0.01, "First weight of the cross-entropy, squared pixel ranges.", minimum=1e-9, maximum=1e9)
    memory: int = param(10, "Corrections that approximate the curvature.", minimum=1, maximum=100)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(1, 1) * (self.searches * 2 * self.maxiter)

    def run(self, problem: Problem) -> Tensor:
        return nearest_over_weights(problem, self.c, self.searches, self._minimise)

    def _minimise(self, problem: Problem, c: Tensor) -> tuple[Tensor, Tensor]:
        """One run for one c [B]: the nearest win of each sample, [B, *shape], and its distance, [B], inf without
        one."""
        from scipy.optimize import minimize  # slow to import, and every command looks at every plugin

        best, shortest = problem.x.clone(), torch.full_like(c, math.inf)
        for row in range(len(c)):
            seen = _Seen(problem[torch.tensor([row], device=c.device)], float(c[row]))
            minimize(
                seen.objective,
                seen.clean,
                jac=True,
                method="L-BFGS-B",
                bounds=[(0.0, 1.0)] * len(seen.clean),
                options={"maxiter": self.maxiter, "maxfun": 2 * self.maxiter, "maxcor": self.memory},
            )
            best[row], shortest[row] = seen.nearest[0], seen.distance
        return best, shortest


class _Seen:
    """The objective of one sample for one c, in pixel ranges above the low edge, and the nearest win it has met."""

    def __init__(self, problem: Problem, c: float) -> None:
        self.problem, self.c = problem, c
        low, high = problem.bounds
        self.low, self.span = low, high - low
        self.clean = ((problem.x - low) / self.span).flatten().double().cpu().numpy()
        self.nearest, self.distance = problem.x, math.inf

    def objective(self, u: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """||u - clean||^2 + c CE(u) and its gradient."""
        delta = u - self.clean
        change = torch.from_numpy(delta).to(self.problem.x).reshape(self.problem.x.shape)
        # from the clean sample on, so that no change is no change in float32 either
        x = self.problem.clip(self.problem.x + self.span * change)
        grad, gap, _, won = self.problem.grad(x, "ce")
        length = size(x - self.problem.x, "l2")
        if bool(won) and float(length) < self.distance:
            self.nearest, self.distance = x, float(length)
        loss = softplus(-gap)
        self.problem.note(loss=loss, distance=length, won=won.float())
        slope = (-torch.sigmoid(-gap) * self.span * grad).flatten().double().cpu().numpy()
        if not math.isfinite(float(loss)):
            return _BAD, 2 * delta
        return float(delta @ delta) + self.c * float(loss), 2 * delta + self.c * slope


@hookimpl
def robusteval_attacks() -> list[type[LBFGS]]:
    return [LBFGS]
