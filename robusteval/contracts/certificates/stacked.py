"""A graph behind another: what a preprocessor does to an image, and then the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from robusteval.contracts.certificates.graph import Graph, Node, NotCoveredError


def stacked(steps: Sequence[Node], graph: Graph) -> Graph:
    """The graph of a classifier whose input is the value of the last of these nodes, of which the first is the input.

    Raises NotCoveredError where they do not fit.
    """
    first = Graph(tuple(steps))
    shapes = [node.shape for node in (first.nodes[0], first.nodes[-1], graph.nodes[0])]
    if len(set(shapes)) != 1:
        raise NotCoveredError(f"steps that make {shapes[1]} of {shapes[0]}, where the model takes {shapes[2]}")
    last = len(first.nodes) - 1
    behind = [replace(node, inputs=tuple(last + place for place in node.inputs)) for node in graph.nodes[1:]]
    return Graph((*first.nodes, *behind), graph.slack)
