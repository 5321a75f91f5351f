"""Normalisations."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule
from robusteval.loaders.onnx.twin.shape import pad_all


def _batch_norm(node: Node) -> Fn:
    eps = node.get_float("epsilon", 1e-5)
    training = node.get_int("training_mode") if node.opset >= 14 else (node.opset < 7 and not node.get_int("is_test"))

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return F.batch_norm(x, mean, var, scale, bias, False, 0.0, eps)

    def per_activation(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return (x - mean) / torch.sqrt(var + eps) * scale + bias

    def live(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor | tuple[Tensor, ...]:
        out = F.batch_norm(x, None, None, scale, bias, True, 0.0, eps)
        if len(node.proto.output) == 1:
            return out
        keep, axes = node.get_float("momentum", 0.9), [i for i in range(x.dim()) if i != 1]
        now, spread = x.mean(axes), x.var(axes, unbiased=False)
        return out, mean * keep + now * (1 - keep), var * keep + spread * (1 - keep)

    if training and node.opset >= 14:
        return live
    return run if node.opset >= 9 or node.get_int("spatial", 1) else per_activation


def _instance_norm(node: Node) -> Fn:
    eps = node.get_float("epsilon", 1e-5)
    return lambda x, scale, bias: F.instance_norm(x, None, None, scale, bias, True, 0.0, eps)


def layer_norm(node: Node, default_eps: float = 1e-5) -> Fn:
    """LayerNormalization over the axes from `axis` on; mean and inverse deviation only where the file uses them."""
    axis, eps, outputs = node.get_int("axis", -1), node.get_float("epsilon", default_eps), len(node.proto.output)

    def run(x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
        start = axis % x.dim()
        shape = tuple(int(n) for n in x.shape[start:])  # plain numbers, also while the graph is being exported
        if outputs == 1 and scale.shape == shape:
            return F.layer_norm(x, shape, scale, bias, eps)
        axes = tuple(range(start, x.dim()))
        mean = x.mean(axes, keepdim=True)
        inverse = torch.rsqrt(((x - mean) ** 2).mean(axes, keepdim=True) + eps)
        y = (x - mean) * inverse * scale
        return (
            (y if bias is None else y + bias, mean, inverse)[: max(1, outputs)]
            if outputs > 1
            else (y if bias is None else y + bias)
        )

    return run


def rms_norm(node: Node) -> Fn:
    """x / sqrt(mean(x^2) + eps) * scale over the axes from `axis` on."""
    axis, eps = node.get_int("axis", -1), node.get_float("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor) -> Tensor:
        axes = tuple(range(axis % x.dim(), x.dim()))
        return x * torch.rsqrt((x * x).mean(axes, keepdim=True) + eps) * scale

    return run


def _group_norm(node: Node) -> Fn:
    groups, eps = node.get_int("num_groups", 1), node.get_float("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        channels = x.shape[1]
        if node.opset >= 21 or scale.shape[0] == channels:
            return F.group_norm(x, groups, scale, bias, eps)
        each = channels // groups  # opset 18: one scale a group
        return F.group_norm(x, groups, scale.repeat_interleave(each), bias.repeat_interleave(each), eps)

    return run


def _lrn(node: Node) -> Fn:
    alpha, beta = node.get_float("alpha", 1e-4), node.get_float("beta", 0.75)
    bias, size = node.get_float("bias", 1.0), node.get_int("size")

    def run(x: Tensor) -> Tensor:
        square = pad_all(x * x, [(0, 0), ((size - 1) // 2, size // 2), *[(0, 0)] * (x.dim() - 2)], "constant", 0.0)
        total = square.unfold(1, size, 1).sum(-1)
        return x / (bias + alpha / size * total) ** beta

    return run


def _mean_variance(node: Node) -> Fn:
    axes = node.get_ints("axes") or [0, 2, 3]

    def run(x: Tensor) -> Tensor:
        centred = x - x.mean(axes, keepdim=True)
        return centred / (torch.sqrt((x * x).mean(axes, keepdim=True) - x.mean(axes, keepdim=True) ** 2) + 1e-9)

    return run


RULES: Mapping[str, Rule] = {
    "BatchNormalization": Rule(_batch_norm),
    "InstanceNormalization": Rule(_instance_norm),
    "LayerNormalization": Rule(layer_norm),
    "RMSNormalization": Rule(rms_norm),
    "GroupNormalization": Rule(_group_norm),
    "LRN": Rule(_lrn),
    "MeanVarianceNormalization": Rule(_mean_variance),
}
