"""Boundary attack: a random walk along the decision boundary that keeps what is misclassified and comes nearer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample, size
from robusteval_attacks._common.decision_based import START_PASSES, first_wins

_THETA = 1e-3  # precision of the start on the boundary, as a share of its length
_SMALLEST, _LARGEST = 1e-5, 0.5  # of both steps, as shares of the distance
_MEMORY = 0.1  # weight of the newest decision in a rate of success


@dataclass(frozen=True)
class Boundary:
    """Algorithm 1 of the paper with the step sizes of its section 2.4, adapted for each sample on its own."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="boundary",
        version="1",
        norms=("l2",),
        budget="minimal",
        needs="decision",
        summary="Steps at random on a sphere around the clean sample, then towards it, and keeps what stays "
        "misclassified.",
        reference="Brendel, Rauber, Bethge: Decision-based adversarial attacks, reliable attacks against black-box "
        "machine learning models, 2018",
        stochastic=True,
        strengths="Needs the predicted label alone and supposes nothing of the model; hard to fool by masked "
        "gradients.",
        limits="Tens of thousands of queries; hopskipjump comes nearer with fewer.",
    )
    queries: int = param(3000, "Queries per sample, about; the paper spends up to a million.", minimum=1)
    sphere_step: float = param(
        0.1, "First step on the sphere, as a share of the distance.", minimum=_SMALLEST, maximum=_LARGEST
    )
    source_step: float = param(
        0.01, "First step towards the clean sample, as a share of the distance.", minimum=_SMALLEST, maximum=_LARGEST
    )
    adapt: float = param(
        1.05, "Factor by which steps grow or shrink with the rate of success.", minimum=1.0, maximum=3.0
    )
    sphere_every: int = param(
        5, "The step on the sphere is judged without the one towards the sample once in so many.", minimum=1
    )
    starts: int = param(30, "Draws of noise until one is misclassified.", minimum=0, maximum=100_000)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.queries + START_PASSES)

    def run(self, problem: Problem) -> Tensor:
        best = problem.x.clone()
        x, found = first_wins(problem, self.starts, _THETA)
        best[found] = x[found]
        left = (found & (problem.distance(x) > 0)).nonzero().squeeze(1)
        if len(left) == 0:
            return best
        problem, x = problem[left], x[left]
        distance = problem.distance(x)
        sphere, source = torch.full_like(distance, self.sphere_step), torch.full_like(distance, self.source_step)
        on_sphere, inwards = torch.full_like(distance, 0.35), torch.full_like(distance, 0.18)  # rates of success
        for query in range(self.queries):
            turned = self._turn(problem, x, distance, sphere)
            if query % self.sphere_every == 0:
                won = problem.won(turned)
                on_sphere = torch.lerp(on_sphere, won.to(x.dtype), _MEMORY)
                # Half of the steps on the sphere win where the boundary is flat at their scale.
                grow = _factor(on_sphere, 0.2, 0.5, self.adapt)
                sphere, source = (sphere * grow).clamp(_SMALLEST, _LARGEST), source * grow
                candidate = turned
            else:
                reach = distance * (1 - source)
                offset = turned - problem.x
                shrink = reach / size(offset, "l2").clamp_min(1e-30)
                candidate = problem.clip(problem.x + offset * per_sample(shrink.clamp_max(1), x))
                won = problem.won(candidate)
                inwards = torch.lerp(inwards, won.to(x.dtype), _MEMORY)
                source = source * _factor(inwards, 0.1, 0.25, self.adapt)
            source = source.clamp(_SMALLEST, _LARGEST)
            length = problem.distance(candidate)
            won &= length <= distance * (1 + 1e-6)
            x, distance = torch.where(per_sample(won, x), candidate, x), torch.where(won, length, distance)
            problem.note(distance=distance, sphere_step=sphere, source_step=source)
        best[left] = x
        return best

    def _turn(self, problem: Problem, x: Tensor, distance: Tensor, step: Tensor) -> Tensor:
        """x turned around the clean sample in a random direction by that share of the distance, [B, *shape]."""
        noise = torch.randn(x.shape, generator=problem.rng, device=problem.rng.device).to(x.device, x.dtype)
        outwards = ascent(x - problem.x, "l2")
        noise = noise - outwards * per_sample((noise * outwards).flatten(1).sum(1), x)
        moved = x - problem.x + ascent(noise, "l2") * per_sample(step * distance, x)
        back = per_sample(distance / size(moved, "l2").clamp_min(1e-30), x)
        return problem.clip(problem.x + moved * back)


def _factor(rate: Tensor, low: float, high: float, adapt: float) -> Tensor:
    """adapt where the rate of success is above high, its inverse where it is below low, else 1: [B]."""
    one = torch.ones_like(rate)
    return torch.where(rate > high, one * adapt, torch.where(rate < low, one / adapt, one))


@hookimpl
def robusteval_attacks() -> list[type[Boundary]]:
    return [Boundary]
