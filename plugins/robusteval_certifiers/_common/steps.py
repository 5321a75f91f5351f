"""Activations and pools as one step of a substitution: what a coefficient becomes, and what it costs.

A coefficient a of an activation's value becomes a times the slope of the line below where a > 0, and of the line above
where a < 0, on what the activation reads. A pool is ReLUs of differences, whose slopes lie in [0, 1]: there a
coefficient splits into shares of its own sign, one for each value that the pool looks at, so that the whole pool is one
step too, and with it a ReLU before it where no value is looked at twice. The shares are those that the single nodes
would give, and so are the errors that are taken off for each of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robusteval_certifiers._common.boxes import View
from robusteval_certifiers._common.intervals import Bounds
from robusteval_certifiers._common.network import Network, Pool

_STRAIGHT = ("relu", "leaky_relu")  # whose slopes lie in [0, 1]


@dataclass(frozen=True)
class Share:
    """What goes to some values of the target: a * base + max(a, 0) * gain, [B, n] each. member: the gather that says
    which; None: all of them, in order."""

    base: Tensor
    gain: Tensor
    member: int | None = None


@dataclass(frozen=True)
class Step:
    """From the value at `place` to that at `target`. down, more: what is added for a, and for max(a, 0), [B, n].
    paid: the target's own constants and errors are among it."""

    place: int
    target: int
    shares: tuple[Share, ...]
    down: Tensor
    more: Tensor
    paid: bool
    apart: bool = False  # no value of the target is in two shares

    def taken(self, view: View, a: Tensor) -> tuple[Tensor, Tensor]:
        """(what is added to the bounds [B, S], the coefficients of the target's part) for a, [B, S, n]."""
        up = a.clamp_min(0.0)
        added = dot(a, view.cut(self.place, self.down)) + dot(up, view.cut(self.place, self.more))
        if self.shares[0].member is not None:
            return added, self._laid(view, a, up)
        part, box = self._part(view, self.shares[0], a, up), view.boxes.get(self.place)
        return added, part if box is None else view.fitted(self.target, part, box)

    def _part(self, view: View, share: Share, a: Tensor, up: Tensor) -> Tensor:
        base, gain = view.cut(self.place, share.base), view.cut(self.place, share.gain)
        return torch.addcmul(a * base[:, None], up, gain[:, None])

    def _laid(self, view: View, a: Tensor, up: Tensor) -> Tensor:
        """The shares of a pool where they belong."""
        shape, own = view.shape(self.target), view.shape(self.place)
        gridded = len(shape) == 3 and all(share.member in view.network.grids for share in self.shares)
        if gridded and self.apart and not a.requires_grad and len(self.shares) * math.prod(own) == math.prod(shape):
            return self._tiled(view, a.unflatten(-1, own), up.unflatten(-1, own))
        out = a.new_zeros(*a.shape[:2], *shape)
        for share in self.shares:
            part, member = self._part(view, share, a, up), share.member or 0
            if member in view.network.grids and len(shape) == 3:
                out[(..., *view.slices(member, self.target, self.place))] += part.unflatten(-1, own)
            else:
                index = view.cut(self.place, view.network.nodes[member].tensors["index"])
                out.view(*out.shape[:2], -1).index_add_(-1, index, part)
        return out.flatten(2)

    def _tiled(self, view: View, a: Tensor, up: Tensor) -> Tensor:
        """The shares of a pool whose windows tile its source, each written where it belongs and nowhere twice."""
        out = a.new_empty(*a.shape[:2], *view.shape(self.target))
        for share in self.shares:
            base, gain = (view.cut(self.place, value).unflatten(-1, a.shape[2:]) for value in (share.base, share.gain))
            target = out[(..., *view.slices(share.member or 0, self.target, self.place))]
            torch.mul(a, base[:, None], out=target)
            target.addcmul_(up, gain[:, None])
        return out.flatten(2)


def steps_of(network: Network, bounds: Bounds, start: int) -> dict[int, Step]:
    """The steps from the nodes up to `start`, by place; of activations within pools too."""
    found = {place: _activated(network, bounds, place) for place in bounds.lines if place <= start}
    for end, pool in network.pools.items():
        if end <= start and len(pool.members) > 1:
            found[end] = _pooled(network, bounds, pool)
    return found


def dot(a: Tensor, b: Tensor) -> Tensor:
    """[B, S, n] . [B, n] -> [B, S]."""
    return (a @ b[..., None]).squeeze(-1)


def _activated(network: Network, bounds: Bounds, place: int) -> Step:
    fitted, error, source = bounds.lines[place], bounds.error[place], network.nodes[place].inputs[0]
    low, high = fitted.low_slope, fitted.high_slope
    up, down = fitted.low_shift - error, fitted.high_shift + error
    paid = _alone(network, source) and network.nodes[place].settings["kind"] in _STRAIGHT
    if paid:  # as the slopes are not negative, the target's coefficients have the sign of these
        up = up + low * (network.constants[source] - bounds.error[source])
        down = down + high * (network.constants[source] + bounds.error[source])
    return Step(place, source, (Share(high, low - high),), down, up - down, paid)


def _alone(network: Network, place: int) -> bool:
    """Whether a node is affine and read by one node."""
    return place in network.constants and network.users[place] == 1


def _pooled(network: Network, bounds: Bounds, pool: Pool) -> Step:
    """By a coefficient of 1 and one of -1 that go through the nodes that the pool was taken apart into."""
    ones = torch.ones_like(bounds.low[pool.end])
    up, down = torch.zeros_like(ones), torch.zeros_like(ones)
    at: dict[int, tuple[Tensor, Tensor]] = {pool.end: (ones, ones)}

    def put(place: int, p: Tensor, q: Tensor) -> None:
        at[place] = (at[place][0] + p, at[place][1] + q) if place in at else (p, q)

    for place in range(pool.end, min(pool.members) - 1, -1):
        p, q = at[place]
        up, down = up - p * bounds.error[place], down + q * bounds.error[place]
        node = network.nodes[place]
        if node.op == "activation":
            fitted = bounds.lines[place]
            up, down = up + p * fitted.low_shift, down + q * fitted.high_shift
            put(node.inputs[0], p * fitted.low_slope, q * fitted.high_slope)
        elif node.op == "add":
            for source, sign in zip(node.inputs, node.settings["signs"], strict=True):
                put(source, sign * p, sign * q)
    shares = [(member, *at[member]) for member in pool.members]
    before, target, paid = pool.source, pool.source, False
    if pool.apart and _straight(network, before, len(pool.members)):
        target = network.nodes[before].inputs[0]
        step = _activated(network, bounds, before)
        (line,) = step.shares
        paid, slopes, costs = step.paid, shares, []
        shares = []
        for member, p, q in slopes:
            index = network.nodes[member].tensors["index"]
            below, above = (step.down + step.more)[:, index], step.down[:, index]
            costs.append((p * below, q * above))
            shares.append((member, p * (line.base + line.gain)[:, index], q * line.base[:, index]))
        up, down = up + sum(cost for cost, _ in costs), down + sum(cost for _, cost in costs)
    parts = tuple(Share(q, p - q, member) for member, p, q in shares)
    return Step(pool.end, target, parts, down, up - down, paid, pool.apart)


def _straight(network: Network, place: int, readers: int) -> bool:
    """Whether a node is an activation with slopes in [0, 1] that only a pool reads."""
    node = network.nodes[place]
    return node.op == "activation" and node.settings["kind"] in _STRAIGHT and network.users[place] == readers
