"""Slopes and multipliers of parts of a ball, turned by Adam on the bounds themselves (Kingma and Ba, ICLR 2015)."""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval_certifiers._branching.bounding import Seen, least, sides_of
from robusteval_certifiers._branching.parts import Frame, Parts

_KEPT = (0.9, 0.999)  # of the two moments in each step
LEAST_MULTIPLIER = 0.0  # a smaller one would prove what is not true
_TINY = 1e-30
_FLOOR = 1e-12  # of what multipliers are counted in
_SHRUNK = 0.75  # parts that are done are left out once no more than this share is left


def climbed(frame: Frame, parts: Parts, steps: int, rate: float, goal: float = torch.inf) -> Parts:
    """The parts with the best bounds that were met, and what gave them; no bound is worse than the one before.

    rate: size of the first step, which falls to a tenth; goal: beyond which no bound need go.
    """
    climb = _Climb(frame, parts, goal)
    for step in range(steps):
        if not climb.step(rate * 0.1 ** (step / steps)):
            return climb.met
    climb.look()
    return climb.met


class _Climb:
    """Where the parts are that are not done yet, and what was met on the way."""

    def __init__(self, frame: Frame, parts: Parts, goal: float) -> None:
        self.frame, self.goal = frame, goal
        self.at = torch.arange(len(parts), device=parts.best.device)
        self.met, self.now = parts[self.at], parts[self.at]
        self.sides = sides_of(frame, self.now)
        self.split = [place for place, side in self.sides.items() if bool(side.split.any())]
        self.units: dict[int, Tensor] = {}
        self.moments: list[list[Tensor]] = []
        self.count = 0

    def look(self, seen: Seen | None = None) -> None:
        """The bounds as they are."""
        with torch.no_grad():
            self._meet(least(self.frame, self.now, self.sides, seen))

    def step(self, rate: float) -> bool:
        """One step up; False where there is nothing to climb, or nothing more to gain."""
        leaves = [self.now.slopes[place].requires_grad_(True) for place in self.now.slopes]
        leaves += [self.now.multipliers[place].requires_grad_(True) for place in self.split]
        seen = Seen() if not self.units else None
        with torch.enable_grad():
            found = least(self.frame, self.now, self.sides, seen)
            climbs = found.requires_grad  # else no open ReLU lies before this node
            grads = torch.autograd.grad(found.sum(), leaves, allow_unused=True) if climbs else ()
        for leaf in leaves:
            leaf.requires_grad_(False)
        self._meet(found.detach())
        if seen is not None:
            for place, seen_there in seen.coefficients.items():
                self.units[place] = seen_there.detach().abs().mean(1, keepdim=True) + _FLOOR
        if not grads:
            return False
        self._move(leaves, [torch.zeros_like(a) if g is None else g for a, g in zip(leaves, grads, strict=True)], rate)
        return self._shrink()

    def _meet(self, found: Tensor) -> None:
        better = (found > self.met.best[self.at]) & torch.isfinite(found)
        rows = self.at[better]
        self.met.best[rows] = found[better]
        for theirs, ours in ((self.met.slopes, self.now.slopes), (self.met.multipliers, self.now.multipliers)):
            for place, value in theirs.items():
                value[rows] = ours[place][better].detach()

    def _move(self, leaves: list[Tensor], grads: list[Tensor], rate: float) -> None:
        if not self.moments:
            self.moments = [[torch.zeros_like(leaf) for leaf in leaves] for _ in _KEPT]
        self.count += 1
        moves = []
        for first, second, grad in zip(*self.moments, grads, strict=True):
            first.lerp_(grad, 1 - _KEPT[0])
            second.lerp_(grad.square(), 1 - _KEPT[1])
            mean, spread = first / (1 - _KEPT[0] ** self.count), second / (1 - _KEPT[1] ** self.count)
            moves.append(rate * mean / (spread.sqrt() + _TINY))
        for place, move in zip(self.now.slopes, moves, strict=False):
            floor = self.frame.undecided[place].bend
            self.now.slopes[place] = torch.maximum(self.now.slopes[place] + move, floor).clamp_max(1.0)
        for place, move in zip(self.split, moves[len(self.now.slopes) :], strict=True):
            self.now.multipliers[place] = (self.now.multipliers[place] + move * self.units[place]).clamp_min(
                LEAST_MULTIPLIER
            )

    def _shrink(self) -> bool:
        left = ~(self.met.best[self.at] > self.goal)
        some = left.nonzero().squeeze(1)
        if len(some) <= _SHRUNK * len(left):
            self.at, self.now = self.at[some], self.now[some]
            self.sides = sides_of(self.frame, self.now)
            self.units = {place: unit[some] for place, unit in self.units.items()}
            self.moments = [[moment[some] for moment in moments] for moments in self.moments]
        return len(some) > 0
