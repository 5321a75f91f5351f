"""What the nodes of a graph mean, as code: each value of a batch of images, flat, in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.contracts.certificates.graph import Graph, Node


def scores(graph: Graph, x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """The scores of images, [B, *shape] -> [B, K], computed in that precision, which is that of the graph's tensors."""
    values: list[Tensor] = []
    for node in graph.nodes:
        inputs = [values[place] for place in node.inputs]
        if node.op == "input":
            values.append(x.to(dtype).flatten(1))
        elif node.op == "activation":
            values.append(activation(node, inputs[0]))
        elif node.op == "max":
            values.append(inputs[0][:, node.tensors["members"]].amax(-1))
        else:
            shapes = [graph.nodes[place].shape for place in node.inputs]
            values.append(affine(node, inputs, shapes))
    return values[-1]


def affine(
    node: Node, inputs: Sequence[Tensor], shapes: Sequence[tuple[int, ...]], absolute: bool = False, bias: bool = True
) -> Tensor:
    """The value of an affine node, [B, n], of flat inputs [B, m] each, whose shapes are those of the nodes before it.

    absolute: with the sizes of all weights in the place of the weights, which is how far intervals grow; bias: with its
    constant part, or without.
    """
    x = inputs[0]
    if node.op == "add":
        signs = node.settings["signs"]
        terms = [value if sign > 0 or absolute else -value for value, sign in zip(inputs, signs, strict=True)]
        return torch.stack(list(terms)).sum(0)
    if node.op == "concat":
        return torch.cat(list(inputs), 1)
    if node.op == "gather":
        index, fill = node.tensors["index"], node.tensors["fill"]
        constant = (fill.abs() if absolute else fill) if bias else torch.zeros_like(fill)
        return torch.where(index >= 0, x[:, index.clamp_min(0)], constant)
    if node.op == "sum":
        members, weight = node.tensors["members"], node.tensors["weight"]
        weight = torch.where(members >= 0, weight.abs() if absolute else weight, 0.0)
        return (x[:, members.clamp_min(0)] * weight).sum(-1)
    if node.op == "scale":
        scale, shift = node.tensors["scale"].flatten(), node.tensors["shift"].flatten()
        if absolute:
            return x * scale.abs() + (node.tensors["size"].flatten() if bias else 0.0)
        return x * scale + (shift if bias else 0.0)
    weight, constant = node.tensors["weight"], node.tensors["bias"]
    weight, constant = (weight.abs(), constant.abs()) if absolute else (weight, constant)
    return product(node, x, shapes[0], weight, constant if bias else None)


def product(node: Node, x: Tensor, shape: tuple[int, ...], weight: Tensor, bias: Tensor | None) -> Tensor:
    """linear, conv or conv_transpose with these weights: [B, m] -> [B, n]."""
    if node.op == "linear":
        return F.linear(x.reshape(len(x), -1, weight.shape[1]), weight, bias).flatten(1)
    images = x.reshape(len(x), *shape)
    stride, padding, dilation = (tuple(node.settings[key]) for key in ("stride", "padding", "dilation"))
    groups = int(node.settings["groups"])
    if node.op == "conv":
        return F.conv2d(images, weight, bias, stride, padding, dilation, groups).flatten(1)
    extra = tuple(node.settings["output_padding"])
    return F.conv_transpose2d(images, weight, bias, stride, padding, extra, groups, dilation).flatten(1)


def activation(node: Node, x: Tensor) -> Tensor:
    """An activation of flat values [..., n]."""
    kind, settings = node.settings["kind"], node.settings
    if kind == "relu":
        return x.clamp_min(0.0)
    if kind == "leaky_relu":
        return torch.where(x > 0, x, x * node.tensors["slope"].flatten())
    if kind == "clip":
        return x.clamp(float(settings["low"]), float(settings["high"]))
    if kind == "hard_swish":
        return x * (x / 6 + 0.5).clamp(0.0, 1.0)
    if kind == "gelu":
        return x * (1 + torch.erf(x / math.sqrt(2))) / 2
    if kind == "silu":
        return x * torch.sigmoid(float(settings["rate"]) * x)
    if kind == "round":  # gradients go straight through, so that whoever looks for counterexamples has some
        soft = x.clamp(float(settings["low"]), float(settings["high"]))
        return soft.round().detach() + (soft - soft.detach())
    return {"sigmoid": torch.sigmoid, "tanh": torch.tanh, "erf": torch.erf}[kind](x)
