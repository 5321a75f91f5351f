"""Decoupled direction and norm: gradient directions on a sphere whose radius shrinks at a win and grows without one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, margin, param, per_sample, size
from robusteval_attacks._common.best_so_far import cosine
from robusteval_attacks._common.linearisation import aim_passes, nearest_class, towards


@dataclass(frozen=True)
class DDN:
    """Rony et al.'s algorithm 1; the first radius and step are the linearised distance, where that is shorter than 1.

    The radius changes fast at first and slowly at last, which with 60 steps comes nearer than the paper's constant
    share with 100, most of all on adversarially trained models, where the first radius is far too short.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="ddn",
        version="2",
        norms=("l2",),
        budget="minimal",
        needs="gradient",
        summary="Gradient steps on a sphere that shrinks while the sample is lost and grows while it is not.",
        reference="Rony, Hafemann, Oliveira, Ben Ayed, Sabourin, Granger: Decoupling direction and norm for efficient "
        "gradient-based L2 adversarial attacks and defenses, 2019",
        stochastic=True,
        strengths="Close to Carlini & Wagner's distances in a small part of the passes; no constant to tune.",
        limits="l2 only; on adversarially trained models alma and pdgd find nearer adversarials.",
    )
    steps: int = param(60, "Gradient steps.", minimum=1, maximum=100_000)
    radius: float = param(
        1.0, "Largest first radius and step, in units of the range of the pixels.", minimum=1e-6, maximum=1e6
    )
    loss: Literal["ce", "margin", "dlr", "nearest"] = param(
        "ce",
        "What is climbed; nearest: ce, and in the second half the class that a linearisation puts nearest, which is "
        "exact on linear models.",
        choices=["ce", "margin", "dlr", "nearest"],
    )
    gamma: float = param(0.15, "Share by which the radius first shrinks or grows.", minimum=1e-4, maximum=0.99)
    last_gamma: float = param(
        0.02, "Share by which it does so at last; the paper has 0.05 all the way.", minimum=1e-4, maximum=0.99
    )

    def passes(self, norm: str, classes: int) -> Passes:
        run = Passes(self.steps + 1, self.steps)
        return run + aim_passes(classes) if self.loss == "nearest" else run

    def run(self, problem: Problem) -> Tensor:
        x, delta = problem.x, torch.zeros_like(problem.x)
        first = radius = x.new_full((len(x),), self.radius * (problem.bounds[1] - problem.bounds[0]))
        best, shortest = x.clone(), x.new_full((len(x),), math.inf)
        first_loss = "ce" if self.loss == "nearest" else self.loss
        aimed = towards(problem.safe, nearest_class(problem)) if self.loss == "nearest" else first_loss
        for step in range(self.steps):
            grad, loss, scores, won = problem.roughly(step / self.steps).grad(
                x, first_loss if 2 * step < self.steps else aimed
            )
            if step == 0:
                first = radius = _first_radius(margin(scores, problem.safe).neg(), grad, radius)
            length = problem.distance(x)
            nearer = won & (length < shortest)
            best, shortest = torch.where(per_sample(nearer, x), x, best), torch.where(nearer, length, shortest)
            problem.note(loss=loss, radius=radius, won=won.float())
            alpha = first * (0.01 + 0.99 * (1 + math.cos(math.pi * step / self.steps)) / 2)
            delta = delta + per_sample(alpha, x) * ascent(_nonzero(grad, problem), "l2")
            gamma = cosine(self.gamma, self.last_gamma, step, self.steps)
            radius = radius * torch.where(won, 1 - gamma, 1 + gamma)
            delta = delta * per_sample(radius / size(delta, "l2").clamp_min(1e-30), delta)
            x = problem.clip(problem.x + delta)
            delta = x - problem.x
        length = problem.distance(x)
        # The last iterate, and the only proposal for samples that were never lost: it lies farthest out.
        nearer = (problem.won(x) & (length < shortest)) | shortest.isinf()
        return torch.where(per_sample(nearer, x), x, best)


def _first_radius(gap: Tensor, grad: Tensor, most: Tensor) -> Tensor:
    """The distance at which a gap that closes at the rate of the gradient is closed, at most `most`, [B].

    The paper starts at 1 with steps of 1, which suits digits; where a hundredth of that suffices it would spend most of
    its steps on the way down.
    """
    steepness = size(grad, "l2")
    estimate = gap / steepness.clamp_min(1e-30)
    usable = (steepness > 0) & (estimate > 1e-4 * most)
    return torch.where(usable, torch.minimum(estimate, most), most)


def _nonzero(grad: Tensor, problem: Problem) -> Tensor:
    """grad [B, *shape] with random directions in the rows that are all zero, which would not move at all."""
    zero = ~grad.flatten(1).any(1)
    if not bool(zero.any()):
        return grad
    noise = torch.randn(grad.shape, generator=problem.rng, device=problem.rng.device).to(grad.device, grad.dtype)
    return torch.where(per_sample(zero, grad), noise, grad)


@hookimpl
def robusteval_attacks() -> list[type[DDN]]:
    return [DDN]
