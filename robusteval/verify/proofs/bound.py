"""One certificate proved again: intervals, and one backward substitution for every value that they leave open.

The mathematics is that of the certifiers (Zhang et al. 2018; docs/certificates.md), written a second time, so that a
fault in one of the two is not the other's. Every value may be off by what the standard model of rounding allows for
float32 (`_error`), the roundings in here among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from robusteval.errors import RecordError
from robusteval.verify.proofs.graph import (
    ELEMENTWISE,
    Array,
    Graph,
    Node,
    NotRepeatedError,
    activation,
    affine,
    matrix,
)

_UNIT, _SPARE, _OWN, _TINY, _EXACT = 2.0**-24, 8, 1.0 + 2.0**-8, 2.0**-140, 2.0**-32
_ROUND = 2.0**-52
_ROWS = 256  # values that are bounded at once


@dataclass
class Bounds:
    """Of one image: low, high, error of each node, [n]; a number of each is a value that is computed, or a true one."""

    graph: Graph
    x: Array
    eps: float
    norm: str
    box: tuple[float, float]
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    error: list[Array] = field(default_factory=list)
    matrices: dict[int, Array] = field(default_factory=dict)

    def shapes(self, place: int) -> list[tuple[int, ...]]:
        """The shapes of a node's inputs."""
        return [self.graph.nodes[source].shape for source in self.graph.nodes[place].inputs]


def margin(graph: Graph, x: Array, label: int, norm: str, eps: float, box: tuple[float, float]) -> float:
    """A lower bound of the label's lead over every other class, for all images within eps of x [n] in the box.

    Raises NotRepeatedError for graphs with nodes that are not proved again here, RecordError for what is no graph.
    """
    for node in graph.nodes:
        if node.op not in ("input", "activation", "linear", "conv", "conv_transpose", "sum", *ELEMENTWISE):
            raise NotRepeatedError(f"The operator {node.op!s:.20} is not proved again here.", "")
    try:
        return _margin(Bounds(graph, x, eps, norm, box), label)
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - shapes and places of a hostile graph need not fit each other
        raise RecordError(f"The stored graph contradicts itself ({type(error).__name__}).", "Run it again.") from None


def _margin(bounds: Bounds, label: int) -> float:
    graph = bounds.graph
    _first(bounds)
    for place, node in enumerate(graph.nodes[1:], 1):
        if node.op == "activation":
            _sharpen(bounds, node.inputs[0])
            for later in range(node.inputs[0] + 1, place):  # what lies between, from the sharper bounds
                _step(bounds, later)
        _step(bounds, place)
    last = len(graph.nodes) - 1
    count = graph.nodes[last].numel
    rows = -np.eye(count)
    rows[:, label] += 1.0
    return float(np.delete(_least(bounds, last, rows), label).min())


def _first(bounds: Bounds) -> None:
    low, high = bounds.box
    down = np.minimum((bounds.x - low) * (1 + _ROUND), bounds.eps * (1 + 4 * _ROUND) + 4 * _ROUND * np.abs(bounds.x))
    up = np.minimum((high - bounds.x) * (1 + _ROUND), bounds.eps * (1 + 4 * _ROUND) + 4 * _ROUND * np.abs(bounds.x))
    bounds.low.append(bounds.x - np.maximum(down, 0) * (1 + _ROUND))
    bounds.high.append(bounds.x + np.maximum(up, 0) * (1 + _ROUND))
    bounds.error.append(np.zeros_like(bounds.x))


def _step(bounds: Bounds, place: int) -> None:
    """Bounds of a node from those of its inputs; where there are some, the tighter ones are kept."""
    node = bounds.graph.nodes[place]
    lows, highs = [bounds.low[s] for s in node.inputs], [bounds.high[s] for s in node.inputs]
    sizes = [np.maximum(np.abs(low), np.abs(high)) for low, high in zip(lows, highs, strict=True)]
    if node.op == "activation":
        error = sizes[0] * _EXACT if node.settings["kind"] == "relu" else sizes[0] * (4 * _UNIT) + _TINY
        low, high = activation(node, lows[0]) - error, activation(node, highs[0]) + error
    else:
        error = _error(bounds, place, sizes)
        middles = [(low + high)[None] / 2 for low, high in zip(lows, highs, strict=True)]
        pairs = zip(lows, highs, middles, strict=True)
        halves = [np.maximum(high - middle[0], middle[0] - low)[None] for low, high, middle in pairs]
        middle = affine(node, middles, bounds.shapes(place))[0]
        reach = affine(node, halves, bounds.shapes(place), absolute=True, bias=False)[0] + error
        low, high = middle - reach, middle + reach
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
    relative = _EXACT if node.op in ("gather", "concat") else count * _UNIT / (1 - count * _UNIT)
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
    """Bounds before an activation by substitution, of the values whose sign is open."""
    wanted = np.flatnonzero((bounds.low[place] < 0) & (bounds.high[place] > 0))
    for start in range(0, len(wanted), _ROWS):
        some = wanted[start : start + _ROWS]
        rows = np.zeros((len(some), bounds.graph.nodes[place].numel))
        rows[np.arange(len(some)), some] = 1.0
        bounds.low[place][some] = np.maximum(bounds.low[place][some], _least(bounds, place, rows))
        bounds.high[place][some] = np.minimum(bounds.high[place][some], -_least(bounds, place, -rows))


def _least(bounds: Bounds, start: int, rows: Array) -> Array:
    """A lower bound of rows . value of a node, [S, n] -> [S]."""
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
            low, high = bounds.low[source], bounds.high[source]
            free = (low < 0) & (high > 0)
            bend = node.tensors["slope"].reshape(-1) if "slope" in node.tensors else np.zeros_like(low)
            chord = np.where(free, (high - bend * low) / np.where(free, high - low, 1.0), 1.0)
            decided = np.where(low >= 0, 1.0, bend)
            below = np.where(free, np.where(high > -low, 1.0, bend), decided)
            above = np.where(free, chord, decided)
            up, down = np.maximum(a, 0), np.minimum(a, 0)
            total += down @ np.where(free, high - chord * high, 0.0)
            _put(at, source, up * below + down * above)
            continue
        zeros = [np.zeros((1, bounds.graph.nodes[s].numel)) for s in node.inputs]
        total += a @ affine(node, zeros, bounds.shapes(place))[0]
        for source, part in zip(node.inputs, _back(bounds, place, a), strict=True):
            _put(at, source, part)
    return total + _on_ball(bounds, at[0]) if 0 in at else total


def _put(at: dict[int, Array], place: int, a: Array) -> None:
    at[place] = at[place] + a if place in at else a


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
        out = np.zeros((len(a), sizes[0]))
        kept = node.tensors["index"] >= 0
        np.add.at(out.T, node.tensors["index"][kept], a[:, kept].T)  # a view: what is added there is added here
        return [out]
    if place not in bounds.matrices:
        bounds.matrices[place] = matrix(node, bounds.shapes(place))
    return [a @ bounds.matrices[place]]


def _on_ball(bounds: Bounds, a: Array) -> Array:
    """The least of a . x on ball and box, exact in Linf and by duality in L2 and L1."""
    down, up = bounds.low[0] - bounds.x, bounds.high[0] - bounds.x
    down, up = down * (1 + 4 * _ROUND), up * (1 + 4 * _ROUND)
    boxed = np.minimum(a * down, a * up).sum(1)
    eps = max(bounds.eps, 1e-12) * (1 + 4 * _ROUND)
    dual: dict[str, Callable[[Array, Array, Array, float], Array]] = {"l2": _l2, "l1": _l1}
    drop = boxed if bounds.norm == "linf" else np.maximum(boxed, dual[bounds.norm](a, down, up, eps))
    sizes = np.maximum(np.abs(bounds.low[0]), np.abs(bounds.high[0])) + np.abs(bounds.x)
    return np.asarray(a @ bounds.x + drop - np.abs(a) @ sizes * (_ROUND * (a.shape[1] + 64)))


def _l2(a: Array, down: Array, up: Array, eps: float) -> Array:
    rate = np.maximum(np.linalg.norm(a, axis=1, keepdims=True) / eps, 1e-300)
    for _ in range(12):
        step = np.clip(-a / rate, down, up)
        rate = np.maximum(rate * np.linalg.norm(step, axis=1, keepdims=True) / eps, 1e-300)
    step = np.clip(-a / rate, down, up)
    spent = rate[:, 0] * eps**2 / 2
    return np.asarray((a * step + rate * step**2 / 2).sum(1) - spent * (1 + 16 * _ROUND))


def _l1(a: Array, down: Array, up: Array, eps: float) -> Array:
    room = np.where(a > 0, -down, np.broadcast_to(up, a.shape))
    order = np.argsort(-np.abs(a), axis=1)
    spent = np.cumsum(np.take_along_axis(room, order, 1), 1)
    last = np.minimum((spent < eps).sum(1, keepdims=True), a.shape[1] - 1)
    rate = np.take_along_axis(np.abs(a), np.take_along_axis(order, last, 1), 1)
    over = np.maximum(np.abs(a) - rate, 0.0)
    return np.asarray(-(room * over).sum(1) - rate[:, 0] * eps * (1 + 16 * _ROUND))
