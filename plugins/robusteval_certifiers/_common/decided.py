"""CROWN for a proof alone: layer by layer, until an image is decided, and no further than its work allows.

After each layer the margin is bounded anew, and images that are proved leave. So do those that no tighter bounds would
help: their margin is bounded once more as if the activations that are still to come were what they are at the image
itself. That is no bound; where even it is not positive nothing will be proved, and what was found so far is kept.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from robusteval.api import BoundWork, GraphNode, ModelGraph, Statement, activation_value, affine_value
from robusteval_certifiers._common.intervals import forward, onward
from robusteval_certifiers._common.margins import STEPS, by_intervals, leads, smallest
from robusteval_certifiers._common.network import Network, lowered
from robusteval_certifiers._common.relaxation import Lines
from robusteval_certifiers._common.substitution import FEW, WORK, exact, least, row_work, sharpened, undecided

_STRAIGHT = ("relu", "leaky_relu")
_TOGETHER = 16  # images at once: their windows are gone through together
_NUMBERS = 2**22  # in all values of the images that are at once


def crown_decided(network: Network, statement: Statement) -> tuple[Tensor, Tensor]:
    """(lower bounds of the margin [B], multiplications that each took [B], within the statement's)."""
    margin = torch.full_like(statement.eps.double(), -torch.inf)
    search = _Search(network, statement, margin, torch.full_like(margin, 2 * pass_work(network)))
    search.judge()
    for place, node in enumerate(network.nodes):
        if node.op != "activation" or not len(search.at) or exact(network, search.bounds, node.inputs[0]):
            continue
        wanted = search.wanted(place)
        asked = wanted.any(1)
        if not bool(asked.any()):
            continue
        # an image of which nothing is wanted here goes on as it would by itself
        stay = ~asked | ~search.hopeless(place, asked)
        search.leave(stay)
        search.sharpen(place, wanted[stay])
    return margin, search.spent


def counted(statement: Statement) -> tuple[Tensor, Tensor]:
    """`crown_decided` in parts that fit the memory; of what is no number -inf."""
    network = lowered(statement.graph)
    margin = torch.full_like(statement.eps.double(), -torch.inf)
    spent = torch.zeros_like(margin)
    size = max(1, min(_TOGETHER, _NUMBERS // sum(node.numel for node in network.nodes)))
    with torch.no_grad():
        for part in torch.arange(len(margin), device=margin.device).split(size):
            found, spent[part] = crown_decided(network, statement[part])
            margin[part] = torch.nan_to_num(found, nan=-torch.inf, posinf=torch.inf)
    return margin, spent


def pass_work(network: Network) -> float:
    """Multiplications of intervals forward and of one substitution from the scores, for one image."""
    return network.work(len(network.nodes) - 1) * (network.nodes[-1].numel + 3)


def work_of(graph: ModelGraph) -> BoundWork:
    """What `crown_decided` takes of one image: where the first substitution decides, and where nothing does."""
    network = lowered(graph)
    each, most = pass_work(network), 0.0
    for place, node in enumerate(network.nodes):
        if node.op == "activation":
            elements = min(node.numel, FEW) if place in network.exact else node.numel
            most += min(2 * elements * row_work(network, node.inputs[0]), WORK) + 2 * each
    return BoundWork(2 * each, 2 * each + most)


class _Search:
    """at: which images of the statement are not decided yet; bounds and statement are of these."""

    def __init__(self, network: Network, statement: Statement, margin: Tensor, spent: Tensor) -> None:
        self.network, self.statement, self.margin, self.spent = network, statement, margin, spent
        self.at = torch.arange(len(margin), device=margin.device)
        self.bounds = forward(network, statement)
        self.pass_work = pass_work(network)
        self.values = _values(network, statement.x.double().flatten(1))

    def judge(self) -> None:
        """Bounds the margin, and leaves what is proved."""
        rows, last = leads(self.statement), len(self.network.nodes) - 1
        found = least(self.network, self.bounds, last, rows, steps=STEPS)
        # lines may lose where intervals, which may be tight, do not: both are sound
        found = smallest(self.statement, torch.fmax(found, by_intervals(self.network, self.bounds, rows)))
        self.margin[self.at] = torch.fmax(self.margin[self.at], found)
        self.leave(~(self.margin[self.at] > self.statement.graph.slack))

    def leave(self, stay: Tensor) -> None:
        """Only some images go on, bool [B]."""
        if bool(stay.all()):
            return
        kept = stay.nonzero().squeeze(1)
        self.at, self.bounds, self.statement = self.at[kept], self.bounds.of(kept), self.statement[kept]
        self.values = [value[kept] for value in self.values]

    def wanted(self, place: int) -> Tensor:
        """Before which elements of an activation bounds are to be substituted, bool [B, n]: as many of the undecided
        ones as the work allows beside the two passes of `hopeless` and `judge`, the widest first."""
        source = self.network.nodes[place].inputs[0]
        low, high = self.bounds.low[source], self.bounds.high[source]
        open_, each = undecided(self.network, self.bounds, place), 2 * row_work(self.network, source)
        most = torch.full_like(self.margin[self.at], WORK / each)
        if self.statement.work is not None:
            left = self.statement.work - self.spent[self.at] - 2 * self.pass_work
            most = torch.minimum(most, left / each)
        if place in self.network.exact:  # of what maxima were made into there is much, and intervals lose little there
            open_ = open_ & (open_.sum(1, keepdim=True) <= FEW)
        over = open_.sum(1) > most
        if not bool(over.any()):
            return open_
        width = torch.where(open_, torch.minimum(high, -low).clamp_min(0.0) + 2.0**-60 * (high - low), -1.0)
        rank = width.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        return open_ & (rank < most.floor()[:, None])

    def hopeless(self, place: int, asked: Tensor) -> Tensor:
        """Where no bounds before this activation and later ones would help, bool [B]. asked: of whom, bool [B]."""
        fixed = dict(self.bounds.lines)
        for later, node in enumerate(self.network.nodes):
            if later >= place and node.op == "activation" and node.settings["kind"] in _STRAIGHT:
                fixed[later] = _as_at(fixed[later], self.values[node.inputs[0]])
            elif later >= place and node.rounds:
                fixed[later] = _stairs_at(node, fixed[later], self.values[node.inputs[0]])
        rows, last = leads(self.statement), len(self.network.nodes) - 1
        best = least(self.network, replace(self.bounds, lines=fixed), last, rows, steps=STEPS)
        self.spent[self.at] += asked * self.pass_work
        return ~(smallest(self.statement, best) > self.statement.graph.slack)

    def sharpen(self, place: int, wanted: Tensor) -> None:
        """Bounds before an activation by substitution, what follows from them, and the margin."""
        source = self.network.nodes[place].inputs[0]
        if not bool(wanted.any()):
            return
        sharpened(self.network, self.bounds, source, wanted)
        onward(self.network, self.bounds, source)
        spent = wanted.sum(1) * (2 * row_work(self.network, source)) + wanted.any(1) * self.pass_work
        self.spent[self.at] += spent
        self.judge()


def _values(network: Network, x: Tensor) -> list[Tensor]:
    """The values of all nodes for the images themselves, [B, n] each."""
    found = [x]
    for place, node in enumerate(network.nodes[1:], 1):
        found.append(_value(node, [found[source] for source in node.inputs], network.inputs_of(place)))
    return found


def _value(node: GraphNode, inputs: list[Tensor], shapes: list[tuple[int, ...]]) -> Tensor:
    return activation_value(node, inputs[0]) if node.op == "activation" else affine_value(node, inputs, shapes)


def _stairs_at(node: GraphNode, fitted: Lines, value: Tensor) -> Lines:
    """The lines of a rounding as if nothing reached beyond the last stair on either side from this value."""
    low, high = float(node.settings["low"]), float(node.settings["high"])
    slope = ((value > low - 0.5) & (value < high + 0.5)).double()
    shift = torch.where(slope > 0, 0.0, value.clamp(low, high))
    level = (fitted.low_slope == 0) & (fitted.high_slope == 0) & (fitted.low_shift == fitted.high_shift)
    new = (slope, shift - slope / 2, slope, shift + slope / 2, fitted.free, fitted.least)
    return Lines(*(torch.where(level, kept, found) for kept, found in zip(fitted, new, strict=True)))


def _as_at(fitted: Lines, value: Tensor) -> Lines:
    """The lines of an activation as if each element were on the side of its bend where it is at this value."""
    none = torch.zeros_like(value)
    slope = torch.where(fitted.free, torch.where(value > 0, 1.0, fitted.least), fitted.low_slope)
    return fitted._replace(low_slope=slope, low_shift=none, high_slope=slope, high_shift=none)
