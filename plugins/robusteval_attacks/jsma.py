"""JSMA: the saliency of pixel pairs in the forward Jacobian."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, param, wins
from robusteval_attacks._common.pixel_pairs import best_pairs

_MOST = 16  # pairs that one Jacobian may serve
_HARD = 60  # gradients that a hard sample takes


@dataclass(frozen=True)
class JSMA:
    """Papernot et al.'s algorithm 3, for several targets of a sample at once; the first target reached ends the sample.

    For speed the defaults differ from the paper in three things, whose price the last step takes back: unpromising
    targets leave after each step (race), a Jacobian serves more than one pair (pairs, growth), and the half of it that
    changes least, the gradient of the sum of all scores, serves more than one step (refresh). pairs=1, growth=0,
    refresh=1, race=False and prune=False is the paper's algorithm. What a pixel does is weighed with how far the box
    lets it move.
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="jsma",
        version="3",
        norms=("l0",),
        budget="minimal",
        needs="gradient",
        summary="Changes, again and again, the two pixels that raise the target's score and lower the others' most.",
        reference="Papernot, McDaniel, Jha, Fredrikson, Celik, Swami: The limitations of deep learning in adversarial "
        "settings, 2016",
        strengths="Few passes, and the pixels it picks can be read: the classic of the sparse attacks.",
        limits="Greedy, and each change is as large as allowed; sigma-zero needs fewer pixels.",
    )
    theta: float = param(1.0, "Change of a pixel when it is picked, in pixel ranges.", minimum=1e-3, maximum=1.0)
    direction: Literal["up", "down", "either"] = param(
        "either", "Whether picked pixels grow, shrink, or do what helps the target.", choices=["up", "down", "either"]
    )
    gamma: float = param(1.0, "Largest share of the pixels that may change.", minimum=0.0, maximum=1.0)
    targets: int = param(1, "Winning classes tried per sample, the likeliest first.", minimum=1, maximum=1000)
    race: bool = param(True, "Whether only the better half of a sample's targets goes on after each step.")
    pairs: int = param(4, "Pairs picked from one Jacobian, at least.", minimum=1, maximum=_MOST)
    growth: float = param(
        1.0, "Pairs picked from one Jacobian, as a share of those changed before.", minimum=0.0, maximum=1.0
    )
    refresh: int = param(
        2,
        "Steps that one gradient of the sum of all scores serves; that of the target is always new.",
        minimum=1,
        maximum=1000,
    )
    prune: bool = param(True, "Whether pixels that turn out needless are put back at the end.")

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(1, 1) * _HARD

    def run(self, problem: Problem) -> Tensor:
        found = problem.x.clone()
        scores = problem.scores(problem.x).nan_to_num(nan=-math.inf)
        order = scores.masked_fill(problem.safe, -math.inf).argsort(dim=1, descending=True, stable=True)
        order = order[:, : self.targets]
        tried = ~problem.safe.gather(1, order) & ~wins(scores, problem.safe)[:, None]
        # from here on one row for each sample and target
        sample, target = tried.nonzero()[:, 0], order[tried]
        rest, x = problem[sample], problem.x[sample]
        most, step = self.gamma * _by_pixel(problem.x).shape[2], 0
        misclassified = torch.zeros(len(problem), dtype=torch.bool, device=x.device)
        total, turn = torch.zeros_like(x), 0
        while len(sample):
            grad, value, scores, won = rest.grad(x, partial(_score, target))
            size = rest.distance(x)
            rest.note(score=value, distance=size, won=won.float())
            first = won.nonzero().squeeze(1)
            # where two targets are reached at once the one with fewer pixels is written last, and stays
            for row in first[size[first].argsort(descending=True, stable=True)].tolist():
                found[sample[row]] = x[row]
            misclassified[sample[first]] = True
            on = ~misclassified[sample] & (size < most)
            if self.race and step:
                behind = scores.masked_fill(~rest.safe, -math.inf).amax(1) - value
                on &= _better_half(sample, behind)
            rest, x, sample, target, grad, total = rest[on], x[on], sample[on], target[on], grad[on], total[on]
            if len(sample) == 0:
                break
            pairs = min(_MOST, max(self.pairs, round(self.growth * step)))
            if turn % self.refresh == 0:
                total = rest.grad(x, _total).grad
            move = self._move(rest, x, grad, total - grad, pairs)
            on = move.flatten(1).any(1)  # an empty saliency map: the end of this row
            rest, x, sample, target, total = rest[on], rest.clip(x + move)[on], sample[on], target[on], total[on]
            step, turn = step + pairs, turn + 1
        return _put_back(problem, found, misclassified) if self.prune else found

    def _move(self, problem: Problem, x: Tensor, target: Tensor, others: Tensor, pairs: int) -> Tensor:
        """The change of the most salient pairs, [B, *shape]; zero where no pair is salient.

        target, others: gradients of the target's score and of the sum of all other scores, [B, *shape].
        """
        low, high = problem.bounds
        most = self.theta * (high - low)
        up, down = (high - x).clamp(0, most), (low - x).clamp(-most, 0)
        if self.direction == "either":
            # a value that has moved goes on in the same direction
            direction = torch.where(x == problem.x, target - others, x - problem.x)
            step = torch.where(direction > 0, up, down).masked_fill(direction == 0, 0)
        else:
            step = up if self.direction == "up" else down
        gain, drop = _by_pixel(target * step).sum(1), -_by_pixel(others * step).sum(1)
        picked = best_pairs(gain, drop, pairs)
        return step * picked[:, None].expand_as(_by_pixel(step)).reshape(step.shape)


def _by_pixel(x: Tensor) -> Tensor:
    """x by channels and pixels: [B, C, P] for images [B, C, H, W], [B, 1, N] otherwise."""
    return x.flatten(2) if x.dim() == 4 else x.flatten(1)[:, None]


def _score(target: Tensor, scores: Tensor) -> Tensor:
    """The score of each sample's target [B]."""
    return scores.gather(1, target[:, None]).squeeze(1)


def _total(scores: Tensor) -> Tensor:
    return scores.sum(1)


def _better_half(sample: Tensor, behind: Tensor) -> Tensor:
    """Mask [R] of the rows that are in the better half of their sample's rows; sample [R] grows, behind [R]."""
    order = behind.argsort(stable=True)
    order = order[sample[order].argsort(stable=True)]  # by sample, then by behind
    count = torch.bincount(sample)
    rank = torch.arange(len(sample), device=sample.device) - (count.cumsum(0) - count)[sample[order]]
    inside = torch.zeros_like(sample, dtype=torch.bool)
    inside[order] = rank < (count[sample[order]] + 1) // 2
    return inside


def _put_back(problem: Problem, found: Tensor, misclassified: Tensor) -> Tensor:
    """found with the changes of the lost samples undone where the win survives it.

    The changes are ordered by what undoing them costs by the gradient; a binary search finds how many of the first go.
    The core then tries what is left one by one.
    """
    rows = misclassified.nonzero().squeeze(1)
    rest, best = problem[rows], found[rows]
    changed = _by_pixel(best != rest.x).any(1)
    cost = _by_pixel(rest.grad(best, "margin").grad * (best - rest.x)).sum(1).masked_fill(~changed, math.inf)
    rank = cost.argsort(dim=1, stable=True).argsort(dim=1)
    low, high = torch.zeros_like(rows), changed.sum(1)  # so many can, so many cannot go
    while bool((on := high - low > 1).any()):
        middle = (low + high) // 2
        back = (rank < middle[:, None])[on][:, None].expand_as(_by_pixel(best[on])).reshape(best[on].shape)
        tried = torch.where(back, rest.x[on], best[on])
        won = torch.zeros_like(on)
        won[on] = rest[on].won(tried)
        low, high = torch.where(won, middle, low), torch.where(on & ~won, middle, high)
    back = (rank < low[:, None])[:, None].expand_as(_by_pixel(best)).reshape(best.shape)
    found[rows] = torch.where(back, rest.x, best)
    return found


@hookimpl
def robusteval_attacks() -> list[type[JSMA]]:
    return [JSMA]
