"""Elementwise operators: arithmetic, comparisons, logic, activations, rounding."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping
from dataclasses import replace

import torch
from onnx import TensorProto
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import INT_RANGE, INTEGERS, Fn, Node, Rule, fixed, through
from robusteval.loaders.onnx.twin.steps import RULES as COMPARED
from robusteval.loaders.onnx.twin.steps import to_bool, wide


def _old_broadcast(node: Node, fn: Fn) -> Fn:
    """Before opset 7 the second operand was aligned at an explicit axis."""
    if node.opset >= 7 or node.domain or not node.get_int("broadcast"):
        return fn
    axis = node.get_int("axis", -1)

    def aligned(*operands: Tensor) -> Tensor:
        if len(operands) != 2:
            return fn(*operands)  # type: ignore[no-any-return]
        a, b = operands
        if axis >= 0 and b.dim() < a.dim() - axis:
            b = b.reshape(*b.shape, *[1] * (a.dim() - axis - b.dim()))
        out: Tensor = fn(a, b)
        return out

    return aligned


def _binary(fn: Fn) -> Rule:
    return Rule(lambda node: _old_broadcast(node, fn))


def _aligned(rule: Rule) -> Rule:
    return replace(rule, build=lambda node: _old_broadcast(node, rule.build(node)))


def _div(node: Node) -> Fn:
    declared_int = node.elem(0) in INTEGERS  # integers of quantised graphs travel as floats here

    def div(a: Tensor, b: Tensor) -> Tensor:
        if declared_int or not (a.is_floating_point() or b.is_floating_point()):
            exact = torch.div(a, b, rounding_mode="trunc")
            return through(node, a / b, exact) if exact.is_floating_point() else exact
        return a / b

    return _old_broadcast(node, div)


def _pow(a: Tensor, b: Tensor) -> Tensor:
    if b.numel() == 1 and not b.requires_grad and a.dim() >= b.dim():
        return torch.pow(a, b.item()).to(a.dtype)  # a number keeps integer powers exact and the backward cheap
    return torch.pow(a, b.to(a.device)).to(a.dtype)


def _bitwise_not(node: Node) -> Fn:
    masks: dict[int, int] = {TensorProto.UINT16: 2**16 - 1, TensorProto.UINT32: 2**32 - 1}
    mask = masks.get(node.elem(0))
    return torch.bitwise_not if mask is None else lambda x: torch.bitwise_not(x) & mask


def _shift(node: Node) -> Fn:
    left = node.get_str("direction") == "LEFT"
    bits = 8 if node.elem(0) == TensorProto.UINT8 else 0

    def shift(a: Tensor, b: Tensor) -> Tensor:
        if not left:
            return torch.bitwise_right_shift(a, b)
        out = torch.bitwise_left_shift(a, b)
        return out & (2**bits - 1) if bits else out

    return shift


def _variadic(fn: Fn) -> Rule:
    def build(node: Node) -> Fn:
        return lambda *xs: functools.reduce(fn, xs)

    return Rule(build)


def _mean(*xs: Tensor) -> Tensor:
    return functools.reduce(operator.add, xs) / len(xs)


def _clip(node: Node) -> Fn:
    if node.opset < 11:
        low, high = node.get_float("min", -3.4028234663852886e38), node.get_float("max", 3.4028234663852886e38)
        return _clamp(node, low, high)

    def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        lo, hi = _bound(low), _bound(high)
        if lo is None and hi is None:
            return x
        if isinstance(lo, Tensor) or isinstance(hi, Tensor):  # bounds that depend on the input
            x = x if lo is None else torch.clamp(x, min=lo)
            return x if hi is None else torch.clamp(x, max=hi)
        out: Tensor = _clamp(node, -math.inf if lo is None else lo, math.inf if hi is None else hi)(x)
        return out

    return clip


def _clamp(node: Node, low: float, high: float) -> Fn:
    def clamp(x: Tensor) -> Tensor:
        return torch.clamp(x, None if low == -math.inf else low, None if high == math.inf else high)

    return wide(node, clamp, (low + high) / 2, (high - low) / 2) if high - low < 1e30 else clamp


def _bound(t: Tensor | None) -> Tensor | float | None:
    if t is None or not t.numel():
        return None
    return t.reshape(()) if t.requires_grad else t.item()


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    if 1 < slope.dim() + 1 < x.dim() and slope.numel() == x.shape[1] and slope.dim() == 1 and x.shape[-1] != len(slope):
        slope = slope.reshape(-1, *[1] * (x.dim() - 2))  # opset < 7: one slope a channel
    return torch.where(x < 0, x * slope, x)


def _gelu(node: Node) -> Fn:
    approximate = "tanh" if node.get_str("approximate", "none") == "tanh" else "none"
    return lambda x: F.gelu(x, approximate=approximate)


def _hard_sigmoid(node: Node) -> Fn:
    alpha, beta = node.get_float("alpha", 0.2), node.get_float("beta", 0.5)
    inner = _clamp(node, 0.0, 1.0)
    return lambda x: inner(alpha * x + beta)


def _leaky(node: Node) -> Fn:
    alpha = node.get_float("alpha", 0.01)
    return lambda x: F.leaky_relu(x, alpha)


def _elu(node: Node) -> Fn:
    alpha = node.get_float("alpha", 1.0)
    return lambda x: F.elu(x, alpha)


def _celu(node: Node) -> Fn:
    alpha = node.get_float("alpha", 1.0)
    return lambda x: F.celu(x, alpha)


def _selu(node: Node) -> Fn:
    alpha, gamma = (
        node.get_float("alpha", 1.67326319217681884765625),
        node.get_float("gamma", 1.05070102214813232421875),
    )
    return lambda x: gamma * torch.where(x > 0, x, alpha * torch.expm1(torch.clamp(x, max=0)))


def _swish(node: Node) -> Fn:
    alpha = node.get_float("alpha", 1.0)
    return lambda x: x * torch.sigmoid(alpha * x)


def _inf(node: Node) -> Fn:
    negative, positive = node.get_int("detect_negative", 1), node.get_int("detect_positive", 1)
    if negative and positive:
        return torch.isinf
    if negative or positive:
        return torch.isneginf if negative else torch.isposinf
    return lambda x: torch.zeros_like(x, dtype=torch.bool)


def _stepped(fn: Fn) -> Rule:
    return Rule(lambda node: lambda x: through(node, x, fn(x)), steps=True)


def _dropout(node: Node) -> Fn:
    """Inference: the identity; a training flag in the file is refused because the answers would be random."""
    with_mask = len(node.proto.output) > 1

    def dropout(
        x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        if training is not None and bool(training) and (ratio is None or float(ratio) > 0):
            raise node.refuse("it drops values at random (training_mode is on)")
        if node.opset < 7 and not node.get_int("is_test"):
            raise node.refuse("it drops values at random (is_test is off)")
        return (x, torch.ones_like(x, dtype=torch.bool)) if with_mask else x

    return dropout


COMPUTED = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def _cast(node: Node) -> Fn:
    return caster(node, node.get_int("to", 1))


def caster(node: Node, elem: int) -> Fn:
    """Cast to ONNX element type `elem`. In straight-through mode integers made from reals stay reals."""
    dtype = node.dtype(elem)
    if elem not in INTEGERS and elem not in COMPUTED:
        raise node.refuse(f"numbers of type {TensorProto.DataType.Name(elem)} have no torch form here")

    def cast(x: Tensor) -> Tensor:
        if dtype == torch.bool and x.dtype != torch.bool:
            return to_bool(node, x)
        if not x.is_floating_point() or dtype.is_floating_point:
            return x if x.dtype == dtype else x.to(dtype)
        whole = torch.trunc(x)
        return through(node, x, whole) if node.straight else _wrap(whole, elem).to(dtype)

    return cast


def _wrap(whole: Tensor, elem: int) -> Tensor:
    if elem not in INT_RANGE or elem in (2, 3):
        return whole
    low, high = INT_RANGE[elem]
    return torch.clamp(whole, low, high)


def _cast_like(node: Node) -> Fn:
    declared = node.elem(1)
    if declared:
        cast = caster(node, declared)
        return lambda x, like: cast(x)
    return lambda x, like: x.to(like.dtype)


def _log_sigmoid(x: Tensor) -> Tensor:
    return F.logsigmoid(x)


def _affine_clip(x: Tensor) -> Tensor:
    return x * torch.clamp(x / 6 + 0.5, 0.0, 1.0)


def _same(node: Node) -> Fn:
    return lambda x: x


UNARY: Mapping[str, Fn] = {
    "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "Asin": torch.asin, "Asinh": torch.asinh,
    "Atan": torch.atan, "Atanh": torch.atanh, "Cos": torch.cos, "Cosh": torch.cosh,
    "Exp": torch.exp, "Log": torch.log, "Neg": torch.neg, "Reciprocal": torch.reciprocal,
    "Sin": torch.sin, "Sinh": torch.sinh, "Sqrt": torch.sqrt, "Tan": torch.tan,
    "Softplus": F.softplus, "Softsign": F.softsign, "Mish": F.mish,
    "HardSwish": _affine_clip, "IsNaN": torch.isnan,
    "LogSigmoid": _log_sigmoid, "Mean": _mean,
}  # fmt: skip
BINARY: Mapping[str, Fn] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor, "PRelu": _prelu,
}  # fmt: skip
BUILT: Mapping[str, Fn] = {
    "BitwiseNot": _bitwise_not, "Div": _div, "BitShift": _shift, "Gelu": _gelu, "HardSigmoid": _hard_sigmoid,
    "LeakyRelu": _leaky, "Elu": _elu, "Celu": _celu, "Selu": _selu,
    "Swish": _swish, "IsInf": _inf, "CastLike": _cast_like, "Identity": _same,
}  # fmt: skip
RULES: Mapping[str, Rule] = {
    **{op: Rule(fixed(fn)) for op, fn in UNARY.items()},
    **{op: _binary(fn) for op, fn in BINARY.items()},
    **{op: Rule(fn) for op, fn in BUILT.items()},
    "Max": _variadic(torch.maximum),
    "Min": _variadic(torch.minimum),
    "Sum": _variadic(torch.add),
    "Pow": Rule(lambda node: _old_broadcast(node, _pow), host=(1,)),
    "Clip": Rule(_clip, host=(1, 2)),
    "Dropout": Rule(_dropout, host=(1, 2)),
    "Cast": Rule(_cast, steps=True),
    "Round": _stepped(torch.round),
    "Floor": _stepped(torch.floor),
    "Ceil": _stepped(torch.ceil),
    **{op: _aligned(rule) for op, rule in COMPARED.items()},
}
