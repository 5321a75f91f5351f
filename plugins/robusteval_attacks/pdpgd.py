"""PDPGD: gradient steps towards a win, proximal steps of the norm, and a multiplier that balances the two."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample
from robusteval_attacks._common.best_so_far import Nearest, spread

_FURTHEST = 14.0  # logarithm of the weights' ratio, either way
_COUNT = 0.1  # price of a changed pixel in that of an l1 of 1


@dataclass(frozen=True)
class PDPGD:
    """Matyasko & Chau's second algorithm: as pdgd, but the norm acts through its proximal operator, in Adam's metric.

    The win weighs far more than the norm at first, so that the iterate goes deep into the other class and comes back
    along its boundary: on adversarially trained models the nearest boundary is not the first one met.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="pdpgd",
        version="2",
        norms=("l1", "linf", "l0"),
        budget="minimal",
        needs="gradient",
        summary="Gradient steps on the margin and proximal steps on the norm, balanced by a learned multiplier.",
        reference="Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021",
        strengths="The nearest in l1 on adversarially trained models; norms without a useful gradient, treated "
        "exactly; one pass per step.",
        limits="Needs a few hundred steps.",
    )
    steps: int = param(500, "Gradient steps.", minimum=2, maximum=100_000)
    rate: float = param(1.0, "First step of a value, in units of the range.", minimum=1e-6, maximum=10.0)
    decay: float = param(0.01, "Share of that step that is left at the end.", minimum=1e-6, maximum=1.0)
    dual: float = param(10.0, "First logarithm of the win's weight over the norm's.", minimum=-14.0, maximum=14.0)
    travel: float = param(33.0, "How far that logarithm can move in all steps together.", minimum=1e-3, maximum=1e4)
    dual_decay: float = param(0.1, "Share of its first step that is left at the end.", minimum=1e-6, maximum=1.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.steps + 1, self.steps)

    def run(self, problem: Problem) -> Tensor:
        x, nearest, unit = problem.x, Nearest(problem), spread(problem)
        dual = x.new_full((len(x),), self.dual)
        weight = dual.sigmoid()
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        steepest = self.travel / self.steps * 2 / (1 + self.dual_decay)
        for step in range(self.steps):
            grad, loss, _, won = problem.grad(x, "margin")
            nearest.offer(x, won)
            problem.note(loss=loss, distance=nearest.distance, weight=weight, won=won.float())
            share = step / self.steps
            # Softplus of the gap: its slope fades on the far side, so that the norm pulls a lost sample back.
            push = per_sample(torch.sigmoid(-loss).nan_to_num(nan=1.0), x) * _direction(grad, problem.norm)
            first = 0.9 * first - 0.1 * push
            second = 0.999 * second + 0.001 * push.square()
            metric = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            length = self.rate * self.decay**share
            moved = (x - problem.x) / unit - length / (1 - 0.9 ** (step + 1)) * first / metric
            delta = _proximal(moved, metric, problem.norm, length * (1 - weight) / weight) * unit
            x = torch.where(delta == 0, problem.x, problem.clip(problem.x + delta))
            pace = steepest * (1 - share * (1 - self.dual_decay))
            dual = (dual + pace * torch.where(won, -1.0, 1.0)).clamp(-_FURTHEST, _FURTHEST)
            weight = 0.9 * weight + 0.1 * dual.sigmoid()
        return nearest.close(x)


def _direction(grad: Tensor, norm: str) -> Tensor:
    """Unit l2 direction: the gradient's, and for linf its sign's, along which that norm grows least."""
    return ascent(ascent(grad, "linf") if norm == "linf" else grad, "l2")


def _proximal(moved: Tensor, metric: Tensor, norm: str, price: Tensor) -> Tensor:
    """argmin over z of the sum of metric (z - moved)^2 / 2 + price |z|, [B, *shape], for the norm in units of its like.

    price: [B]; a norm's unit is such that its gradient is about as long in l2 as the win's. l1: soft threshold; linf:
    the values above a level are cut to it, so much that their cut times the metric makes up the price; l0: what costs
    more than it moves becomes 0.
    """
    root = max(1.0, moved[0].numel() ** 0.5 if len(moved) else 1.0)
    if norm == "l1":
        level = per_sample(price / root, moved) / metric
        return moved.sign() * (moved.abs() - level).clamp_min(0)
    if norm == "linf":
        height, order = moved.abs().flatten(1).sort(1, descending=True)
        weight = metric.flatten(1).gather(1, order)
        # The sum over values above a level is the largest over all sets, so its root is the largest of theirs.
        cut = ((weight * height).cumsum(1) - price[:, None] * root) / weight.cumsum(1)
        top = per_sample(cut.amax(1).clamp_min(0), moved)
        return moved.clamp(-top, top)
    worth = metric * moved.square() / 2
    worth = worth.sum(1, keepdim=True) if moved.dim() == 4 else worth
    return torch.where(worth > per_sample(price * _COUNT / root, moved), moved, 0.0)


@hookimpl
def robusteval_attacks() -> list[type[PDPGD]]:
    return [PDPGD]
