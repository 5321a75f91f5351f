"""ONNX Runtime's quantised operators: dequantise, the real operator, quantise again."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule
from robusteval.loaders.onnx.twin.pool import RULES as POOL
from robusteval.loaders.onnx.twin.pool import average_pool, global_average
from robusteval.loaders.onnx.twin.quant import RULES as QUANT
from robusteval.loaders.onnx.twin.quant import along, output_range, quantise, real
from robusteval.loaders.onnx.twin.steps import true


def _up(x: Tensor, scale: Tensor, zero: Tensor | None, node: Node) -> Tensor:
    x = real(x, node)
    return (x if zero is None else x - along(zero, x, 1)) * along(scale, x, 1)


def _down(y: Tensor, scale: Tensor, zero: Tensor | None, node: Node, index: int) -> Tensor:
    offset = None if zero is None else along(zero, y, 1)
    return quantise(node, y, along(scale, y, 1), offset, output_range(node, zero, index), 1)


def _unary(make: Callable[[Node], Fn]) -> Rule:
    """x, x_scale, x_zero, y_scale, y_zero."""

    def build(node: Node) -> Fn:
        fn = make(node)

        def run(x: Tensor, xs: Tensor, xz: Tensor | None, ys: Tensor, yz: Tensor | None = None) -> Tensor:
            return _down(fn(_up(x, xs, xz, node)), ys, yz, node, 4)

        return run

    return Rule(build, steps=True)


def _binary(fn: Fn) -> Rule:
    """a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero."""

    def build(node: Node) -> Fn:
        def run(
            a: Tensor,
            a_scale: Tensor,
            a_zero: Tensor | None,
            b: Tensor,
            b_scale: Tensor,
            b_zero: Tensor | None,
            scale: Tensor,
            zero: Tensor | None = None,
        ) -> Tensor:
            return _down(fn(_up(a, a_scale, a_zero, node), _up(b, b_scale, b_zero, node)), scale, zero, node, 7)

        return run

    return Rule(build, steps=True)


def _leaky(node: Node) -> Fn:
    alpha = node.get_float("alpha", 0.01)
    return lambda x: F.leaky_relu(x, alpha)


def _softmax(node: Node) -> Fn:
    axis = node.get_int("axis", -1)
    return lambda x: torch.softmax(x, axis)


def _concat(node: Node) -> Fn:
    axis = node.get_int("axis", 1)

    def run(scale: Tensor, zero: Tensor, *parts: Tensor) -> Tensor:
        xs = [_up(parts[i], parts[i + 1], parts[i + 2], node) for i in range(0, len(parts), 3)]
        return _down(torch.cat(xs, axis), scale, zero, node, 1)

    return run


def _where(node: Node) -> Fn:
    def run(
        condition: Tensor, x: Tensor, xs: Tensor, xz: Tensor, y: Tensor, ys: Tensor, yz: Tensor, zs: Tensor, zz: Tensor
    ) -> Tensor:
        chosen = torch.where(true(condition), _up(x, xs, xz, node), _up(y, ys, yz, node))
        return _down(chosen, zs, zz, node, 8)

    return run


def _nhwc(build: Callable[[Node], Fn]) -> Callable[[Node], Fn]:
    """The operator on tensors whose channels may come last."""

    def wrapped(node: Node) -> Fn:
        inner = build(node)
        if not node.get_int("channels_last") and node.op != "NhwcMaxPool":
            return inner
        return lambda x, *rest: inner(x.movedim(-1, 1), *rest).movedim(1, -1)

    return wrapped


MICROSOFT: Mapping[str, Rule] = {
    "QLinearAdd": _binary(torch.add),
    "QLinearMul": _binary(torch.mul),
    "QLinearSigmoid": _unary(lambda node: torch.sigmoid),
    "QLinearLeakyRelu": _unary(_leaky),
    "QLinearSoftmax": _unary(_softmax),
    "QLinearAveragePool": _unary(_nhwc(average_pool)),
    "QLinearGlobalAveragePool": _unary(_nhwc(lambda node: global_average)),
    "QLinearConv": Rule(_nhwc(QUANT["QLinearConv"].build), steps=True),
    "NhwcMaxPool": Rule(_nhwc(POOL["MaxPool"].build)),
    "QLinearConcat": Rule(_concat, steps=True),
    "QLinearWhere": Rule(_where, steps=True),
}
