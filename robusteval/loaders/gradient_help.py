"""Does a gradient help more than chance? Measured where it counts: on the true margin, image by image.

A copy of a model need not answer as the model does to show the way: what counts is whether steps along its gradient
lower the true margin more than random steps of the same length do (compare Athalye, Carlini, Wagner 2018: a gradient
that is worse than chance is no gradient; and Pintor et al. 2022, Indicators of attack failure, indicator 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

TrueMargin = Callable[
    [Tensor], Tensor
]  # [B, ...] -> [B], of fixed rows in their order: how far the answer is from changing
Gradient = Callable[[Tensor], Tensor]  # [B, ...] -> [B, ...], of what is proposed instead; may be zero or not finite

SURE = 2.0  # standard errors by which the mean paired difference must lie above zero
ALARM, LEAVE = 0.1, 0.5  # shares of rows without a gradient: worth a word; too many to call it a gradient of the model
DRAWS = 2  # random moves that each move along the gradient is compared with
MAX_ROWS, MIN_ROWS, NUMBERS = 64, 8, 100_000  # images asked, and how many input numbers they may have together


class Move(NamedTuple):
    """A short walk: `eps` is a share of the pixel range, for l2 of half the diagonal of the box."""

    norm: str  # "linf" or "l2"
    eps: float
    steps: int


MOVES = (
    Move("linf", 8 / 255, 1),
    Move("linf", 8 / 255, 5),
    Move("linf", 2 / 255, 5),
    Move("linf", 32 / 255, 7),
    Move("l2", 32 / 255, 7),
)
FAR = (Move("linf", 64 / 255, 10), Move("linf", 160 / 255, 10))  # only where none of those is sure: saturated answers


@dataclass(frozen=True)
class Help:
    """What a gradient was worth. `drop` and `chance` are shares of the clean margin, in the mean over images and
    moves."""

    helps: bool  # some move lowered the true margin, and more than random moves did, by SURE standard errors
    drop: float
    chance: float
    errors: float  # of the best move: standard errors of the mean paired difference above zero
    dead: float  # share of images where the gradient is zero or not finite
    rows: int
    best: str = ""  # the best move in words

    def figures(self) -> dict[str, float | str]:
        """For ModelInfo.parity."""
        return {
            "zero_gradient_rows": self.dead,
            "gradient_drop": self.drop,
            "random_drop": self.chance,
            "standard_errors": self.errors,
            "images_asked": float(self.rows),
        }

    def words(self) -> str:
        """The measurement as a clause."""
        return (
            f"steps along its gradient lower the true margin by {self.drop:.0%} of itself and random ones by "
            f"{self.chance:.0%} ({self.rows} inputs, {self.errors:.1f} standard errors apart)"
        )


NO_HELP = Help(False, 0.0, 0.0, 0.0, 1.0, 0)


def rows_to_ask(shape: tuple[int, ...]) -> int:
    """How many inputs of this shape are worth asking: fewer of large ones."""
    return max(MIN_ROWS, min(MAX_ROWS, NUMBERS // max(1, math.prod(shape))))


def gradient_help(
    margin: TrueMargin, gradient: Gradient, x: Tensor, bounds: tuple[float, float], quick: bool = False
) -> Help:
    """Walks from x [B, ...] along `gradient`, and at random, and compares the true margins at the ends.

    Rows whose clean margin is not positive and finite say nothing and are left out of the means. `quick`: stops at the
    first move that is sure to help (its figures then stand for all). Draws from a generator of its own.
    """
    rng = np.random.default_rng(7)
    before = margin(x).double()
    use = torch.isfinite(before) & (before > 0)
    first = gradient(x)
    dead = float(_dead(first).double().mean()) if len(x) else 1.0
    if not bool(use.any()) or dead == 1.0:
        return Help(False, 0.0, 0.0, 0.0, dead, int(use.sum()))
    drops, chances, best, words = [], [], -math.inf, ""
    for move in (*MOVES, *FAR):
        if move in FAR and best > SURE:
            break
        end = walk(gradient, x, bounds, move, first)
        mine = _lowered(before, margin(end))[use]
        random = [_lowered(before, margin(stray(x, bounds, move, rng)))[use] for _ in range(DRAWS)]
        chance = torch.stack(random).mean(0)
        errors = min(above_zero(mine - chance), above_zero(mine))
        if errors > best:
            best, words = errors, f"{move.steps} x {move.norm} of {move.eps * 255:.0f}/255"
        drops.append(float(mine.mean()))
        chances.append(float(chance.mean()))
        if quick and errors > 2 * SURE:
            drops, chances = drops[-1:], chances[-1:]
            break
    drop, chance_drop = sum(drops) / len(drops), sum(chances) / len(chances)
    return Help(best > SURE, drop, chance_drop, best, dead, int(use.sum()), words)


def above_zero(values: Tensor) -> float:
    """How many standard errors the mean of values [n] lies above zero; a single value or no spread counts by its
    sign."""
    n, mean = len(values), float(values.mean())
    error = float(values.std()) / math.sqrt(n) if n > 1 else 0.0
    if error <= 1e-12:
        return 99.0 * (mean > 1e-6) - 99.0 * (mean < -1e-6)
    return max(-99.0, min(99.0, mean / error))


def _dead(grad: Tensor) -> Tensor:
    flat = grad.flatten(1)
    return (~torch.isfinite(flat).all(1)) | (flat.abs().amax(1) == 0)


def _lowered(before: Tensor, after: Tensor) -> Tensor:
    """By which share of itself each margin fell; an answer that is not finite is no fall, and no image outweighs
    others."""
    share = (before - after.double()) / before.abs().clamp_min(1e-12)
    return torch.nan_to_num(share, 0.0, 0.0, 0.0).clamp(-2.0, 2.0)


def walk(gradient: Gradient, x: Tensor, bounds: tuple[float, float], move: Move, first: Tensor | None = None) -> Tensor:
    """Where a short projected descent along `gradient` ends, [B, ...]. `first`: the gradient at x, where it is
    known."""
    low, high = bounds
    radius = _radius(x, bounds, move)
    step = radius if move.steps == 1 else 2.0 * radius / move.steps
    z = x
    for k in range(move.steps):
        grad = torch.nan_to_num(first if k == 0 and first is not None else gradient(z), 0.0, 0.0, 0.0)
        if move.norm == "linf":
            z = z - step * grad.sign()
            z = torch.minimum(torch.maximum(z, x - radius), x + radius)
        else:
            delta = z - step * _unit(grad) - x
            z = x + delta * (radius / _length(delta).clamp_min(1e-12)).clamp(max=1.0)
        z = z.clamp(low, high)
    return z


def stray(x: Tensor, bounds: tuple[float, float], move: Move, rng: np.random.Generator) -> Tensor:
    """A random point as far away as the walk's end may be."""
    low, high = bounds
    radius = _radius(x, bounds, move)
    noise = torch.from_numpy(rng.standard_normal(tuple(x.shape)).astype(np.float32)).to(x)
    direction = noise.sign() if move.norm == "linf" else _unit(noise)
    return (x + radius * direction).clamp(low, high)


def _radius(x: Tensor, bounds: tuple[float, float], move: Move) -> float:
    size = move.eps * (bounds[1] - bounds[0])
    return size if move.norm == "linf" else size * math.sqrt(math.prod(x.shape[1:])) / 2


def _length(t: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(t.flatten(1), dim=1)
    return length.reshape(-1, *[1] * (t.dim() - 1))


def _unit(t: Tensor) -> Tensor:
    peak = t.flatten(1).abs().amax(1).reshape(-1, *[1] * (t.dim() - 1))
    t = t / peak.clamp_min(torch.finfo(t.dtype).tiny)  # a gradient of 1e-30 has a direction, but no square
    return t / _length(t).clamp_min(1e-12)
