"""Square attack: random search over squares (linf) or pairs of squares (l2) at the surface of the ball."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, margin, param, per_sample, wins

# The share p of the values that one step changes is halved at these points of 10,000 queries (section 3 of the paper).
_HALVED_AT = (10, 50, 200, 1000, 2000, 4000, 6000, 8000)
_TINY = 1e-12


@dataclass(frozen=True)
class Square:
    """Changes one random square at a time and keeps the change when the margin grows."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="square",
        version="1",
        norms=("linf", "l2"),
        budget="fixed",
        needs="scores",
        summary="Random search: squares of extreme values are tried one by one and kept where they help.",
        reference="Andriushchenko, Croce, Flammarion, Hein: Square attack, a query-efficient black-box adversarial "
        "attack via random search, 2020",
        stochastic=True,
        strengths="Needs no gradient, so masked gradients do not stop it; the check on every gradient attack.",
        limits="Thousands of queries for robust models; squares suit images better than tables of features.",
    )
    queries: int = param(1000, "Queries per sample at most.", minimum=1, maximum=1_000_000)
    p: float = param(0.8, "Share of the values that the first squares change.", minimum=1e-4, maximum=1.0)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(self.queries)

    def run(self, problem: Problem) -> Tensor:
        out = problem.x.clone()
        left, x0 = torch.arange(len(out), device=out.device), _image(problem.x)
        change = _squares if problem.norm == "linf" else _pairs
        x = problem.x
        best = x.new_full((len(x),), -math.inf)
        for query in range(self.queries):
            if len(left) == 0:
                break
            if query == 0:
                start = _stripes if problem.norm == "linf" else _tiles
                raw = start(x0, problem.budget.to(x0.dtype), problem.rng)
            else:
                side = _side(x0.shape, self._share(query))
                raw = change(x0, _image(x), problem.budget.to(x0.dtype), side, problem.rng)
            candidate = problem.project(raw.reshape(x.shape))
            scores = problem.scores(candidate)
            value, won = margin(scores, problem.safe), wins(scores, problem.safe)
            better = (value > best) | won
            x, best = torch.where(per_sample(better, x), candidate, x), torch.where(better, value, best)
            problem.note(margin=best, won=won.float())
            if bool(won.any()):
                out[left] = x
                on = ~won
                problem, left, x, x0, best = problem[on], left[on], x[on], x0[on], best[on]
        out[left] = x
        return out

    def _share(self, query: int) -> float:
        """p after this many queries; the schedule is stretched to the number of queries."""
        halvings = sum(query / self.queries * 10_000 > point for point in _HALVED_AT)
        return self.p * 0.5**halvings


def _image(x: Tensor) -> Tensor:
    """x as [B, C, H, W]; inputs that are no images become one row of values."""
    if x.dim() == 4:
        return x
    return x.reshape(len(x), x.shape[1] if x.dim() == 3 else 1, 1, x.shape[-1] if x.dim() <= 3 else x[0].numel())


def _side(shape: torch.Size, share: float) -> tuple[int, int]:
    """Height and width of a window with this share of the area; a square where the image has room for one."""
    height, width = shape[2], shape[3]
    area = max(1.0, share * height * width)
    tall = min(height, max(1, round(math.sqrt(area))))
    return tall, min(width, max(1, round(area / tall)))


def _offsets(x0: Tensor, side: tuple[int, int], rng: Generator) -> tuple[Tensor, Tensor]:
    """Rows [B, H] and columns [B, W] counted from the corner of one random window per sample."""
    count, _, height, width = x0.shape
    top = torch.randint(0, height - side[0] + 1, (count, 1), generator=rng, device=rng.device)
    start = torch.randint(0, width - side[1] + 1, (count, 1), generator=rng, device=rng.device)
    return (torch.arange(height, device="cpu") - top).to(x0.device), (torch.arange(width, device="cpu") - start).to(
        x0.device
    )


def _inside(rows: Tensor, columns: Tensor, side: tuple[int, int]) -> Tensor:
    """Mask [B, 1, H, W] of the window with these offsets."""
    inside = ((rows >= 0) & (rows < side[0]))[:, :, None] & ((columns >= 0) & (columns < side[1]))[:, None, :]
    return inside[:, None]


def _signs(shape: tuple[int, ...], like: Tensor, rng: Generator) -> Tensor:
    return torch.randint(0, 2, shape, generator=rng, device=rng.device).to(like.device, like.dtype) * 2 - 1


def _stripes(x0: Tensor, eps: Tensor, rng: Generator) -> Tensor:
    """Start for linf: every column at plus or minus eps, by channel."""
    count, channels, _, width = x0.shape
    return x0 + _signs((count, channels, 1, width), x0, rng) * per_sample(eps, x0)


def _squares(x0: Tensor, x: Tensor, eps: Tensor, side: tuple[int, int], rng: Generator) -> Tensor:
    """linf: one window of each x at plus or minus eps from the clean sample, by channel."""
    here = _inside(*_offsets(x0, side, rng), side)
    value = x0 + _signs((*x0.shape[:2], 1, 1), x0, rng) * per_sample(eps, x0)
    return torch.where(here, value, x)


def _hill(height: int, width: int, like: Tensor) -> Tensor:
    """Rectangle [height, width] of unit l2 norm that falls off from its centre, as the paper's eta."""
    hill = like.new_zeros(height, width)
    top, left = height // 2, width // 2
    for ring in range(max(height, width) // 2 + 1):
        hill[max(top - ring, 0) : top + ring + 1, max(left - ring, 0) : left + ring + 1] += 1 / (ring + 1) ** 2
    length: Tensor = torch.linalg.vector_norm(hill)
    return hill / length.clamp_min(_TINY)


def _two_hills(height: int, width: int, like: Tensor) -> Tensor:
    """A hill and a valley side by side, [height, width], of unit l2 norm."""
    first = width // 2
    if first == 0:
        return _hill(height, width, like)
    pair = torch.cat([_hill(height, first, like), -_hill(height, width - first, like)], dim=1)
    length: Tensor = torch.linalg.vector_norm(pair)
    return pair / length


def _tiles(x0: Tensor, eps: Tensor, rng: Generator) -> Tensor:
    """Start for l2: a grid of tiles with hills of random sign, of size eps altogether."""
    count, channels, height, width = x0.shape
    side = (max(1, height // 5), max(1, width // 5))
    grid = (math.ceil(height / side[0]), math.ceil(width / side[1]))
    tile = _two_hills(side[0], side[1], x0).repeat(*grid)[:height, :width]
    signs = _signs((count, channels, *grid), x0, rng)
    signs = signs.repeat_interleave(side[0], dim=2).repeat_interleave(side[1], dim=3)[:, :, :height, :width]
    return x0 + _of_size(tile * signs, eps)


def _pairs(x0: Tensor, x: Tensor, eps: Tensor, side: tuple[int, int], rng: Generator) -> Tensor:
    """l2: takes the perturbation out of one window and puts its size, with what is unused, into another as hills."""
    side = (min(max(side[0], 3), x0.shape[2]), min(max(side[1], 3), x0.shape[3]))
    rows, columns = _offsets(x0, side, rng)
    here, there = _inside(rows, columns, side), _inside(*_offsets(x0, side, rng), side)
    delta = x - x0
    used = delta.flatten(1).norm(dim=1)
    unused = per_sample((eps.square() - used.square()).clamp_min(0) / x0.shape[1], x0)
    freed = (delta * (here | there)).square().sum((2, 3), keepdim=True)
    old = delta * here
    old = old / old.square().sum((2, 3), keepdim=True).sqrt().clamp_min(_TINY)
    fresh = _placed_hills(rows, columns, side, x0, rng) * _signs((*x0.shape[:2], 1, 1), x0, rng) + old
    fresh = fresh / fresh.square().sum((2, 3), keepdim=True).sqrt().clamp_min(_TINY)
    delta = torch.where(here | there, fresh * (unused + freed).sqrt(), delta)
    return x0 + _of_size(delta, eps)


def _placed_hills(rows: Tensor, columns: Tensor, side: tuple[int, int], x0: Tensor, rng: Generator) -> Tensor:
    """The pair of hills at each sample's window, upright or lying, zero elsewhere: [B, 1, H, W]."""
    upright = bool(torch.randint(0, 2, (1,), generator=rng, device=rng.device))
    hills = _two_hills(side[1], side[0], x0).T if upright else _two_hills(side[0], side[1], x0)
    placed = hills[rows.clamp(0, side[0] - 1)[:, :, None], columns.clamp(0, side[1] - 1)[:, None, :]]
    return placed[:, None] * _inside(rows, columns, side)


def _of_size(delta: Tensor, eps: Tensor) -> Tensor:
    """delta scaled to the l2 size eps [B]; zero stays zero."""
    return delta * per_sample(eps / delta.flatten(1).norm(dim=1).clamp_min(_TINY), delta)


@hookimpl
def robusteval_attacks() -> list[type[Square]]:
    return [Square]
