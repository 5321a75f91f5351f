"""One certificate proved again: intervals, and one backward substitution for every value that they leave open.

The mathematics is that of the certifiers (Zhang et al. 2018; Xu et al. 2021; docs/certificates.md), written a second
time, so that a fault in one of the two is not the other's. Every value may be off by what the standard model of
rounding allows for float32 (`_error`), the roundings in here among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError
from robusteval.verify.proofs.balls import ROUND, least_on_ball
from robusteval.verify.proofs.graph import (
    ELEMENTWISE,
    MOST,
    Array,
    Graph,
    Node,
    NotRepeatedError,
    affine,
    convolved_back,
    matrix,
)
from robusteval.verify.proofs.lines import Lines, ends, error_of, is_open, level, lines
from robusteval.verify.proofs.lowered import Lowered, lowered
from robusteval.verify.proofs.slopes import NONE, Kept, Slopes, Turned

_UNIT, _SPARE, _OWN, _TINY, _EXACT = 2.0**-24, 8, 1.0 + 2.0**-8, 2.0**-140, 2.0**-32
_ROWS = 256  # values that are bounded at once
_FEW = 128  # of what maxima were made into: where more are open, intervals stand


@dataclass
class Bounds:
    """Of one image: low, high, error of each node, [n]; a number of each is a value that is computed, or a true one."""

    graph: Lowered
    x: Array
    eps: float
    norm: str
    box: tuple[float, float]
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    error: list[Array] = field(default_factory=list)
    matrices: dict[int, Array] = field(default_factory=dict)
    slopes: Slopes = field(default_factory=dict)

    def shapes(self, place: int) -> list[tuple[int, ...]]:
        """The shapes of a node's inputs."""
        return [self.graph.nodes[source].shape for source in self.graph.nodes[place].inputs]


def margin(
    graph: Graph, x: Array, label: int, norm: str, eps: float, box: tuple[float, float], slopes: Slopes = NONE
) -> float:
    """A lower bound of the label's lead over every other class, for all images within eps of x [n] in the box. slopes:
    of the lower lines of ReLUs that are tried beside CROWN's own; whatever they are, the bound is one.

    Raises NotRepeatedError for graphs with nodes that are not proved again here, RecordError for what is no graph.
    """
    for node in graph.nodes:
        if node.op not in ("input", "activation", "linear", "conv", "conv_transpose", "sum", "max", *ELEMENTWISE):
            raise NotRepeatedError(f"The operator {node.op!s:.20} is not proved again here.", "")
    try:
        return _margin(Bounds(lowered(graph), x, eps, norm, box, slopes=slopes), label)
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - shapes and places of a hostile graph need not fit each other
        raise RecordError(f"The stored graph contradicts itself ({type(error).__name__}).", "Run it again.") from None


def enclosure(graph: Graph, x: Array) -> tuple[Array, Array]:
    """Between which numbers the scores of one image x [n] lie, whatever float32 does on the way: (low, high) [K].

    Raises as `margin` does.
    """
    try:
        bounds = Bounds(lowered(graph), x, 0.0, "linf", (-np.inf, np.inf))
        _first(bounds)
        for place in range(1, len(bounds.graph.nodes)):
            _step(bounds, place)
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - as above
        raise RecordError(f"The stored graph contradicts itself ({type(error).__name__}).", "Run it again.") from None
    return bounds.low[-1], bounds.high[-1]


def _margin(bounds: Bounds, label: int) -> float:
    graph = bounds.graph
    _first(bounds)
    for place, node in enumerate(graph.nodes[1:], 1):
        if node.op == "activation":
            _sharpen(bounds, place)
            for later in range(node.inputs[0] + 1, place):  # what lies between, from the sharper bounds
                _step(bounds, later)
        _step(bounds, place)
    last = len(graph.nodes) - 1
    count = graph.nodes[last].numel
    rows = -np.eye(count)
    rows[:, label] += 1.0
    # lines may lose where intervals, which are tight by now, do not: both are sound
    found = np.maximum(_least(bounds, last, rows), _by_intervals(bounds, last, rows))
    if len((kept := _kept(bounds, last)).rows):
        classes = kept.rows % count
        found[classes] = np.maximum(found[classes], _least(bounds, last, rows[classes], kept.low))
    return float(np.delete(found, label).min())


def _first(bounds: Bounds) -> None:
    low, high = bounds.box
    down = np.minimum((bounds.x - low) * (1 + ROUND), bounds.eps * (1 + 4 * ROUND) + 4 * ROUND * np.abs(bounds.x))
    up = np.minimum((high - bounds.x) * (1 + ROUND), bounds.eps * (1 + 4 * ROUND) + 4 * ROUND * np.abs(bounds.x))
    bounds.low.append(bounds.x - np.maximum(down, 0) * (1 + ROUND))
    bounds.high.append(bounds.x + np.maximum(up, 0) * (1 + ROUND))
    bounds.error.append(np.zeros_like(bounds.x))


def _step(bounds: Bounds, place: int) -> None:
    """Bounds of a node from those of its inputs; where there are some, the tighter ones are kept."""
    node = bounds.graph.nodes[place]
    lows, highs = [bounds.low[s] for s in node.inputs], [bounds.high[s] for s in node.inputs]
    sizes = [np.maximum(np.abs(low), np.abs(high)) for low, high in zip(lows, highs, strict=True)]
    if node.op == "activation":
        error = error_of(node, lows[0], highs[0])
        low, high = ends(node, lows[0], highs[0])
        low, high = low - error, high + error
    else:
        error = _error(bounds, place, sizes)
        middles = [(low + high)[None] / 2 for low, high in zip(lows, highs, strict=True)]
        pairs = zip(lows, highs, middles, strict=True)
        halves = [np.maximum(high - middle[0], middle[0] - low)[None] for low, high, middle in pairs]
        middle = affine(node, middles, bounds.shapes(place))[0]
        reach = affine(node, halves, bounds.shapes(place), absolute=True, bias=False)[0] + error
        low, high = middle - reach, middle + reach
        if place in bounds.graph.largest:  # max(a, b): its own interval is tighter than that of its parts
            a, b = bounds.graph.largest[place]
            low = np.maximum(low, np.maximum(bounds.low[a], bounds.low[b]))
            high = np.minimum(high, np.maximum(bounds.high[a], bounds.high[b]))
    if place < len(bounds.low):
        bounds.low[place] = np.maximum(bounds.low[place], low)
        bounds.high[place] = np.minimum(bounds.high[place], high)
        bounds.error[place] = error
    else:
        bounds.low.append(low)
        bounds.high.append(high)
        bounds.error.append(error)


def _error(bounds: Bounds, place: int, sizes: list[Array]) -> Array:
    """How far the computed value may be off; sizes: of the inputs."""
    node = bounds.graph.nodes[place]
    count = _terms(node) + _SPARE
    selects = node.op in ("gather", "concat") or place in bounds.graph.exact
    relative = _EXACT if selects else count * _UNIT / (1 - count * _UNIT)
    whole = affine(node, [size[None] for size in sizes], bounds.shapes(place), absolute=True)[0]
    return np.asarray(whole * (relative * _OWN) + count * _TINY)


def _terms(node: Node) -> int:
    if node.op == "linear":
        return int(node.tensors["weight"].shape[1]) + 1
    if node.op == "conv":
        return int(np.prod(node.tensors["weight"].shape[1:])) + 1
    if node.op == "conv_transpose":
        weight = node.tensors["weight"]
        return int(weight.shape[0] // int(node.settings["groups"]) * np.prod(weight.shape[2:])) + 1
    if node.op == "sum":
        return int(node.tensors["members"].shape[1])
    return max(2, len(node.inputs))


def _sharpen(bounds: Bounds, place: int) -> None:
    """Bounds before an activation by substitution, of the values that are open."""
    node, source = bounds.graph.nodes[place], bounds.graph.nodes[place].inputs[0]
    behind = bounds.graph.nodes[bounds.graph.before(source)].op == "activation"
    wanted = np.flatnonzero(is_open(node, bounds.low[source], bounds.high[source], behind)).astype(np.int64)
    if place in bounds.graph.exact and len(wanted) > _FEW:
        return
    for start in range(0, len(wanted), _ROWS):
        some = wanted[start : start + _ROWS]
        rows = _units(bounds, source, some)
        below, above = _least(bounds, source, rows), -_least(bounds, source, -rows)
        bounds.low[source][some] = np.maximum(bounds.low[source][some], below)
        bounds.high[source][some] = np.minimum(bounds.high[source][some], above)
    kept = _kept(bounds, source)
    for start in range(0, len(kept.rows), _ROWS):
        part = kept.part(slice(start, start + _ROWS))
        some, turned = part.rows // 2, part.rows % 2 == 1
        rows = _units(bounds, source, some) * np.where(turned, -1.0, 1.0)[:, None]
        found = _least(bounds, source, rows, part.low)
        np.maximum.at(bounds.low[source], some[~turned], found[~turned])
        np.minimum.at(bounds.high[source], some[turned], -found[turned])


def _kept(bounds: Bounds, place: int) -> Kept:
    """The slopes for bounds of a node. Raises RecordError where there are more than functions to bound."""
    kept = bounds.slopes.get(place, Kept(np.zeros(0, np.int64), {}))
    if len(kept.rows) > 2 * bounds.graph.nodes[place].numel:
        raise RecordError("The stored slopes are of more values than there are.", "Run the evaluation again.")
    return kept


def _units(bounds: Bounds, place: int, some: NDArray[np.int64]) -> Array:
    """Rows that select these values of a node."""
    rows = np.zeros((len(some), bounds.graph.nodes[place].numel))
    rows[np.arange(len(some)), some] = 1.0
    return rows


def _least(bounds: Bounds, start: int, rows: Array, slopes: Mapping[int, Turned] | None = None) -> Array:
    """A lower bound of rows . value of a node, [S, n] -> [S]. slopes: of undecided ReLUs, by place, for each row."""
    at = {start: rows}
    total = np.zeros(len(rows))
    for place in range(start, 0, -1):
        a = at.pop(place, None)
        if a is None:
            continue
        node = bounds.graph.nodes[place]
        total -= np.abs(a) @ bounds.error[place]
        if node.op == "activation":
            source = node.inputs[0]
            line = _line(bounds, place)
            up, down = np.maximum(a, 0), np.minimum(a, 0)
            below = line.below[None]
            if slopes is not None and place in slopes:
                below = slopes[place].instead_of(line)
            total += up @ line.under + down @ line.over
            _put(at, source, up * below + down * line.above)
            continue
        zeros = [np.zeros((1, bounds.graph.nodes[s].numel)) for s in node.inputs]
        total += a @ affine(node, zeros, bounds.shapes(place))[0]
        for source, part in zip(node.inputs, _back(bounds, place, a), strict=True):
            _put(at, source, part)
    if 0 in at:
        total += least_on_ball(at[0], bounds.x, bounds.low[0], bounds.high[0], bounds.norm, bounds.eps)
    return total


def _line(bounds: Bounds, place: int) -> Lines:
    """The lines of an activation; level ones of a rounding of single pixels, which on a box lose nothing."""
    node, (source,) = bounds.graph.nodes[place], bounds.graph.nodes[place].inputs
    if node.rounds and bounds.norm == "linf" and bounds.graph.before(source, "activation") == 0:
        return level(*ends(node, bounds.low[source], bounds.high[source]))
    return lines(node, bounds.low[source], bounds.high[source])


def _by_intervals(bounds: Bounds, place: int, a: Array) -> Array:
    """A lower bound of a . value of a node, [S, n] -> [S]: back through affine nodes of one input, then intervals."""
    total = np.zeros(len(a))
    while (node := bounds.graph.nodes[place]).op != "activation" and len(node.inputs) == 1:
        zeros = [np.zeros((1, bounds.graph.nodes[node.inputs[0]].numel))]
        total += a @ affine(node, zeros, bounds.shapes(place))[0] - np.abs(a) @ bounds.error[place]
        (a,), (place,) = _back(bounds, place, a), node.inputs
    low, high = bounds.low[place], bounds.high[place]
    own = np.abs(a) @ np.maximum(np.abs(low), np.abs(high)) * _EXACT
    return np.asarray(total + np.where(a > 0, a * low, a * high).sum(1) - own)


def _put(at: dict[int, Array], place: int, a: Array) -> None:
    at[place] = at[place] + a if place in at else a


def _spread(a: Array, members: NDArray[np.int64], weight: Array, size: int) -> Array:
    """Coefficients [S, size] of what weighted members [n, k] were taken from; -1: none."""
    out = np.zeros((len(a), size))
    for index, share in zip(members.T, weight.T, strict=True):
        kept = index >= 0
        np.add.at(out.T, index[kept], (a[:, kept] * share[kept]).T)  # a view: what is added there is added here
    return out


def _back(bounds: Bounds, place: int, a: Array) -> list[Array]:
    """Coefficients of a node's inputs from those of its value."""
    node = bounds.graph.nodes[place]
    sizes = [bounds.graph.nodes[source].numel for source in node.inputs]
    if node.op == "add":
        return [float(sign) * a for sign in node.settings["signs"]]
    if node.op == "concat":
        return np.split(a, np.cumsum(sizes)[:-1], axis=1)
    if node.op == "scale":
        return [a * node.tensors["scale"].reshape(-1)]
    if node.op == "gather":
        return [_spread(a, node.tensors["index"][:, None], np.ones((node.numel, 1)), sizes[0])]
    if node.op == "sum":
        return [_spread(a, node.tensors["members"], node.tensors["weight"], sizes[0])]
    if node.op == "conv" and node.numel * sizes[0] > MOST:
        return [convolved_back(node, a, bounds.shapes(place)[0])]
    if place not in bounds.matrices:
        bounds.matrices[place] = matrix(node, bounds.shapes(place))
    return [a @ bounds.matrices[place]]
