"""sigma-zero: a smooth count of the changed values, and a threshold below which changes are undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param, per_sample, size
from robusteval_attacks._common.best_so_far import Nearest, cosine, spread


@dataclass(frozen=True)
class SigmaZero:
    """Cina et al.'s algorithm 1; a pixel is one value, whichever of its channels change."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="sigma-zero",
        version="1",
        norms=("l0",),
        budget="minimal",
        needs="gradient",
        summary="Adam on the margin and a smooth L0, with small changes set back to zero on the way.",
        reference="Cina, Villani, Pintor, Schoenherr, Biggio, Pelillo: sigma-zero, gradient-based optimization of "
        "l0-norm adversarial examples, 2024",
        strengths="The fewest changed pixels of all gradient attacks; one pass per step.",
        limits="Needs some hundred steps; l0 only.",
    )
    steps: int = param(1000, "Gradient steps.", minimum=2, maximum=100_000)
    rate: float = param(1.0, "First step, in units of the range; annealed to a tenth.", minimum=1e-4, maximum=100.0)
    sigma: float = param(
        1e-3, "Smoothness of the count: a squared change of sigma counts half.", minimum=1e-9, maximum=10
    )
    threshold: float = param(
        0.3, "First change, in units of the range, below which it is undone.", minimum=0, maximum=1
    )
    pace: float = param(0.01, "Change of the threshold per step, as a share of the step.", minimum=0.0, maximum=1.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 1, self.steps)

    def run(self, problem: Problem) -> Tensor:
        x, nearest, unit = problem.x, Nearest(problem), spread(problem)
        threshold = x.new_full((len(x),), self.threshold)
        first, second, delta = torch.zeros_like(x), torch.zeros_like(x), torch.zeros_like(x)
        values = max(1, x[0].numel() if len(x) else 1)
        for step in range(self.steps):
            grad, loss, _, won = problem.grad(x, "margin")
            nearest.offer(x, won)
            problem.note(loss=loss, distance=nearest.distance, threshold=threshold, won=won.float())
            rate = cosine(self.rate, self.rate / 10, step, self.steps)
            square = _pixels(delta.square().sum(1, keepdim=True) if delta.dim() == 4 else delta.square(), delta)
            count = 2 * self.sigma * delta / (square + self.sigma).square() / values
            total = count - grad * per_sample((~won).to(grad.dtype), grad) * unit
            total = total / per_sample(size(total, "linf").clamp_min(1e-12), total)
            first = 0.9 * first + 0.1 * total
            second = 0.999 * second + 0.001 * total.square()
            scale = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            delta = delta - rate / (1 - 0.9 ** (step + 1)) * first / scale
            delta = (problem.clip(problem.x + delta * unit) - problem.x) / unit
            threshold = (threshold + self.pace * rate * torch.where(won, 1.0, -1.0)).clamp(0, 1)
            height = delta.abs().amax(1, keepdim=True) if delta.dim() == 4 else delta.abs()
            delta = torch.where(_pixels(height, delta) < per_sample(threshold, delta), 0.0, delta)
            x = torch.where(delta == 0, problem.x, problem.clip(problem.x + delta * unit))
        return nearest.close(x)


def _pixels(values: Tensor, like: Tensor) -> Tensor:
    """One value per pixel [B, 1, H, W] repeated for its channels."""
    return values.expand_as(like)


@hookimpl
def robusteval_attacks() -> list[type[SigmaZero]]:
    return [SigmaZero]
