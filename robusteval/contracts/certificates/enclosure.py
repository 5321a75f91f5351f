"""Between which numbers the scores of given images lie, whatever float32 does on the way: intervals, node by node."""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval.contracts.certificates.evaluate import activation, affine
from robusteval.contracts.certificates.graph import Graph, Node
from robusteval.contracts.certificates.rounding import activation_radius, radius

_DEEP = -20.0  # logarithms of a softmax's values below are not compared
_VAGUE = 0.5  # of the largest answer: how far rounding may leave scores open, for most images
_FALL = 0.5  # of the steepest fall of GELU, SiLU and HardSwish: HardSwish at -3


def enclosure(graph: Graph, x: Tensor) -> tuple[Tensor, Tensor]:
    """(low, high) [B, K] float64 of the scores of images [B, *shape], for all that `rounding` allows for.

    Where a graph rounds to whole numbers, a value that lies nearly on a half may become either neighbour: then the
    scores that float32 gives need not be near those of real numbers, but they lie in here.
    """
    lows, highs = [x.double().flatten(1)], [x.double().flatten(1)]
    for node in graph.nodes[1:]:
        low, high = _ends(graph, node, [lows[s] for s in node.inputs], [highs[s] for s in node.inputs])
        lows.append(low)
        highs.append(high)
    return lows[-1], highs[-1]


def encloses(graph: Graph, x: Tensor, answers: Tensor, close: float) -> bool:
    """Whether the leads of a program's answers [B, K] to images over its first class lie where the graph says that they
    may, and for most images it says where that is. close: what may be missing, relative to the largest answer.

    Beyond a softmax (`Graph.slack`) the answers may be scores, or the logarithms of its values.
    """
    low, high = enclosure(graph, x)
    theirs = answers.double()
    if low.shape != theirs.shape:
        return False
    if graph.slack:
        low, high = low - high.logsumexp(1, keepdim=True), high - low.logsumexp(1, keepdim=True)
        low, high, theirs = (value.clamp_min(_DEEP) for value in (low, high, theirs.log_softmax(1)))
    size = theirs.abs().amax(1, keepdim=True).clamp_min(1.0)
    leads, room = theirs - theirs[:, :1], close * size
    inside = ((low - high[:, :1] <= leads + room) & (leads <= high - low[:, :1] + room)).all()
    return bool(inside and ((high - low) / size).amax(1).median() <= _VAGUE)


def rounded(node: Node, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest whole number that values between low and high may be rounded to, clipped: at a half
    either neighbour."""
    first, last = float(node.settings["low"]), float(node.settings["high"])
    return (low - 0.5).ceil().clamp(first, last), (high + 0.5).floor().clamp(first, last)


def _ends(graph: Graph, node: Node, lows: list[Tensor], highs: list[Tensor]) -> tuple[Tensor, Tensor]:
    if node.op == "max":
        members = node.tensors["members"]
        return lows[0][:, members].amax(-1), highs[0][:, members].amax(-1)
    sizes = [torch.maximum(low.abs(), high.abs()) for low, high in zip(lows, highs, strict=True)]
    if node.op == "activation":
        low, high = rounded(node, lows[0], highs[0]) if node.rounds else _activated(node, lows[0], highs[0])
        error = activation_radius(node, lows[0], highs[0], torch.maximum(low.abs(), high.abs()))
        return low - error, high + error
    shapes = [graph.nodes[source].shape for source in node.inputs]
    middles = [(low + high) / 2 for low, high in zip(lows, highs, strict=True)]
    halves = [torch.maximum(high - m, m - low) for low, high, m in zip(lows, highs, middles, strict=True)]
    middle = affine(node, middles, shapes)
    reach = affine(node, halves, shapes, absolute=True, bias=False) + radius(node, sizes, shapes)
    return middle - reach, middle + reach


def _activated(node: Node, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    at_low, at_high = activation(node, low), activation(node, high)
    falls = node.settings["kind"] in ("gelu", "silu", "hard_swish")
    fall = (high - low) * (_FALL if falls else 0.0)
    return torch.minimum(at_low, at_high) - fall, torch.maximum(at_low, at_high) + fall
