"""The least value of a linear function on a ball, as far as that lies in the box: exact in Linf, by duality in L2, L1.

For d in the box [lo, hi] around x, whose sides go no further than the ball, and any l >= 0, weak duality gives

    min a.d  >=  min over the box of a.d + l (|d|_2^2 - eps^2) / 2    (L2),
    min a.d  >=  min over the box of a.d + l (|d|_1 - eps)            (L1),

and the right sides split by elements. So every l is sound; a good one is looked for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.api import Statement

_UNIT = 2.0**-52
_STEPS = 2  # in search of l in L2 where many bounds are wanted; each l is sound


class Ball:
    """The inputs of a statement, flat. low, high: [B, n], the sides of the smallest box that holds them."""

    def __init__(self, statement: Statement) -> None:
        self.x = statement.x.double().flatten(1)
        self.eps, self.norm = statement.eps.double(), statement.norm
        low, high = statement.bounds
        # a hair wider, as these differences are rounded
        wider = self.eps[:, None] * (1 + 4 * _UNIT) + 4 * _UNIT * self.x.abs()
        self.down = -torch.minimum((self.x - low) * (1 + _UNIT), wider).clamp_min(0.0)
        self.up = torch.minimum((high - self.x) * (1 + _UNIT), wider).clamp_min(0.0)
        self.low, self.high = self.x + self.down * (1 + _UNIT), self.x + self.up * (1 + _UNIT)
        self.sizes = torch.maximum(self.low.abs(), self.high.abs()) + self.x.abs()

    def of(self, rows: Tensor) -> Ball:
        """The balls of some of the images."""
        found = self.part(lambda value: value[rows])
        found.eps = self.eps[rows]
        return found

    def part(self, cut: Callable[[Tensor], Tensor]) -> Ball:
        """The ball of some of the elements, which the others leave all of the radius."""
        found = copy.copy(self)
        for name in ("x", "down", "up", "low", "high", "sizes"):
            setattr(found, name, cut(getattr(self, name)))
        return found

    def least(self, a: Tensor, steps: int = _STEPS) -> Tensor:
        """A lower bound of a.x over the inputs: coefficients [B, S, n] -> [B, S]. steps: in search of a good one in
        L2."""
        down, up = self.down[:, None], self.up[:, None]
        value = (a * self.x[:, None]).sum(-1)
        boxed = torch.minimum(a * down, a * up).sum(-1)
        if self.norm == "linf":
            drop = boxed
        else:
            drop = torch.maximum(boxed, self._l2(a, down, up, steps) if self.norm == "l2" else self._l1(a, down, up))
        bound: Tensor = value + drop - (a.abs() * self.sizes[:, None]).sum(-1) * (_UNIT * (a.shape[-1] + 64))
        return bound

    def _l2(self, a: Tensor, down: Tensor, up: Tensor, steps: int) -> Tensor:
        eps = self.eps[:, None, None].clamp_min(1e-12) * (1 + 4 * _UNIT)
        with torch.no_grad():
            rate = (a.norm(dim=-1, keepdim=True) / eps).clamp_min(1e-300)
            for _ in range(steps):
                step = torch.minimum(torch.maximum(-a / rate, down), up)
                # l |d(l)| rises with l, so that this goes down to where |d(l)| is eps, and stays above it
                rate = (rate * step.norm(dim=-1, keepdim=True) / eps).clamp_min(1e-300)
            step = torch.minimum(torch.maximum(-a / rate, down), up)
        spent = (rate * eps.square() / 2).squeeze(-1)
        bound: Tensor = (a * step + rate * step.square() / 2).sum(-1) - spent * (1 + 16 * _UNIT)
        return bound

    def _l1(self, a: Tensor, down: Tensor, up: Tensor) -> Tensor:
        eps = self.eps[:, None] * (1 + 4 * _UNIT)
        room = torch.where(a > 0, -down, up.expand_as(a))
        with torch.no_grad():  # the steepest elements first, until the budget is spent
            order = a.abs().argsort(-1, descending=True)
            spent = room.gather(-1, order).cumsum(-1)
            last = (spent < eps[..., None]).sum(-1, keepdim=True).clamp_max(a.shape[-1] - 1)
            rate = a.abs().gather(-1, order.gather(-1, last))
        over = (a.abs() - rate).clamp_min(0.0)
        return -(room * over).sum(-1) - rate.squeeze(-1) * eps * (1 + 16 * _UNIT)
