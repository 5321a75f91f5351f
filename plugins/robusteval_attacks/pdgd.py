"""PDGD: descent in the perturbation and ascent in the multiplier that weighs the win against the distance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample, size
from robusteval_attacks._common.best_so_far import (
    Nearest,
    linear_distance,
    nearest_over_targets,
    over_targets_passes,
    spread,
)


@dataclass(frozen=True)
class PDGD:
    """Matyasko & Chau's first algorithm: Adam on the Lagrangian, whose two weights lie on the simplex."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="pdgd",
        version="1",
        norms=("l2",),
        budget="minimal",
        needs="gradient",
        summary="Minimises the distance and the margin together; their weights move towards whichever is violated.",
        reference="Matyasko, Chau: PDPGD, primal-dual proximal gradient descent adversarial attack, 2021",
        strengths="Much nearer than ddn on adversarially trained models; one pass per step.",
        limits="Needs some hundred steps for each class that it goes for; l2 only (see pdpgd for the other norms).",
    )
    steps: int = param(250, "Gradient steps per run.", minimum=2, maximum=100_000)
    targets: int = param(
        3, "Likeliest classes that it goes for one by one after the first run.", minimum=0, maximum=1000
    )
    rate: float = param(0.5, "First step of a value, in units of the range.", minimum=1e-6, maximum=10.0)
    decay: float = param(0.01, "Largest share of that step that is left at the end.", minimum=1e-6, maximum=1.0)
    fine: float = param(
        0.1, "Longest last step of a sample, as a share of its linearised distance.", minimum=1e-6, maximum=1e6
    )
    dual_rate: float = param(0.1, "First step of the logarithm of the weights.", minimum=1e-6, maximum=10.0)
    dual_decay: float = param(0.1, "Share of that step that is left at the end.", minimum=1e-6, maximum=1.0)
    ratio: float = param(0.1, "First pull of the distance in proportion to the win's.", minimum=1e-9, maximum=1e9)

    repeats: int = param(
        1,
        "Runs for each class, each with twice the dual rate of the one before: where runs alike end in the same "
        "valleys, these find others.",
        minimum=1,
        maximum=6,
    )

    def passes(self, norm: str, classes: int) -> Passes:
        runs = over_targets_passes(Passes(self.steps + 1, self.steps), min(self.targets, classes - 1)) * self.repeats
        return runs + Passes(self.repeats - 1.0)

    def run(self, problem: Problem) -> Tensor:
        found = nearest_over_targets(problem, self.targets, self._descend)
        nearest = Nearest(problem)
        for repeat in range(1, self.repeats):
            nearest.offer(found, problem.won(found))
            again = replace(self, dual_rate=min(self.dual_rate * 2**repeat, 10.0))
            found = nearest_over_targets(problem, self.targets, again._descend)  # noqa: SLF001 - a copy of itself
        return nearest.close(found) if self.repeats > 1 else found

    def _descend(self, problem: Problem) -> Tensor:
        """The nearest win of one run, [B, *shape]; its first steps are long, so that it sees more than one valley."""
        x, nearest, unit = problem.x, Nearest(problem), spread(problem)
        dual = average = decay = x.new_zeros(len(x))
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        for step in range(self.steps):
            grad, loss, _, won = problem.roughly(step / self.steps).grad(x, "margin")
            nearest.offer(x, won)
            if step == 0:
                decay = self._decay(grad * unit, loss)
                steepness = size(grad * unit, "l2")
                # log of the win's weight over the distance's; at the clean sample one pulls 1 / ratio times as hard
                dual = -(self.ratio * torch.where(steepness > 0, steepness, 1.0)).log()
                average = dual.sigmoid()
            problem.note(loss=loss, distance=nearest.distance, weight=average, won=won.float())
            share = step / self.steps
            # Softplus of the gap: its slope fades on the far side, so that the distance pulls a lost sample back.
            push = average * torch.sigmoid(-loss).nan_to_num(nan=1.0)
            total = per_sample(1 - average, x) * ascent(x - problem.x, "l2") - per_sample(push, x) * grad * unit
            total = ascent(total, "l2")  # else the first, steep gradients would rule Adam's scale for a thousand steps
            first = 0.9 * first + 0.1 * total
            second = 0.999 * second + 0.001 * total.square()
            scale = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            length = self.rate * decay**share * unit / (1 - 0.9 ** (step + 1))
            x = problem.clip(x - per_sample(length, x) * first / scale)
            dual = dual + self.dual_rate * self.dual_decay**share * torch.where(won, -1.0, 1.0)
            average = 0.9 * average + 0.1 * dual.sigmoid()
        return nearest.close(x)

    def _decay(self, grad: Tensor, loss: Tensor) -> Tensor:
        """Share of the first step that is left at the end, [B]: a value moves by at most `fine` of the linearised
        distance over the root of the number of values."""
        root = max(1.0, grad[0].numel() ** 0.5 if len(grad) else 1.0)
        last = self.fine * linear_distance(grad, loss, root) / root
        return (last / self.rate).clamp(1e-6, self.decay)


@hookimpl
def robusteval_attacks() -> list[type[PDGD]]:
    return [PDGD]
