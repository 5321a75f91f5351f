"""DeepFool: steps to the nearest of the linearised class boundaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, margin, param, per_sample, wins

_OUT = 1e30
_CLOSE = 0.1  # share of the clean margin at which a boundary counts as nearly reached
_HARD = 20  # linearisations that a hard sample takes
_DUAL = {"l2": 2, "linf": 1}


@dataclass(frozen=True)
class DeepFool:
    """Linearises the scores, steps onto the nearest boundary, a little beyond, and repeats until the class changes."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="deepfool",
        version="3",
        norms=("l2", "linf"),
        budget="minimal",
        needs="gradient",
        summary="Newton-like steps to the nearest linearised class boundary, then a search back towards the clean "
        "sample.",
        reference="Moosavi-Dezfooli, Fawzi, Frossard: DeepFool, a simple and accurate method to fool deep neural "
        "networks, 2016",
        strengths="A few steps; exact on linear models; the measure behind rho_adv.",
        limits="Greedy: it stops at the first boundary, which on robust models lies far beyond the nearest one.",
    )
    steps: int = param(50, "Most linearisations per sample.", minimum=1, maximum=10_000)
    candidates: int = param(6, "Classes whose boundaries are looked at in each step.", minimum=1, maximum=1000)
    overshoot: float = param(
        0.005, "Share of a step that is added to cross the boundary; 0.02 in the paper.", minimum=0.0, maximum=1.0
    )
    halvings: int = param(
        0, "Halvings of a search back to the boundary; the engine does one of its own.", minimum=0, maximum=50
    )

    def passes(self, norm: str, classes: int) -> Passes:
        steps = min(self.steps, _HARD)
        return Passes(2 * steps + 1 + self.halvings, steps * (1 + min(self.candidates, classes - 1)))

    def run(self, problem: Problem) -> Tensor:
        found = problem.x.clone()
        misclassified = torch.zeros(len(problem), dtype=torch.bool, device=found.device)
        left, rest, x = torch.arange(len(problem), device=found.device), problem, problem.x
        clean = x.new_zeros(len(x))
        for step in range(self.steps + 1):
            if len(left) == 0:
                break
            scores = rest.scores(x)
            won, behind = wins(scores, rest.safe), margin(scores, rest.safe).neg()
            clean = behind if step == 0 else clean
            rest.note(margin=-behind, distance=rest.distance(x), won=won.float())
            found[left], misclassified[left] = x, won
            if step == self.steps or bool(won.all()):
                break
            if bool(won.any()):
                on = ~won
                rest, x, left, scores, behind, clean = rest[on], x[on], left[on], scores[on], behind[on], clean[on]
            move = self._step(rest, x, scores, behind < _CLOSE * clean)
            moving = move.flatten(1).any(1)  # a zero gradient shows no boundary: such a sample stays where it is
            x = rest.clip(x + (1 + self.overshoot) * move)
            if not bool(moving.all()):
                rest, x, left, clean = rest[moving], x[moving], left[moving], clean[moving]
        return _search_back(problem, found, misclassified, self.halvings)

    def _step(self, problem: Problem, x: Tensor, scores: Tensor, close: Tensor) -> Tensor:
        """The smallest move to one of the linearised boundaries between kept and winning classes, [B, *shape].

        scores [B, K] at x; close: bool [B], samples nearly at a boundary, whose last steps spare the edges of the box.
        """
        count = min(self.candidates, problem.classes - 1)
        outside = scores.masked_fill(problem.safe, -_OUT).topk(count, dim=1).indices
        inside = scores.masked_fill(~problem.safe, -_OUT).argmax(1, keepdim=True)
        scores, grads = problem.jacobian(x, torch.cat([inside, outside], dim=1))
        gap = scores.gather(1, inside) - scores.gather(1, outside)
        # Below the precision of the scores a step would not cross the boundary.
        gap = gap.clamp_min(1e-6) + 1e-6 * scores.abs().amax(1, keepdim=True)
        slope = grads[:, 1:] - grads[:, :1]
        if bool(close.any()):
            # Clipping cuts steps short, so the last stretch would take many. Leaving out the values that sit at the
            # edge and would leave the box closes it at once; earlier on, the shorter steps end nearer to the clean
            # sample.
            low, high = problem.bounds
            here, last = x[:, None], per_sample(close, slope)
            slope = slope.masked_fill(last & (((here >= high) & (slope > 0)) | ((here <= low) & (slope < 0))), 0)
        flat = slope.flatten(2)
        steepness = torch.linalg.vector_norm(flat, ord=_DUAL[problem.norm], dim=2)
        far = problem.safe.gather(1, outside) | (steepness < 1e-20) | ~torch.isfinite(gap)
        length, nearest = (gap / steepness).masked_fill(far, _OUT).min(1)
        length = length.masked_fill(length >= _OUT, 0)
        rows = torch.arange(len(x), device=x.device)
        # w / ||w||_2 in l2 and sign(w) in linf, times gap / dual norm of w: in l2 that is gap * w / ||w||^2.
        return ascent(slope[rows, nearest], problem.norm) * per_sample(length, x)


def _search_back(problem: Problem, found: Tensor, misclassified: Tensor, halvings: int) -> Tensor:
    """Halves the interval between the clean sample and each lost one, [B, *shape], and keeps the nearest that wins."""
    rows = misclassified.nonzero().squeeze(1)
    if halvings == 0 or len(rows) == 0:
        return found
    problem, far = problem[rows], found[rows]
    near, best = problem.x, far
    for _ in range(halvings):
        middle = (near + best) / 2
        won = per_sample(problem.won(middle), middle)
        near, best = torch.where(won, near, middle), torch.where(won, middle, best)
    found[rows] = best
    return found


@hookimpl
def robusteval_attacks() -> list[type[DeepFool]]:
    return [DeepFool]
