"""The graph of a classifier: a small form, with weights in float64, that is all a certifier needs to know of a model.

A graph is a list of nodes, each computed from nodes before it. The first one is the input, canonical pixels; the last
one gives the scores [K], of which the largest is the answer. Everything is for one image: no value has a batch axis.
Values are real numbers, and every node but `max` and `activation` is affine in its inputs:

| op | inputs | tensors | settings | value |
|---|---|---|---|---|
| input | 0 | | | x |
| linear | 1, [..., I] | weight [O, I], bias [O] | | x weight^T + bias, [..., O] |
| conv | 1, [C, H, W] | weight [O, C / groups, h, w], bias [O] | stride, padding, dilation (pairs), groups | torch's |
| conv_transpose | 1, [C, H, W] | weight [C, O / groups, h, w], bias [O] | as conv, and output_padding | torch's |
| scale | 1 | scale, shift, size, each of the value's shape | | x scale + shift |
| gather | 1 | index int64 [n], fill [n] | | x[index], or fill where index is -1 |
| sum | 1 | members int64 [n, k], weight [n, k] | | sum of weight * x[members]; -1: none |
| add | 2 or more, of one shape | | signs, 1 or -1 each | sum of sign * x |
| concat | 1 or more | | | all values behind each other, flat |
| max | 1 | members int64 [n, k] | | largest of x[members] |
| activation | 1 | slope of the value's shape, for leaky_relu only | kind, low, high, rate | its kind of each element |

Indices count in the flat input, in C order. `size` is at least |shift|: the sum of the sizes of what it was made of,
which rounding depends on. Kinds of activations: relu; leaky_relu (slope times x below 0, slopes in [0, 1]); clip (to
[low, high]); sigmoid; tanh; erf; hard_swish (x clip(x / 6 + 1/2, 0, 1)); gelu (x (1 + erf(x / sqrt 2)) / 2); silu
(x sigmoid(rate x)); round (to the nearest whole number, clipped to [low, high], which are whole or infinite). Halfway
between two whole numbers `round` may be either: what is proved has to hold for both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from robusteval.errors import AccessError

OPS = (
    "input",
    "linear",
    "conv",
    "conv_transpose",
    "scale",
    "gather",
    "sum",
    "add",
    "concat",
    "max",
    "activation",
)  # fmt: skip
KINDS = ("relu", "leaky_relu", "clip", "sigmoid", "tanh", "erf", "hard_swish", "gelu", "silu", "round")
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "linear": ("weight", "bias"),
    "conv": ("weight", "bias"),
    "conv_transpose": ("weight", "bias"),
    "scale": ("scale", "shift", "size"),
    "gather": ("index", "fill"),
    "sum": ("members", "weight"),
    "max": ("members",),
}


class NotCoveredError(AccessError):
    """A model, or a node of it, of which no graph can be made; the message names it, as in "node NAME (OP)"."""


@dataclass(frozen=True)
class Node:
    """One value of a graph. op: one of OPS; inputs: places of earlier nodes; shape: of its value, of one image."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""  # of the file's node that it comes from, for messages
    source: str = ""  # that node's operator

    @property
    def numel(self) -> int:
        """How many numbers its value has."""
        return math.prod(self.shape)

    @property
    def rounds(self) -> bool:
        """Whether its value jumps: then computed values may lie a whole step from the exact ones."""
        return self.op == "activation" and self.settings.get("kind") == "round"

    def to(self, device: torch.device) -> Node:
        """The node with its tensors there."""
        moved = {key: value.to(device) for key, value in self.tensors.items()}
        return Node(self.op, self.inputs, self.shape, moved, self.settings, self.name, self.source)


@dataclass(frozen=True)
class Graph:
    """A classifier as nodes. The answer is certain where the largest score leads by more than `slack`: what was cut
    behind the scores (a softmax, whose order is theirs) may blur smaller leads when it is computed in float32."""

    nodes: tuple[Node, ...]
    slack: float = 0.0

    def __post_init__(self) -> None:
        """Raises NotCoveredError for a graph that is not one."""
        for place, node in enumerate(self.nodes):
            fault = _fault(self.nodes, place)
            if fault:
                raise NotCoveredError(f"node {node.name or place} ({node.source or node.op}) {fault}")
        if not self.nodes or not math.isfinite(self.slack) or self.slack < 0:
            raise NotCoveredError("the graph has no nodes, or a slack that is no size")

    @property
    def classes(self) -> int:
        """Number of scores."""
        return self.nodes[-1].numel

    def to(self, device: torch.device) -> Graph:
        """The graph with its tensors there."""
        return Graph(tuple(node.to(device) for node in self.nodes), self.slack)


@runtime_checkable
class Graphed(Protocol):
    """A classifier that shows its graph."""

    def graph(self) -> Graph:
        """What `logits` computes, but for what comes after the scores. Raises NotCoveredError, naming the node."""
        ...


def graph_of(model: object) -> Graph:
    """The graph of a classifier, whatever the engine has put around it. Raises NotCoveredError where it shows none."""
    inner = model
    while not isinstance(inner, Graphed):
        if not hasattr(inner, "inner"):
            raise NotCoveredError("a model that shows no graph (ONNX files and PyTorch modules do)")
        inner = inner.inner
    return inner.graph()


def _fault(nodes: tuple[Node, ...], place: int) -> str:
    """What is wrong with a node; empty where nothing is."""
    node = nodes[place]
    rules = {
        "is of an unknown operator": node.op in OPS and (place == 0) == (node.op == "input"),
        "reads what comes after it": all(0 <= source < place for source in node.inputs),
        "has the wrong number of inputs": len(node.inputs) > 0 if place else not node.inputs,
        "lacks weights": all(key in node.tensors for key in _NEEDS.get(node.op, ())),
        "is of an unknown kind": node.op != "activation" or node.settings.get("kind") in KINDS,
        "rounds to what is not whole": not node.rounds or _whole(node.settings),
        "has weights that are not finite": all(
            bool(torch.isfinite(value).all()) for value in node.tensors.values() if value.is_floating_point()
        ),
    }
    return next((fault for fault, holds in rules.items() if not holds), "")


def _whole(settings: Mapping[str, Any]) -> bool:
    low, high = (float(settings.get(key, side * math.inf)) for key, side in (("low", -1), ("high", 1)))
    return low < high and all(not math.isfinite(end) or end == round(end) for end in (low, high))
