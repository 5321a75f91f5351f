"""The most salient pair of pixels, found exactly without looking at all pairs."""

from __future__ import annotations

import torch
from torch import Tensor

_CELLS = 4_000_000  # pairs looked at in one piece


def best_pairs(gain: Tensor, drop: Tensor, count: int) -> Tensor:
    """Mask [B, P] of the most salient pair and, for count > 1, of the 2 * count - 2 pixels that would raise its
    saliency most, by the slope of the product of both sums; of fewer where fewer would raise it."""
    picked = best_pair(gain, drop)
    more = min(2 * count - 2, gain.shape[1])
    if more == 0:
        return picked
    worth = gain * (drop * picked).sum(1, keepdim=True) + drop * (gain * picked).sum(1, keepdim=True)
    worth, order = worth.masked_fill(picked, 0.0).topk(more, dim=1)
    return picked.scatter(1, order, picked.gather(1, order) | (worth > 0))


def best_pair(gain: Tensor, drop: Tensor) -> Tensor:
    """Mask [B, P] of the one or two pixels with the largest (sum of gain) * (sum of fall) among those where both sums
    are above 0; empty where there are none. gain, fall: [B, P].

    A pixel that two others beat in both gain and fall is never needed: one of the two can take its place. The rest,
    a few dozen of a thousand pixels as a rule, is compared pair by pair. A pixel may be picked alone: zero is its mate.
    """
    front, which, order = _undominated(_with_none(gain), _with_none(drop))
    batch, count = front.shape[0], front.shape[2]
    best, pick = gain.new_zeros(batch), torch.zeros((batch, 2), dtype=torch.int64, device=gain.device)
    height = max(1, _CELLS // max(1, batch * count))
    for start in range(0, count, height):
        top = front[:, :, start : start + height]
        sums = top[..., None] + front[:, :, None]  # [B, 2, height, many]
        value = torch.where((sums > 0).all(1), sums[:, 0] * sums[:, 1], 0.0)
        same = torch.arange(start, start + top.shape[2], device=gain.device)
        value[:, same - start, same] = 0.0
        highest, cell = value.flatten(1).max(1)
        better = highest > best
        pair = torch.stack([start + cell // count, cell % count], dim=1)
        best, pick = torch.where(better, highest, best), torch.where(better[:, None], pair, pick)
    chosen = order.gather(1, which.gather(1, pick))
    mask = torch.zeros_like(gain, dtype=torch.bool)
    mask = torch.cat([mask, mask[:, :1]], dim=1).scatter_(1, chosen, True)[:, :-1]
    return mask & (best > 0)[:, None]


def _with_none(values: Tensor) -> Tensor:
    """One more column of zeros, for "no pixel"."""
    return torch.cat([values, torch.zeros_like(values[:, :1])], dim=1)


def _undominated(gain: Tensor, drop: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels that fewer than two others beat in both: their values [B, 2, M], places in the order [B, M], and the
    order [B, P] of falling gain; rows with fewer than M end in -inf."""
    gain, order = gain.sort(dim=1, descending=True, stable=True)
    drop = drop.gather(1, order)
    never = torch.full_like(drop[:, :1], -torch.inf)
    record = torch.cat([never, drop.cummax(dim=1).values[:, :-1]], dim=1)
    # the second largest so far: of each value and the record before it the smaller one can become it
    second = torch.minimum(drop, record).cummax(dim=1).values
    inside = drop > torch.cat([never, second[:, :-1]], dim=1)
    place = inside.cumsum(1) - 1
    most = int(inside.sum(1).max()) if len(gain) else 0
    which = torch.zeros((len(gain), most), dtype=torch.int64, device=gain.device)
    values = gain.new_full((len(gain), 2, most), -torch.inf)
    row, column = inside.nonzero(as_tuple=True)
    which[row, place[row, column]] = column
    values[row, 0, place[row, column]], values[row, 1, place[row, column]] = gain[row, column], drop[row, column]
    return values, which, order
