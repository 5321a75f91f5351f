"""Interval bounds of every value of a network, forward (IBP, Gowal et al. 2018), widened by what rounding may do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from robusteval.api import Statement, activation_radius, affine_radius, affine_value
from robusteval_certifiers._common.balls import Ball
from robusteval_certifiers._common.network import Network, errors_of
from robusteval_certifiers._common.relaxation import Lines, interval, level, lines


@dataclass
class Bounds:
    """Of each node by place: low, high [B, n], between which lies whatever is computed or true; error [B, n], how far
    a value may be off what its inputs make it; lines of activations."""

    ball: Ball
    low: list[Tensor]
    high: list[Tensor]
    error: list[Tensor]
    lines: dict[int, Lines]

    def of(self, rows: Tensor) -> Bounds:
        """The bounds of some of the images."""
        low, high, error = ([value[rows] for value in values] for values in (self.low, self.high, self.error))
        lines = {place: Lines(*(value[rows] for value in fitted)) for place, fitted in self.lines.items()}
        return Bounds(self.ball.of(rows), low, high, error, lines)


def forward(network: Network, statement: Statement) -> Bounds:
    """The bounds of all nodes for a batch."""
    ball = Ball(statement)
    bounds = Bounds(ball, [ball.low], [ball.high], [torch.zeros_like(ball.low)], {})
    for place in range(1, len(network.nodes)):
        low, high, error = _node(network, bounds, place)
        bounds.low.append(low)
        bounds.high.append(high)
        bounds.error.append(error)
    return bounds


def onward(network: Network, bounds: Bounds, changed: int) -> None:
    """Bounds of the nodes behind one whose own became tighter; those that were proved otherwise are kept."""
    stale = {changed}
    for place in range(changed + 1, len(network.nodes)):
        if stale.isdisjoint(network.nodes[place].inputs):
            continue
        low, high, error = _node(network, bounds, place)
        bounds.low[place] = torch.maximum(bounds.low[place], low)
        bounds.high[place] = torch.minimum(bounds.high[place], high)
        bounds.error[place] = error
        stale.add(place)


def _node(network: Network, bounds: Bounds, place: int) -> tuple[Tensor, Tensor, Tensor]:
    node = network.nodes[place]
    lows, highs = [bounds.low[source] for source in node.inputs], [bounds.high[source] for source in node.inputs]
    sizes = [torch.maximum(low.abs(), high.abs()) for low, high in zip(lows, highs, strict=True)]
    if node.op == "activation":
        low, high = interval(node, lows[0], highs[0])
        flat = node.rounds and bounds.ball.norm == "linf" and network.single(place)
        bounds.lines[place] = level(low, high) if flat else lines(node, lows[0], highs[0])
        rounded = activation_radius(node, lows[0], highs[0], torch.maximum(low.abs(), high.abs()))
        error = errors_of(network, place, sizes, rounded)
        return low - error, high + error, error
    shapes = network.inputs_of(place)
    middles = [(low + high) / 2 for low, high in zip(lows, highs, strict=True)]
    halves = [torch.maximum(high - m, m - low) for low, high, m in zip(lows, highs, middles, strict=True)]
    error = errors_of(network, place, sizes, affine_radius(node, sizes, shapes))
    middle = affine_value(node, middles, shapes)
    reach = affine_value(node, halves, shapes, absolute=True, bias=False) + error
    low, high = middle - reach, middle + reach
    if place in network.largest:  # max(a, b), taken apart: its own interval is tighter than that of the parts
        a, b = network.largest[place]
        low = torch.maximum(low, torch.maximum(bounds.low[a], bounds.low[b]))
        high = torch.minimum(high, torch.maximum(bounds.high[a], bounds.high[b]))
    return low, high, error
