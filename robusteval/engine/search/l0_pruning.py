"""The search towards the clean sample in l0: changed pixels are put back, as a shorter way would not change fewer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

HALVINGS = 10  # of how many of the least changed pixels go back at once
SINGLES = 16  # of pixels one by one

Wins = Callable[[Tensor, Tensor], Tensor]  # (positions [R] in the batch, candidates [R, *shape]) -> bool [R]


def undo(x0: Float[Tensor, " b *shape"], far: Float[Tensor, " b *shape"], wins: Wins) -> Float[Tensor, " b *shape"]:
    """far [B, *shape] with as many of its changed pixels put back to x0 as the search found to be needless.

    Where many changed, first by bisection the most of the least changed pixels that can go back together; then one by
    one those that change more. A pixel of an image [B, C, H, W] is all of its channels, as in the l0 norm. Every row of
    far has to win, and no row of x0.
    """
    height = _height(far - x0)
    changed = (height > 0).sum(1)
    rank = height.masked_fill(height == 0, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)
    low = torch.zeros_like(changed)  # so many go back: still won
    high = torch.where(changed > SINGLES, changed, 0)  # so many: lost; few are all tried one by one
    for _ in range(HALVINGS):
        rows = (high - low > 1).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        middle = (low[rows] + high[rows]) // 2
        won = wins(rows, _back(x0[rows], far[rows], rank[rows] < middle[:, None]))
        low[rows] = torch.where(won, middle, low[rows])
        high[rows] = torch.where(won, high[rows], middle)
    gone = rank < low[:, None]
    for number in range(SINGLES):
        at = high + number
        rows = (at < changed).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        tried = gone[rows] | (rank[rows] == at[rows, None])
        won = wins(rows, _back(x0[rows], far[rows], tried))
        gone[rows] = torch.where(won[:, None], tried, gone[rows])
    return _back(x0, far, gone)


def _height(delta: Tensor) -> Tensor:
    """The largest change of each pixel, [B, pixels]."""
    change = delta.abs()
    return (change.amax(1) if delta.dim() == 4 else change).flatten(1)


def _back(x0: Tensor, far: Tensor, gone: Tensor) -> Tensor:
    """far with these pixels [B, pixels] as in x0."""
    shape = (len(far), 1, *far.shape[2:]) if far.dim() == 4 else far.shape
    return torch.where(gone.reshape(shape), x0, far)
