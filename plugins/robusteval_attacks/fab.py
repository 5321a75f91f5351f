"""FAB: steps onto the linearised boundary within the box, drawn towards the clean sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param, per_sample, random_in_ball, size, wins
from robusteval_attacks._common.best_so_far import Nearest
from robusteval_attacks._common.hyperplane_projection import cross

_DUAL: dict[str, Literal["l1", "l2", "linf"]] = {"l1": "linf", "l2": "l2", "linf": "l1"}
_OUT = 1e30
_PATIENCE = 10  # steps before eta may grow
_FURTHEST = 2.0  # eta at most


@dataclass(frozen=True)
class FAB:
    """Croce & Hein's algorithm: exact projections of iterate and clean sample, mixed by their distances.

    On adversarially trained models a boundary that bends away may never be crossed by steps that end just beyond its
    linearisation, so eta grows for samples that have not been lost yet.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="fab",
        version="3",
        norms=("linf", "l2", "l1"),
        budget="minimal",
        needs="gradient",
        summary="Follows the linearised class boundary towards the clean sample, from several starts.",
        reference="Croce, Hein: Minimally distorted adversarial examples with a fast adaptive boundary attack, 2020",
        stochastic=True,
        strengths="No step size; respects the box exactly; indifferent to the scale of the scores.",
        limits="A gradient for every class in every step: a few times as dear as attacks of one gradient a step.",
    )
    steps: int = param(120, "Linearisations per start; 100 in the paper.", minimum=1, maximum=100_000)
    restarts: int = param(
        1, "Starts; later ones are random points half as far as the nearest win.", minimum=1, maximum=1000
    )
    targets: int = param(
        0, "Number of likeliest classes attacked one by one; 0 looks at all in each step.", minimum=0, maximum=1000
    )
    candidates: int = param(
        5,
        "Likeliest classes whose boundaries are looked at in each step; the paper looks at all.",
        minimum=1,
        maximum=1000,
    )
    alpha: float = param(0.1, "Largest weight of the clean sample's projection.", minimum=0.0, maximum=1.0)
    eta: float = param(1.05, "Extrapolation beyond the boundary.", minimum=1.0, maximum=2.0)
    growth: float = param(
        1.2,
        "Factor by which the part of eta beyond 1 grows with each step without a win so far; 1 for the paper's.",
        minimum=1.0,
        maximum=10.0,
    )
    beta: float = param(0.9, "Share of the perturbation that is kept after a win.", minimum=0.0, maximum=1.0)

    def passes(self, norm: str, classes: int) -> Passes:
        runs = self.restarts * max(1, min(self.targets, classes - 1))
        looked = 1 if self.targets else min(self.candidates, classes - 1)
        return Passes(2, 1 + looked) * (runs * self.steps) + Passes(1 + runs)

    def run(self, problem: Problem) -> Tensor:
        nearest, last = Nearest(problem), problem.x
        scores = problem.scores(problem.x)
        nearest.offer(problem.x, wins(scores, problem.safe))
        likeliest = scores.masked_fill(problem.safe, -_OUT).argsort(dim=1, descending=True)
        for start in range(self.restarts):
            for rank in range(max(1, min(self.targets, problem.classes - 1))):
                classes = likeliest[:, rank : rank + 1] if self.targets else None
                last = self._follow(problem, nearest, classes, start > 0)
        return torch.where(per_sample(nearest.distance.isinf(), last), last, nearest.found)

    def _follow(self, problem: Problem, nearest: Nearest, classes: Tensor | None, aside: bool) -> Tensor:
        """One run towards the classes [B, 1], or whichever is nearest, from the clean samples or aside of them; returns
        the last iterate, [B, *shape]."""
        x = problem.x
        if aside:
            radius = nearest.distance.masked_fill(nearest.distance.isinf(), 0) / 2
            x = problem.clip(x + random_in_ball(x, problem.norm, radius, problem.rng))
        scores = problem.scores(x)
        beyond = x.new_full((len(x),), self.eta)
        for step in range(self.steps):
            slope, gap = self._boundary(problem.roughly(step / self.steps), x, scores, classes)
            mine = cross(problem, x, slope, gap)
            lean = gap - (slope * (problem.x - x)).flatten(1).sum(1)
            clean = cross(problem, problem.x, slope, lean)
            near, far = size(mine, problem.norm), size(clean, problem.norm)
            alpha = per_sample((near / (near + far).clamp_min(1e-30)).clamp_max(self.alpha), x)
            eta = per_sample(beyond, x)
            x = (1 - alpha) * (x + eta * mine) + alpha * (problem.x + eta * clean)
            x = problem.clip(x)
            scores = problem.scores(x)
            won = wins(scores, problem.safe)
            distance = nearest.offer(x, won)
            if step >= _PATIENCE:
                further = (1 + (beyond - 1) * self.growth).clamp_max(_FURTHEST)
                beyond = torch.where(nearest.distance.isinf(), further, self.eta)
            problem.note(margin=-gap, distance=distance, won=won.float())
            x = torch.where(per_sample(won, x), problem.clip(problem.x + self.beta * (x - problem.x)), x)
        return x

    def _boundary(self, problem: Problem, x: Tensor, scores: Tensor, classes: Tensor | None) -> tuple[Tensor, Tensor]:
        """Slope [B, *shape] of the nearest linearised boundary, and the rise [B] of the score difference that it
        takes."""
        if classes is None:
            count = min(self.candidates, problem.classes - 1)
            classes = scores.masked_fill(problem.safe, -_OUT).topk(count, dim=1).indices
        inside = scores.masked_fill(~problem.safe, -_OUT).argmax(1, keepdim=True)
        scores, grads = problem.jacobian(x, torch.cat([inside, classes], dim=1))
        gap = scores.gather(1, inside) - scores.gather(1, classes)
        slope = grads[:, 1:] - grads[:, :1]
        steep = torch.stack([size(gradient, _DUAL[problem.norm]) for gradient in slope.unbind(1)], dim=1)
        usable = ~problem.safe.gather(1, classes) & (steep > 1e-20) & torch.isfinite(gap)
        nearest = torch.where(usable, gap.abs() / steep, _OUT).argmin(1)
        rows = torch.arange(len(x), device=x.device)
        usable = usable[rows, nearest]
        return torch.where(per_sample(usable, x), slope[rows, nearest], 0.0), gap[rows, nearest].masked_fill(~usable, 0)


@hookimpl
def robusteval_attacks() -> list[type[FAB]]:
    return [FAB]
