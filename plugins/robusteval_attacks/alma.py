"""ALMA: the distance minimised under the constraint of a win, by an augmented Lagrangian on the DLR margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample, size
from robusteval_attacks._common.best_so_far import Nearest, linear_distance, spread

# Share of the step length that is left at the end. In l1 most values must come to rest at nothing, for which steps have
# to be short.
_DECAY = {"l2": 0.005, "l1": 0.0005}


@dataclass(frozen=True)
class ALMA:
    """Rony et al.'s algorithm: penalty P2, multipliers and penalty weight per sample, steps scaled as in RMSProp."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="alma",
        version="3",
        norms=("l2", "l1"),
        budget="minimal",
        needs="gradient",
        summary="Minimises the distance and a penalty on the margin, whose multiplier is learned on the way.",
        reference="Rony, Granger, Pedersoli, Ben Ayed: Augmented Lagrangian adversarial attacks, 2021",
        strengths="Very near in l2 on ordinary models; one pass per step.",
        limits="Needs a few hundred steps; on adversarially trained models, and in l1, others find nearer ones.",
    )
    steps: int = param(300, "Gradient steps.", minimum=2, maximum=100_000)
    first: float = param(
        3.0,
        "Length of the first step in units of the linearised distance, or of the range if less.",
        minimum=1e-3,
        maximum=1e3,
    )
    decay: float | None = param(
        None,
        "Share of the step length that is left at the end; without one 0.005 in l2, 0.0005 in l1.",
        minimum=1e-6,
        maximum=1.0,
    )
    smoothing: float = param(0.9, "Weight of the past in multiplier, momentum and scale.", minimum=0.0, maximum=0.999)
    check: int = param(10, "Steps between checks of the penalty weight.", minimum=1, maximum=10_000)
    tau: float = param(0.95, "Progress of the margin below which the weight grows.", minimum=0.0, maximum=1.0)
    growth: float = param(1.2, "Factor by which the penalty weight grows.", minimum=1.0, maximum=100.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 1, self.steps)

    def run(self, problem: Problem) -> Tensor:
        x, nearest, unit = problem.x, Nearest(problem), spread(problem)
        mu, rho = x.new_ones(len(x)), x.new_ones(len(x))
        square, momentum = torch.ones_like(x), torch.zeros_like(x)
        decay = _DECAY[problem.norm] if self.decay is None else self.decay
        before, misclassified, rate = x.new_zeros(len(x)), torch.zeros_like(rho, dtype=torch.bool), x.new_ones(len(x))
        for step in range(self.steps):
            grad, loss, _, won = problem.grad(x, "dlr")
            nearest.offer(x, won)
            misclassified |= won
            gap = torch.nan_to_num(-loss, nan=0.0)
            if step == 0:
                before = gap
            elif step % self.check == 0:
                rho = torch.where(~misclassified & (gap > self.tau * before), rho * self.growth, rho)
                before, misclassified = gap, torch.zeros_like(misclassified)
            mu = torch.lerp(_slope(gap, rho, mu), mu, self.smoothing if step else 0.0).clamp(1e-6, 1e12)
            problem.note(loss=loss, distance=nearest.distance, multiplier=mu, won=won.float())
            pull = _distance_slope((x - problem.x) / unit, problem.norm)
            total = pull - grad * per_sample(_slope(gap, rho, mu), x) * unit
            square = self.smoothing * square + (1 - self.smoothing) * total.square()
            momentum = self.smoothing * momentum + total / square.sqrt().clamp_min(1e-8)
            if step == 0:
                rate = self._rate(problem, momentum, self.first * linear_distance(grad * unit, loss, 1.0))
            length = rate * decay ** (step / self.steps)
            x = problem.clip(x - per_sample(length * unit, x) * momentum)
        return nearest.close(x)

    def _rate(self, problem: Problem, move: Tensor, first: Tensor) -> Tensor:
        """The factor at which the move [B, *shape] goes `first` [B] far inside the box, [B] (found by halving)."""
        unit = spread(problem)
        low, high = move.new_zeros(len(move)), move.new_ones(len(move)) * 1e6
        for _ in range(50):
            middle = (low.clamp_min(1e-6) * high).sqrt()
            gone = size(problem.clip(problem.x - per_sample(middle * unit, move) * move) - problem.x, "l2") / unit
            far = gone > first
            low, high = torch.where(far, low, middle), torch.where(far, middle, high)
        return low


def _slope(gap: Tensor, rho: Tensor, mu: Tensor) -> Tensor:
    """Derivative of the penalty P2 by the gap, [B]: grows with a gap that is open, vanishes with one that is closed."""
    opened = mu + 2 * mu * rho * gap + rho.square() * gap.square() / 2
    return torch.where(gap > 0, opened, mu / (1 - rho * gap.clamp_max(0)).square())


def _distance_slope(delta: Tensor, norm: str) -> Tensor:
    """Gradient of the distance, [B, *shape]; zero at zero."""
    return ascent(delta, "linf" if norm == "l1" else "l2")


@hookimpl
def robusteval_attacks() -> list[type[ALMA]]:
    return [ALMA]
