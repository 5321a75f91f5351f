"""A graph as certifiers walk it: maxima taken apart into ReLUs, and each affine node with its transpose.

max(a, b) = b + relu(a - b), pair by pair, so that a pool needs no relaxation of its own and its lower slopes can be
optimised as every ReLU's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.api import GraphNode, ModelGraph, affine_value
from robusteval_certifiers._common.grids import Grid, grid_of
from robusteval_certifiers._common.sparse import convolved_back


@dataclass(frozen=True)
class Pool:
    """A node of maxima, taken apart: what was made of it, by place. members: the places of the gathers."""

    source: int
    members: tuple[int, ...]
    end: int
    apart: bool  # no value is looked at twice


@dataclass
class Network:
    """Nodes in order, the first one the input. constants: [n] each affine node's value of zeros; exact: places of nodes
    that we made of maxima, which round nothing; largest: {place: (a, b)} of nodes that hold max(a, b); pools: by the
    node that holds the maxima; users: how many nodes read each."""

    nodes: list[GraphNode]
    exact: set[int] = field(default_factory=set)
    largest: dict[int, tuple[int, int]] = field(default_factory=dict)
    constants: dict[int, Tensor] = field(default_factory=dict)
    turned: dict[int, Tensor] = field(default_factory=dict)  # of a gather that only reorders: the places back
    copies: set[int] = field(default_factory=set)  # gathers that leave the order as it is
    grids: dict[int, Grid] = field(default_factory=dict)  # gathers that are slices
    pools: dict[int, Pool] = field(default_factory=dict)
    users: list[int] = field(default_factory=list)

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes by place."""
        return [node.shape for node in self.nodes]

    def inputs_of(self, place: int) -> list[tuple[int, ...]]:
        """The shapes of a node's inputs."""
        return [self.nodes[source].shape for source in self.nodes[place].inputs]

    def work(self, place: int) -> float:
        """About how many multiplications one substitution from a node takes, each pass over memory counted as 20."""
        total = 0.0
        for node in self.nodes[: place + 1]:
            dense = node.op in ("linear", "conv", "conv_transpose")
            width = node.tensors["weight"].numel() / max(node.tensors["bias"].numel(), 1) if dense else 0.0
            total += node.numel * (width + 20.0)
        return total

    def single(self, place: int) -> bool:
        """Whether each element of a node is made of one pixel alone."""
        while place and self.nodes[place].op in ("scale", "gather", "activation"):
            (place,) = self.nodes[place].inputs
        return place == 0

    @property
    def widest(self) -> int:
        """How many numbers the largest value has."""
        return max(node.numel for node in self.nodes)


def lowered(graph: ModelGraph) -> Network:
    """The graph without maxima."""
    network, at = Network([]), list[int]()
    for node in graph.nodes:
        inputs = tuple(at[place] for place in node.inputs)
        if node.op == "max":
            at.append(_maximum(network, node, inputs[0]))
        else:
            at.append(_add(network, node.op, inputs, node.shape, dict(node.tensors), dict(node.settings), node))
    network.users = [0] * len(network.nodes)
    for place, node in enumerate(network.nodes):
        for source in node.inputs:
            network.users[source] += 1
        if node.op in ("input", "activation"):
            continue
        zeros = [
            torch.zeros(1, network.nodes[source].numel, dtype=torch.float64, device=_device(graph))
            for source in node.inputs
        ]
        network.constants[place] = affine_value(node, zeros, network.inputs_of(place))[0]
        if node.op == "gather":
            _selects(network, place, node)
    return network


def _selects(network: Network, place: int, node: GraphNode) -> None:
    """What kind of selection a gather is."""
    index, source = node.tensors["index"], network.nodes[node.inputs[0]]
    if len(index) == source.numel and torch.equal(index, _count(index)):
        network.copies.add(place)
    elif len(index) == source.numel and torch.equal(index.sort().values, _count(index)):
        network.turned[place] = index.argsort()
    grid = grid_of(index, node.shape, source.shape)
    if grid is not None:
        network.grids[place] = grid


def _count(index: Tensor) -> Tensor:
    return torch.arange(len(index), device=index.device)


def _device(graph: ModelGraph) -> torch.device:
    return next((value.device for node in graph.nodes for value in node.tensors.values()), torch.device("cpu"))


def _add(
    network: Network,
    op: str,
    inputs: tuple[int, ...],
    shape: tuple[int, ...],
    tensors: dict[str, Tensor],
    settings: dict[str, object],
    node: GraphNode,
) -> int:
    network.nodes.append(GraphNode(op, inputs, shape, tensors, settings, node.name, node.source))
    return len(network.nodes) - 1


def _maximum(network: Network, node: GraphNode, source: int) -> int:
    """The place of the node that holds the maxima."""
    members, shape = node.tensors["members"], node.shape
    fill = torch.zeros(len(members), dtype=torch.float64, device=members.device)

    def made(op: str, inputs: tuple[int, ...], tensors: dict[str, Tensor], settings: dict[str, object]) -> int:
        place = _add(network, op, inputs, shape, tensors, settings, node)
        network.exact.add(place)
        return place

    left = [made("gather", (source,), {"index": members[:, k], "fill": fill}, {}) for k in range(members.shape[1])]
    gathers = tuple(left)
    while len(left) > 1:
        pairs = [left[k : k + 2] for k in range(0, len(left), 2)]
        left = []
        for pair in pairs:
            if len(pair) == 1:
                left.append(pair[0])
                continue
            a, b = pair
            ahead = made("add", (a, b), {}, {"signs": [1, -1]})
            lift = made("activation", (ahead,), {}, {"kind": "relu"})
            left.append(made("add", (b, lift), {}, {"signs": [1, 1]}))
            network.largest[left[-1]] = (a, b)
    apart = len(members.unique()) == members.numel()
    network.pools[left[0]] = Pool(source, gathers, left[0], apart)
    return left[0]


def transposed(network: Network, place: int, a: Tensor) -> list[Tensor]:
    """The coefficients of an affine node's inputs, [B, S, m] each, from those of its value, [B, S, n]."""
    node = network.nodes[place]
    tensors, sizes = node.tensors, [network.nodes[source].numel for source in node.inputs]
    if node.op == "add":
        return [a if sign > 0 else -a for sign in node.settings["signs"]]
    if node.op == "concat":
        return list(a.split(sizes, -1))
    if node.op == "scale":
        return [a * tensors["scale"].flatten()]
    if node.op == "gather":
        return [_selected(network, place, a, sizes[0])]
    if node.op == "sum":
        members, weight = tensors["members"], tensors["weight"]
        weight = torch.where(members >= 0, weight, 0.0)
        return [_summed((a[..., None] * weight).flatten(-2), members.clamp_min(0).flatten(), sizes[0])]
    weight = tensors["weight"]
    if node.op == "linear":
        return [(a.reshape(*a.shape[:2], -1, weight.shape[0]) @ weight).flatten(2)]
    return [_convolved(network, place, a)]


def _selected(network: Network, place: int, a: Tensor, size: int) -> Tensor:
    """Through the transpose of a gather."""
    if place in network.copies:
        return a
    if place in network.turned:
        return a[..., network.turned[place]]
    index = network.nodes[place].tensors["index"]
    if place in network.grids:
        (shape,) = network.inputs_of(place)
        out = a.new_zeros(*a.shape[:2], *shape)
        _, rows, columns = network.nodes[place].shape
        out[(..., *network.grids[place].slices(rows, columns))] = a.unflatten(-1, network.nodes[place].shape)
        return out.flatten(2)
    kept = (index >= 0).nonzero().squeeze(1)
    return _summed(a[..., kept], index[kept], size)


def _summed(a: Tensor, index: Tensor, size: int) -> Tensor:
    return a.new_zeros(*a.shape[:-1], size).index_add(-1, index, a)


def _convolved(network: Network, place: int, a: Tensor) -> Tensor:
    """Through the transpose of a convolution, which is a transposed one, and the other way round."""
    node, (shape,) = network.nodes[place], network.inputs_of(place)
    weight, images = node.tensors["weight"], a.reshape(-1, *node.shape)
    stride, padding, dilation = (tuple(node.settings[key]) for key in ("stride", "padding", "dilation"))
    groups = int(node.settings["groups"])
    if node.op == "conv" and len(a) == 1 and not a.requires_grad:
        sparse = convolved_back(node, shape, images)
        if sparse is not None:
            return sparse.reshape(*a.shape[:2], -1)
    if node.op == "conv_transpose":
        out = F.conv2d(images, weight, None, stride, padding, dilation, groups)
    else:
        spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], dilation, strict=True)]
        reached = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(node.shape[1:], stride, padding, spans, strict=True)]
        extra = tuple(n - r for n, r in zip(shape[1:], reached, strict=True))
        out = F.conv_transpose2d(images, weight, None, stride, padding, extra, groups, dilation)
    return out.reshape(*a.shape[:2], -1)


def errors_of(network: Network, place: int, sizes: Sequence[Tensor], rounded: Tensor) -> Tensor:
    """How far a computed value may be off, [B, n]; of what we made of maxima only our own arithmetic counts.

    sizes: largest absolute values of the inputs; rounded: what the arithmetic of the pipeline allows.
    """
    if place not in network.exact:
        return rounded
    node = network.nodes[place]
    if node.op == "activation":
        return sizes[0] * _OWN
    return affine_value(node, sizes, network.inputs_of(place), absolute=True) * _OWN


_OWN = 2.0**-32
