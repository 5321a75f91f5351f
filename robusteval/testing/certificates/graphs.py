"""Random small classifiers as graphs, and points of the balls around images: what bounds are held against."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.certificates.certifier import Statement, rivals
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import KINDS, Graph, Node

BODIES = ("dense", "convolved", "pooled", "averaged", "two-branched", "normalised", "turned")
_CLASSES = 4
_SIDE = 5


def network(body: str, kind: str, rng: Generator) -> Graph:
    """A random classifier of images [2, 5, 5] or, for "dense", of 6 values, in [0, 1]; its weights are float32
    numbers. kind: of its activations."""
    nodes = [Node("input", (), (6,) if body == "dense" else (2, _SIDE, _SIDE))]
    if body == "normalised":
        shape = nodes[0].shape
        scale, shift = _drawn(rng, *shape).abs() * 3 + 0.5, _drawn(rng, *shape)
        nodes.append(Node("scale", (0,), shape, {"scale": scale, "shift": shift, "size": shift.abs() * 2}))
    if body == "dense":
        _linear(nodes, 8, rng)
        _act(nodes, kind, rng)
        _linear(nodes, 7, rng)
        _act(nodes, kind, rng)
    else:
        _convolved(nodes, body, kind, rng)
    _linear(nodes, _CLASSES, rng)
    return Graph(tuple(nodes))


def _convolved(nodes: list[Node], body: str, kind: str, rng: Generator) -> None:
    if body == "turned":
        settings = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 1), "groups": 1, "output_padding": (1, 0)}
        weight = _drawn(rng, 2, 3, 3, 2) * 0.4
        shape = ((_SIDE - 1) * 2 - 2 + 3 + 1, _SIDE + 1)
        tensors = {"weight": weight, "bias": _drawn(rng, 3)}
        nodes.append(Node("conv_transpose", (len(nodes) - 1,), (3, *shape), tensors, settings))
    else:
        settings = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
        tensors = {"weight": _drawn(rng, 3, 2, 3, 3) * 0.4, "bias": _drawn(rng, 3)}
        nodes.append(Node("conv", (len(nodes) - 1,), (3, _SIDE, _SIDE), tensors, settings))
    _act(nodes, kind, rng)
    last = len(nodes) - 1
    if body == "two-branched":
        settings = {"stride": (1, 1), "padding": (2, 2), "dilation": (2, 2), "groups": 3}
        tensors = {"weight": _drawn(rng, 3, 1, 3, 3) * 0.5, "bias": _drawn(rng, 3)}
        nodes.append(Node("conv", (last,), (3, _SIDE, _SIDE), tensors, settings))
        nodes.append(Node("add", (last, last + 1), (3, _SIDE, _SIDE), {}, {"signs": (1, -1)}))
        _act(nodes, kind, rng)
        nodes.append(Node("concat", (last, len(nodes) - 1), (2 * nodes[last].numel,)))
        index = torch.randperm(nodes[-1].numel, generator=rng, device="cpu")[:20]
        index[0] = -1
        fill = torch.zeros(20, dtype=torch.float64, device="cpu")
        fill[0] = 0.5
        nodes.append(Node("gather", (len(nodes) - 1,), (20,), {"index": index, "fill": fill}))
    elif body in ("pooled", "averaged"):
        grid = torch.arange(nodes[-1].numel, device="cpu").reshape(3, _SIDE, _SIDE)
        members = grid.unfold(1, 2, 2).unfold(2, 3, 1).reshape(-1, 6)
        if body == "pooled":
            nodes.append(Node("max", (last,), (len(members),), {"members": members}))
        else:
            members = members.clone()
            members[:, 0] = -1
            weight = torch.full(members.shape, 0.2, dtype=torch.float64, device="cpu")
            nodes.append(Node("sum", (last,), (len(members),), {"members": members, "weight": weight}))
        _linear(nodes, 5, rng)
        _act(nodes, kind, rng)


def _linear(nodes: list[Node], width: int, rng: Generator) -> None:
    size = nodes[-1].numel
    index = torch.arange(size, device="cpu")
    fill = torch.zeros(size, dtype=torch.float64, device="cpu")
    nodes.append(Node("gather", (len(nodes) - 1,), (size,), {"index": index, "fill": fill}))
    tensors = {"weight": _drawn(rng, width, size) / size**0.5, "bias": _drawn(rng, width) * 0.5}
    nodes.append(Node("linear", (len(nodes) - 1,), (width,), tensors))


def _act(nodes: list[Node], kind: str, rng: Generator) -> None:
    tensors, settings = {}, {"kind": kind, "low": -0.4, "high": 0.7, "rate": 1.7}
    if kind == "round":  # a quantiser: to sixths, behind some of which there is room for a few whole numbers
        _scaled(nodes, 6.0)
        nodes.append(Node("activation", (len(nodes) - 1,), nodes[-1].shape, {}, {**settings, "low": -2, "high": 9}))
        _scaled(nodes, 1 / 6)
        return
    if kind == "leaky_relu":
        tensors = {"slope": torch.rand(nodes[-1].shape, generator=rng, dtype=torch.float64, device="cpu")}
    nodes.append(Node("activation", (len(nodes) - 1,), nodes[-1].shape, tensors, settings))


def _scaled(nodes: list[Node], factor: float) -> None:
    shape = nodes[-1].shape
    full = torch.full(shape, factor, dtype=torch.float64, device="cpu")
    tensors = {"scale": full.float().double(), "shift": full * 0, "size": full * 0}
    nodes.append(Node("scale", (len(nodes) - 1,), shape, tensors))


def _drawn(rng: Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=rng, device="cpu").double()


def networks(count: int, seed: int = 0) -> list[tuple[str, Graph]]:
    """So many of them with their names; every body and every activation comes up in turn."""
    rng = torch.Generator("cpu").manual_seed(seed)
    made = []
    for number in range(count):
        body, kind = BODIES[number % len(BODIES)], KINDS[(number // 2) % len(KINDS)]
        made.append((f"{body}, {kind}", network(body, kind, rng)))
    return made


def statement(graph: Graph, norm: ops.Norm, eps: float, rng: Generator, images: int = 3) -> Statement:
    """A statement about images of which some values lie on the edge of the box; labels are the graph's own answers."""
    drawn = torch.rand((images, *graph.nodes[0].shape), generator=rng, device="cpu") * 1.4 - 0.2
    x = drawn.clamp(0.0, 1.0).double()  # float32 numbers
    label = scores(graph, x).argmax(1)
    right = torch.nn.functional.one_hot(label, graph.classes).bool()
    return Statement(
        graph, x, label, right, norm, torch.full((images,), eps, dtype=torch.float64, device="cpu"), (0.0, 1.0)
    )


def margins(asked: Statement, x: Tensor) -> Tensor:
    """The true margins of points [B, *shape] in float64, [B]."""
    return _margin(asked, scores(asked.graph, x))


def float32_margins(asked: Statement, x: Tensor) -> Tensor:
    """The margins as float32 arithmetic has them, [B]."""
    nodes = [
        replace(node, tensors={k: v.float() if v.is_floating_point() else v for k, v in node.tensors.items()})
        for node in asked.graph.nodes
    ]
    single = replace(asked.graph, nodes=tuple(nodes))
    return _margin(asked, scores(single, x.float(), torch.float32).double())


def _margin(asked: Statement, answers: Tensor) -> Tensor:
    others, wrong = rivals(asked)
    lead = answers.gather(1, asked.label[:, None]) - answers.gather(1, others)
    return torch.where(wrong, lead, torch.inf).amin(1)


def lowest(asked: Statement, points: int, rng: Generator) -> Tensor:
    """The smallest margin that was met in each ball, [B]: at its corners, at random points, and down the gradient."""
    x, low = asked.x, margins(asked, asked.x)
    low = torch.minimum(low, float32_margins(asked, x))
    for number in range(points):
        draw = ops.random_on_sphere if number % 3 else ops.random_in_ball
        start = x + draw(x, asked.norm, asked.eps, rng)
        low = torch.minimum(low, _seen(asked, ops.project(x, start, asked.norm, asked.eps, asked.bounds)))
    point = x
    for number in range(12):
        leaf = point.detach().requires_grad_(True)
        (grad,) = torch.autograd.grad(margins(asked, leaf).sum(), leaf)
        step = ops.per_sample(asked.eps, x) * (2.0 if number == 0 else 0.5)
        point = ops.project(x, point - step * ops.ascent(grad, asked.norm), asked.norm, asked.eps, asked.bounds)
        low = torch.minimum(low, _seen(asked, point))
    return low


def _seen(asked: Statement, x: Tensor) -> Tensor:
    """The smaller of the margin of a point, and of the float32 margin of the nearest one that float32 can hold."""
    with torch.no_grad():
        near = ops.project(asked.x, x.float().double(), asked.norm, asked.eps, asked.bounds)
        held = near.float().double() == near
        single = torch.where(held.flatten(1).all(1), float32_margins(asked, near), torch.inf)
        return torch.minimum(margins(asked, x), single)
