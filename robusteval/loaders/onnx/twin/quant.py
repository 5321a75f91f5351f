"""Quantisation. Integers that stand for reals stay reals here; rounding may pass gradients straight through."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from onnx import TensorProto
from torch import Tensor

from robusteval.loaders.onnx.twin.conv import convolution
from robusteval.loaders.onnx.twin.matmul import gemm
from robusteval.loaders.onnx.twin.node import INT_RANGE, Fn, Node, Rule, through

BY_DTYPE = {torch.uint8: (0, 255), torch.int8: (-128, 127), torch.int16: (-32768, 32767), torch.int32: (0, 65535)}


def output_range(node: Node, zero: Tensor | None, index: int) -> tuple[int, int]:
    """The limits of the integer type that a node quantises to: its zero point (input `index`) says which."""
    elem = node.elem(index)
    if elem in INT_RANGE:
        return INT_RANGE[elem]
    if zero is not None and zero.dtype in BY_DTYPE:
        return BY_DTYPE[zero.dtype]
    return INT_RANGE[TensorProto.UINT8]


def along(t: Tensor, x: Tensor, axis: int, block: int = 0) -> Tensor:
    """A scale or zero point as real numbers that broadcast over x: one, one an entry of `axis`, or one a block."""
    t = t.to(x.device, x.dtype if x.is_floating_point() else torch.float32)
    if block and t.dim() == x.dim():
        return t.repeat_interleave(block, axis).narrow(axis, 0, x.shape[axis])
    if t.numel() == 1:
        return t.reshape(())
    if t.dim() == 1:
        return t.reshape([-1 if i == axis % x.dim() else 1 for i in range(x.dim())])
    return t


def quantise(node: Node, x: Tensor, scale: Tensor, zero: Tensor | None, limits: tuple[int, int], axis: int) -> Tensor:
    """round(x / scale) + zero, clipped to `limits`; the gradient is 1 / scale inside and 0 outside."""
    y = x / scale
    offset = 0.0 if zero is None else zero
    low, high = limits
    hard = torch.clamp(torch.round(y) + offset, low, high)
    return through(node, torch.clamp(y + offset, low, high), hard)


def _quantise_linear(node: Node) -> Fn:
    axis, block = node.get_int("axis", 1), node.get_int("block_size")
    asked = node.get_int("output_dtype") or node.get_int("precision")
    if asked and asked not in INT_RANGE:
        raise node.refuse("quantises to a type that is not an integer")

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        limits = INT_RANGE[asked] if asked and zero is None else output_range(node, zero, 2)
        if zero is not None and zero.is_floating_point() and node.elem(2) not in INT_RANGE:
            raise node.refuse("quantises to a type that is not an integer")
        x = x if x.is_floating_point() else x.to(node.real)
        offset = None if zero is None else along(zero, x, axis, block)
        return quantise(node, x, along(scale, x, axis, block), offset, limits, axis)

    return run


def _dequantise_linear(node: Node) -> Fn:
    axis, block = node.get_int("axis", 1), node.get_int("block_size")

    def run(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        x = x if x.is_floating_point() else x.to(node.real)
        return dequantise(x, along(scale, x, axis, block), None if zero is None else along(zero, x, axis, block))

    return run


def dequantise(x: Tensor, scale: Tensor, zero: Tensor | None) -> Tensor:
    """(x - zero) * scale in real numbers."""
    return x * scale if zero is None else (x - zero) * scale


def _dynamic(node: Node) -> Fn:
    """Scale and zero point come from the input's own range; their dependence on it is not differentiated."""

    def run(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            low, high = x.amin().clamp(max=0.0), x.amax().clamp(min=0.0)
            scale = (high - low) / 255
            safe = torch.where(scale == 0, torch.ones_like(scale), scale)
            zero = torch.clamp(torch.round((0 - low) / safe), 0, 255)
        return quantise(node, x, safe, zero, (0, 255), 0), safe, zero

    return run


def real(x: Tensor, node: Node) -> Tensor:
    """Numbers to calculate with, whatever integer type they were stored in."""
    return x if x.is_floating_point() else x.to(node.real)


def shifted(x: Tensor, zero: Tensor | None, node: Node, axis: int) -> Tensor:
    """x minus its zero point, as reals."""
    x = real(x, node)
    return x if zero is None else x - along(zero, x, axis)


def _qlinear_conv(node: Node) -> Fn:
    conv = convolution(node)

    def run(
        x: Tensor,
        x_scale: Tensor,
        x_zero: Tensor,
        w: Tensor,
        w_scale: Tensor,
        w_zero: Tensor,
        y_scale: Tensor,
        y_zero: Tensor,
        bias: Tensor | None = None,
    ) -> Tensor:
        a, b = shifted(x, x_zero, node, 1), shifted(w, w_zero, node, 0)
        # the accumulator is a sum of integers: the scales come after it, as in the file
        total = conv(a, b, None if bias is None else real(bias, node))
        factor = x_scale.to(total) * w_scale.to(total)
        y = total * along(factor, total, 1)
        limits = output_range(node, y_zero, 7)
        return quantise(node, y, along(y_scale, y, 1), along(y_zero, y, 1), limits, 1)

    return run


def _qlinear_matmul(node: Node) -> Fn:
    def run(
        a: Tensor, a_scale: Tensor, a_zero: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor, scale: Tensor, z: Tensor
    ) -> Tensor:
        left, right = shifted(a, _rows(a_zero), node, -2), shifted(b, b_zero, node, -1)
        left = left * along(_rows(a_scale), left, -2)
        y = torch.matmul(left, right * along(b_scale, right, -1))
        limits = output_range(node, z, 7)
        return quantise(node, y, along(scale, y, -1), along(z, y, -1), limits, -1)

    return run


def _rows(t: Tensor) -> Tensor:
    return t.reshape(-1) if t.dim() == 1 or t.numel() == 1 else t


def _conv_integer(node: Node) -> Fn:
    conv = convolution(node)

    def run(x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None) -> Tensor:
        out: Tensor = conv(shifted(x, x_zero, node, 1), shifted(w, w_zero, node, 0))
        return out

    return run


def _matmul_integer(node: Node) -> Fn:
    def run(a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None) -> Tensor:
        left = shifted(a, None if a_zero is None else _rows(a_zero), node, -2)
        return torch.matmul(left, shifted(b, b_zero, node, -1))

    return run


def _matmul_integer_to_float(node: Node) -> Fn:
    def run(
        a: Tensor,
        b: Tensor,
        a_scale: Tensor,
        b_scale: Tensor,
        a_zero: Tensor | None = None,
        b_zero: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        y = torch.matmul(shifted(a, a_zero, node, -2), shifted(b, b_zero, node, -1))
        y = y * along(a_scale, y, -2) * along(b_scale, y, -1)
        return y if bias is None else y + bias

    return run


def _dynamic_matmul(node: Node) -> Fn:
    dynamic = _dynamic(node)

    def run(a: Tensor, b: Tensor, b_scale: Tensor, b_zero: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        q, scale, zero = dynamic(a)
        right = shifted(b, b_zero, node, -1)
        y = torch.matmul((q - zero) * scale, right * along(b_scale, right, -1))
        return y if bias is None else y + bias

    return run


def _qgemm(node: Node) -> Fn:
    alpha, trans_b = node.get_float("alpha", 1.0), node.get_int("transB")
    product = gemm(node)

    def run(
        a: Tensor,
        a_scale: Tensor,
        a_zero: Tensor,
        b: Tensor,
        b_scale: Tensor,
        b_zero: Tensor,
        c: Tensor | None = None,
        y_scale: Tensor | None = None,
        y_zero: Tensor | None = None,
    ) -> Tensor:
        axis = 0 if trans_b else 1
        left, right = shifted(a, a_zero, node, 1), shifted(b, b_zero, node, axis)
        y: Tensor = product(left * a_scale.to(left), right * along(b_scale, right, axis), None)
        if c is not None:
            y = y + real(c, node) * (alpha * a_scale.to(y) * b_scale.to(y))
        if y_scale is None:
            return y
        zero = None if y_zero is None else along(y_zero, y, 1)
        return quantise(node, y, along(y_scale, y, 1), zero, output_range(node, y_zero, 8), 1)

    return run


RULES: Mapping[str, Rule] = {
    "QuantizeLinear": Rule(_quantise_linear, steps=True),
    "DequantizeLinear": Rule(_dequantise_linear),
    "DynamicQuantizeLinear": Rule(_dynamic, steps=True),
    "QLinearConv": Rule(_qlinear_conv, steps=True),
    "QLinearMatMul": Rule(_qlinear_matmul, steps=True),
    "ConvInteger": Rule(_conv_integer),
    "MatMulInteger": Rule(_matmul_integer),
}
MICROSOFT: Mapping[str, Rule] = {
    "QuantizeLinear": Rule(_quantise_linear, steps=True),
    "DequantizeLinear": Rule(_dequantise_linear),
    "MatMulIntegerToFloat": Rule(_matmul_integer_to_float),
    "DynamicQuantizeMatMul": Rule(_dynamic_matmul, steps=True),
    "QGemm": Rule(_qgemm, steps=True),
}
