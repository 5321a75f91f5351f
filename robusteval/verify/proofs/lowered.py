"""A graph without maxima: max(a, b) = b + relu(a - b), pair by pair, as the certifiers take them apart.

So a maximum needs no lines of its own, and the slopes that a certifier kept have the places that they have here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.verify.proofs.graph import MOST, Graph, Node, NotRepeatedError


@dataclass
class Lowered:
    """exact: places of nodes that were made of maxima, in which the pipeline rounds nothing; largest: {place: (a, b)}
    of those that hold max(a, b)."""

    nodes: list[Node] = field(default_factory=list)
    exact: set[int] = field(default_factory=set)
    largest: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, node: Node) -> int:
        """The place of a node that comes last."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def before(self, place: int, *more: str) -> int:
        """The node of which one is made value by value, through scales, selections and `more`."""
        while self.nodes[place].op in ("scale", "gather", *more):
            (place,) = self.nodes[place].inputs
        return place


def lowered(graph: Graph) -> Lowered:
    """The same values. Raises NotRepeatedError where maxima are of too many values."""
    out, at = Lowered(), list[int]()
    for node in graph.nodes:
        inputs = tuple(at[place] for place in node.inputs)
        if node.op == "max":
            at.append(_maximum(out, node, inputs[0]))
        else:
            at.append(out.add(Node(node.op, inputs, node.shape, node.settings, node.tensors)))
    return out


def _maximum(out: Lowered, node: Node, source: int) -> int:
    members = node.tensors["members"]
    if members.size > MOST or not members.size:
        raise NotRepeatedError("Maxima of so many values are not proved again here.", "")

    def made(
        op: str, inputs: tuple[int, ...], settings: dict[str, Any], tensors: dict[str, NDArray[Any]] | None = None
    ) -> int:
        place = out.add(Node(op, inputs, node.shape, settings, tensors or {}))
        out.exact.add(place)
        return place

    fill = np.zeros(len(members))
    left = [made("gather", (source,), {}, {"index": members[:, k], "fill": fill}) for k in range(members.shape[1])]
    while len(left) > 1:
        pairs, left = [left[k : k + 2] for k in range(0, len(left), 2)], []
        for pair in pairs:
            if len(pair) == 1:
                left.append(pair[0])
                continue
            a, b = pair
            lift = made("activation", (made("add", (a, b), {"signs": [1, -1]}),), {"kind": "relu"})
            left.append(made("add", (b, lift), {"signs": [1, 1]}))
            out.largest[left[-1]] = (a, b)
    return left[0]
