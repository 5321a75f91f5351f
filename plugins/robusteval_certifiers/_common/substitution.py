"""Linear bounds by backward substitution (CROWN, Zhang et al. 2018; DeepPoly, Singh et al. 2019).

A linear function of one node's value is rewritten as one of the nodes before it: through an affine node exactly,
through an activation by the line below it where a coefficient is positive and by the line above it where it is
negative. What arrives at the input is linear in the pixels, whose least value on the ball is known. At each node the
sum of |coefficient| * error is taken off: then the bound holds for all values that rounding may make there
(robusteval.contracts.certificates.rounding), the roundings of this substitution itself among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from robusteval_certifiers._common.intervals import Bounds, onward
from robusteval_certifiers._common.network import Network, transposed

FEW = 128  # elements of a node: so many are worth an optimisation of their bounds
WORK = 2e10  # multiplications for the bounds before one activation of one image: where it takes more, intervals stand
Sharper = Callable[[int, Tensor], Tensor]  # (place, coefficients [B, S, n]) -> lower bounds [B, S]
_BYTES = 2**22  # of coefficients at one node at a time: what the caches hold, 3 times as fast as 2**28


def least(
    network: Network,
    bounds: Bounds,
    start: int,
    coefficients: Tensor,
    slopes: Mapping[int, Tensor] | None = None,
    steps: int = 2,
) -> Tensor:
    """A lower bound of coefficients . value of the node `start`: [B, S, n] -> [B, S].

    slopes: of undecided ReLUs by place, [B, S or 1, n] between `Lines.least` and 1, instead of the lines' own.
    steps: see `Ball.least`.
    """
    at = {start: coefficients}
    total = coefficients.new_zeros(coefficients.shape[:2])
    for place in range(start, 0, -1):
        a = at.pop(place, None)
        if a is None:
            continue
        node = network.nodes[place]
        total = total - _dot(a.abs(), bounds.error[place])
        if node.op == "activation":
            fitted = bounds.lines[place]
            up, down = a.clamp_min(0.0), a.clamp_max(0.0)
            low_slope = fitted.low_slope[:, None]
            if slopes is not None and place in slopes:
                low_slope = torch.where(fitted.free[:, None], slopes[place], low_slope)
            total = total + _dot(up, fitted.low_shift) + _dot(down, fitted.high_shift)
            _put(at, node.inputs[0], up * low_slope + down * fitted.high_slope[:, None])
            continue
        total = total + a @ network.constants[place]
        for source, part in zip(node.inputs, transposed(network, place, a), strict=True):
            _put(at, source, part)
    return total + bounds.ball.least(at[0], steps) if 0 in at else total


def refined(network: Network, bounds: Bounds, sharper: Sharper | None = None) -> None:
    """Bounds before each activation by substitution, from the first to the last, wherever intervals leave a choice.

    sharper: asked beside `least` for images with no more than FEW elements that are to be bounded.
    """
    for place, node in enumerate(network.nodes):
        if node.op != "activation":
            continue
        source = node.inputs[0]
        low, high = bounds.low[source], bounds.high[source]
        kind = node.settings["kind"]
        open_ = bounds.lines[place].free if kind in ("relu", "leaky_relu") else high - low > 1e-9
        # of what maxima were made into there is much, and intervals lose little there
        most = FEW if place in network.exact else WORK / (2 * network.work(source))
        open_ = open_ & (open_.sum(1, keepdim=True) <= most)
        if not bool(open_.any()) or _exact(network, bounds, source):
            continue
        below, above = _bounded(network, bounds, source, open_, sharper)
        bounds.low[source], bounds.high[source] = torch.maximum(low, below), torch.minimum(high, above)
        onward(network, bounds, source)


def _exact(network: Network, bounds: Bounds, place: int) -> bool:
    """Whether intervals are as tight as substitution there: in Linf, up to the first node that mixes values."""
    mixed = 0
    while place:
        node = network.nodes[place]
        if node.op == "activation" or len(node.inputs) != 1:
            return False
        mixed += node.op not in ("scale", "gather")
        place = node.inputs[0]
    return bounds.ball.norm == "linf" and mixed <= 1


def _bounded(
    network: Network, bounds: Bounds, place: int, wanted: Tensor, sharper: Sharper | None
) -> tuple[Tensor, Tensor]:
    """Bounds of the wanted elements of a node, the others -inf and inf. wanted: bool [B, n]."""
    batch, size = wanted.shape
    below, above = (torch.full_like(bounds.low[place], value) for value in (-torch.inf, torch.inf))
    counts = wanted.sum(1, keepdim=True)
    most, few = int(counts.max()), counts <= FEW
    # each image's own elements, the shorter lists filled up with others, of which nothing is kept: an image's bounds do
    # not depend on the images beside it
    chosen = wanted.to(torch.uint8).argsort(dim=1, descending=True, stable=True)[:, :most]
    step = max(1, int(_BYTES / (8 * 2 * batch * network.widest)))
    for start in range(0, most, step):
        index = chosen[:, start : start + step]
        one_hot = torch.zeros(batch, index.shape[1], size, dtype=torch.float64, device=wanted.device)
        one_hot.scatter_(2, index[..., None], 1.0)
        rows = torch.cat([one_hot, -one_hot], 1)
        found = least(network, bounds, place, rows)
        if sharper is not None and start < FEW and bool(few.any()):
            found = torch.where(few, torch.fmax(found, sharper(place, rows)), found)
        found = torch.where(wanted.gather(1, index).repeat(1, 2), found, -torch.inf)
        down, up = found.split(index.shape[1], 1)
        below.scatter_(1, index, torch.nan_to_num(down, nan=-torch.inf))
        above.scatter_(1, index, torch.nan_to_num(-up, nan=torch.inf))
    return below, above


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """[B, S, n] . [B, n] -> [B, S]."""
    return (a @ b[..., None]).squeeze(-1)


def _put(at: dict[int, Tensor], place: int, a: Tensor) -> None:
    at[place] = at[place] + a if place in at else a
