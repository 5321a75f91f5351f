"""Whole numbers that stand for reals: quantising, and what computes with them.

round(x / s) + z, clipped to [low, high], becomes a `scale` to x / s + z - low, a `relu`, which is the lower end of the
clipping, and a `round` to [0, high - low], behind which low comes back. So certifiers treat the lower end, where a
quantiser often is a ReLU too, as every ReLU.
"""

from __future__ import annotations

from onnx import TensorProto
from torch import Tensor

from robusteval.loaders.onnx.certified.builder import Builder, Whole, one_image, refused
from robusteval.loaders.onnx.certified.kernels import behind, check_room
from robusteval.loaders.onnx.certified.pointwise import one, scaled
from robusteval.loaders.onnx.certified.windows import convolved
from robusteval.loaders.onnx.twin.node import INT_RANGE
from robusteval.loaders.onnx.twin.program import Call
from robusteval.loaders.onnx.twin.quant import along

_BYTES = {TensorProto.UINT8, TensorProto.INT8}
_SINGLE = {0, TensorProto.FLOAT}
_FEW_BITS = {*_BYTES, TensorProto.UINT16, TensorProto.INT16}


def quantise(build: Builder, call: Call) -> None:
    """QuantizeLinear. Numbers that were quantised in the same way just before stay as they are; if in another way, ONNX
    Runtime makes one step of both, which is not what the file says."""
    scale, zero, limits = _parameters(build, call, 1, 2)
    source = build.only(call)
    before = behind(build, source, through=("relu", "clip"))
    if before is not None and not build.wholes[before].fits(scale, zero, limits):
        raise refused(call, "quantises once more what was quantised, in another way")
    start = behind(build, source)
    again = None if start is None else _again(build, source, start)
    build.put(call, _quantised(build, call, source, scale, zero, limits) if again is None else again)


def dequantise(build: Builder, call: Call) -> None:
    """DequantizeLinear."""
    scale, zero, limits = _parameters(build, call, 1, 2, of=0)
    source = build.only(call)
    place = scaled(build, call, source, build.value_of(call), scale, -zero * scale, (zero * scale).abs())
    build.wholes[place] = Whole(source, scale, zero, limits)
    build.put(call, place)


def dynamic(_: Builder, call: Call) -> None:
    """What no bound here encloses."""
    raise refused(call, "takes its scale from the range of each image's values")


def rounded(build: Builder, call: Call) -> None:
    """Round, to even at a half; proofs hold for either way."""
    shape = one_image(build.value_of(call).shape)
    settings = {"kind": "round", "low": -float("inf"), "high": float("inf")}
    build.put(call, build.add(call, "activation", (build.only(call),), shape, **settings))


def qlinear_conv(build: Builder, call: Call) -> None:
    """QLinearConv: whole numbers, convolved, and quantised again."""
    source, x = _shifted(build, call, 0, (1, 2)), build.value(call, 0)
    factor = build.constant(call, 1).reshape(-1)
    weight, scale = _weight(build, call, 3, 0)
    added = _bias(build, call, 8)
    check_room(call, weight, added)
    bias = added * (factor * scale) if len(call.ins) > 8 and call.ins[8] else None
    shape = [-1, *[1] * (weight.dim() - 1)]
    place = convolved(build, call, source, x, weight * (factor * scale).reshape(shape), bias)
    build.put(call, _quantised(build, call, place, *_parameters(build, call, 6, 7)))


def qlinear_matmul(build: Builder, call: Call) -> None:
    """QLinearMatMul with a constant matrix on the right."""
    source = _shifted(build, call, 0, (1, 2))
    weight, scale = _weight(build, call, 3, 1)
    check_room(call, weight, _bias(build, call, -1))
    place = _product(build, call, source, weight.t() * (build.constant(call, 1).reshape(-1) * scale).reshape(-1, 1))
    build.put(call, _quantised(build, call, place, *_parameters(build, call, 6, 7)))


def qgemm(build: Builder, call: Call) -> None:
    """QGemm of ONNX Runtime, whose result is quantised where the node says to what."""
    node, turned = call.node, call.node.get_int("transB")
    if node.get_int("transA") or node.get_float("alpha", 1.0) != 1.0:
        raise refused(call, "is no product of one image with a matrix")
    source = _shifted(build, call, 0, (1, 2))
    weight, scale = _weight(build, call, 3, 0 if turned else 1)
    factor, added = build.constant(call, 1).reshape(-1) * scale, _bias(build, call, 6)
    check_room(call, weight, added)
    weight = (weight if turned else weight.t()) * factor.reshape(-1, 1)
    bias = (added * factor).reshape(-1) if len(call.ins) > 6 and call.ins[6] else None
    place = _product(build, call, source, weight, bias)
    if len(call.ins) > 7 and call.ins[7]:
        place = _quantised(build, call, place, *_parameters(build, call, 7, 8))
    build.put(call, place)


def conv_integer(build: Builder, call: Call) -> None:
    """ConvInteger, whose sums are exact."""
    source, x = _shifted(build, call, 0, (-1, 2)), build.value(call, 0)
    weight = build.constant(call, 1) - _zero(build, call, 1, 3, 0)
    check_room(call, weight, _bias(build, call, -1))
    build.put(call, convolved(build, call, source, x, weight, None))


def matmul_integer(build: Builder, call: Call) -> None:
    """MatMulInteger with a constant matrix on the right."""
    source = _shifted(build, call, 0, (-1, 2))
    weight = build.constant(call, 1) - _zero(build, call, 1, 3, -1)
    check_room(call, weight, _bias(build, call, -1))
    build.put(call, _product(build, call, source, weight.t()))


def _quantised(build: Builder, call: Call, source: int, scale: Tensor, zero: Tensor, limits: tuple[int, int]) -> int:
    """The node of the whole numbers."""
    (low, high), like = limits, build.value_of(call)
    shape = one_image(like.shape)
    sizes = zero.abs() + abs(low)
    place = scaled(build, call, source, like, 1 / scale, zero - low, sizes)
    if not (_rises_from_zero(build, source) and bool((zero == low).all())):
        place = build.add(call, "activation", (place,), shape, kind="relu")
    place = build.add(call, "activation", (place,), shape, kind="round", low=0.0, high=float(high - low))
    return place if low == 0 else scaled(build, call, place, like, one(), one() * low, one() * abs(low))


def _rises_from_zero(build: Builder, place: int) -> bool:
    """Whether a value is never negative, as far as its own node says."""
    node = build.nodes[place]
    while node.op == "gather" and not bool((node.tensors["index"] < 0).any()):
        node = build.nodes[node.inputs[0]]
    kind = node.settings.get("kind")
    return kind == "relu" or (kind == "clip" and float(node.settings["low"]) == 0.0)


def _again(build: Builder, source: int, start: int) -> int:
    """The whole numbers of a dequantised value, through the nodes between `start` and `source` that only select."""
    chain = []
    while source != start:
        chain.append(build.nodes[source])
        (source,) = build.nodes[source].inputs
    place = build.wholes[start].source
    for node in reversed(chain):
        build.nodes.append(
            type(node)(node.op, (place,), node.shape, node.tensors, node.settings, node.name, node.source)
        )
        place = len(build.nodes) - 1
    return place


def _parameters(
    build: Builder, call: Call, scale_at: int, zero_at: int, of: int = -1
) -> tuple[Tensor, Tensor, tuple[int, int]]:
    """(scale, zero point, limits), the first two broadcast to the call's result. of: the operand whose type the limits
    are, where no zero point says it. Raises NotCoveredError."""
    node, like = call.node, build.value_of(call)
    elem = node.elem(zero_at) or (node.elem(of) if of >= 0 else node.get_int("output_dtype")) or TensorProto.UINT8
    halves = {node.elem(scale_at), node.get_int("precision"), node.get_int("output_dtype") if of >= 0 else 0} - _SINGLE
    if halves or node.get_int("block_size") or elem not in (_FEW_BITS if of < 0 else {*_FEW_BITS, TensorProto.INT32}):
        raise refused(call, "quantises in blocks, in half precision, or to other numbers than those of 8 or 16 bits")
    axis = node.get_int("axis", 1) if node.op in ("QuantizeLinear", "DequantizeLinear") else _channels(call, like)
    scale = build.constant(call, scale_at)
    given = zero_at < len(call.ins) and call.ins[zero_at]
    zero = build.constant(call, zero_at) if given else scale * 0
    if not bool((scale > 0).all()):
        raise refused(call, "has scales that are not positive")
    limits = INT_RANGE.get(elem, (-(2**31), 2**31 - 1))
    return along(scale, like, axis).double(), along(zero, like, axis).double(), limits


def _channels(call: Call, like: Tensor) -> int:
    return 1 if "Conv" in call.node.op else like.dim() - 1


def _shifted(build: Builder, call: Call, place: int, more: tuple[int, int]) -> int:
    """The node of an operand without its zero point. more: where scale and zero point are, -1: nowhere; both are one
    number."""
    if build.dynamic(call) != [place]:
        raise refused(call, "has weights, scales or zero points that depend on the image")
    x, source = build.value(call, place), build.at[call.ins[place]]
    for other in more:
        if 0 <= other < len(call.ins) and call.ins[other] and build.constant(call, other).numel() != 1:
            raise refused(call, "has more than one scale or zero point for its input")
    at = more[1]
    if at >= len(call.ins) or not call.ins[at]:
        return source
    zero = build.constant(call, at).reshape(())
    return source if float(zero) == 0.0 else scaled(build, call, source, x, one(), -zero, zero.abs())


def _bias(build: Builder, call: Call, place: int) -> Tensor:
    """A constant bias in whole numbers; one 0 where there is none, or place is -1."""
    given = 0 <= place < len(call.ins) and call.ins[place]
    return build.constant(call, place) if given else one() * 0


def _weight(build: Builder, call: Call, place: int, axis: int) -> tuple[Tensor, Tensor]:
    """(constant weights without zero point, their scales [1 or O]); scale and zero point come behind them."""
    scale = build.constant(call, place + 1).reshape(-1)
    return build.constant(call, place) - _zero(build, call, place, place + 2, axis), scale


def _zero(build: Builder, call: Call, place: int, at: int, axis: int) -> Tensor:
    weight = build.constant(call, place)
    if at >= len(call.ins) or not call.ins[at]:
        return weight.new_zeros(())
    return along(build.constant(call, at), weight, axis).double()


def _product(build: Builder, call: Call, source: int, weight: Tensor, bias: Tensor | None = None) -> int:
    if weight.dim() != 2:
        raise refused(call, "is no product with one matrix")
    bias = weight.new_zeros(len(weight)) if bias is None else bias.expand(len(weight)).clone()
    shape = one_image(build.value_of(call).shape)
    return build.add(call, "linear", (source,), shape, weight=weight, bias=bias)
