"""Which products ONNX Runtime computes as the file says, where whole numbers stand for reals.

It makes other nodes of quantised ones, and some of these do not compute what the file's nodes do, beyond any rounding
in float32 (seen in ONNX Runtime 1.31, tests/certifiers/test_kernels.py): weights that alone are quantised make it
quantise the image's values to 8 bits as they come; weights and biases that alone are not it quantises itself; and it
takes a quantised bias to have the scale of the products, whatever scale the file gives it. Such nodes are refused.
"""

from __future__ import annotations

from typing import Any

import torch
from onnx import TensorProto
from torch import Tensor

from robusteval.loaders.onnx.certified.builder import Builder, Whole, refused
from robusteval.loaders.onnx.twin.program import Call
from robusteval.loaders.onnx.twin.quant import along

_BYTES = (TensorProto.UINT8, TensorProto.INT8)
_LIMITS = ((0, 255), (-128, 127))
_CLOSE = 2.0**-22  # of a bias's scale and the product that it stands for, both rounded to float32


def behind(build: Builder, place: int, through: tuple[str, ...] = (), padded: bool = False) -> int | None:
    """The node of a dequantised value of which this one is made by selecting and maxima alone; None where there is
    none. through: kinds of activations that may lie between, too; padded: constants may have been added, too."""
    while place not in build.wholes:
        node = build.nodes[place]
        selects = node.op == "gather" and (padded or not bool((node.tensors["index"] < 0).any()))
        if not (selects or node.op == "max" or node.settings.get("kind") in through):
            return None
        (place,) = node.inputs
    return place


def check_product(build: Builder, call: Call, weight: int, bias: int | None = None) -> None:
    """weight, bias: which operands they are. Raises NotCoveredError where ONNX Runtime would compute something else."""
    (place,) = build.dynamic(call)
    source = build.at[call.ins[place]]
    stored, known = call.ins[weight] in build.stored, build.stored.get(call.ins[weight])
    if behind(build, source) is None and stored and "Conv" not in call.node.op:
        raise refused(call, "has weights that alone are quantised: ONNX Runtime then quantises the values too")
    whole = behind(build, source, ("relu", "clip"), padded=True)
    if whole is None:
        return
    if known is None or place != 0:
        raise refused(call, "multiplies quantised values by weights that are not, which ONNX Runtime then quantises")
    quantised, args = known
    elem, zero = _type(quantised, args), build.wholes[whole]
    plain = call.node.get_float("alpha", 1.0) == 1.0 == call.node.get_float("beta", 1.0)
    if elem not in _BYTES or zero.limits not in _LIMITS or quantised.node.get_int("block_size") or not plain:
        raise refused(call, "multiplies other whole numbers than those of 8 bits, each by one scale")
    scale = args[1].double().reshape(-1)
    if scale.numel() > 1 and not _along_results(call, quantised, args[0]):
        raise refused(call, "has weights with scales along another axis than that of its results")
    added = torch.zeros(1, dtype=torch.float64, device="cpu")
    if bias is not None and bias < len(call.ins) and call.ins[bias]:
        added = _check_bias(build, call, bias, zero, scale)
    check_room(call, build.constant(call, weight) / _spread(args[1].double(), quantised, args[0]), added)


def check_room(call: Call, weight: Tensor, bias: Tensor) -> None:
    """That no sum of products leaves 32 bits, in which it would come out as another number. weight: whole numbers of
    one product behind each other in any order, their zero points taken off; bias: whole numbers. Raises
    NotCoveredError."""
    if 255.0 * float(weight.abs().sum(_others(call, weight)).max()) + float(bias.abs().max()) >= 2.0**31:
        raise refused(call, "has sums of products that 32 bits may not hold")


def _others(call: Call, weight: Tensor) -> tuple[int, ...]:
    """The axes over which a product's sums go."""
    turned = call.node.op in ("Gemm", "QGemm") and not call.node.get_int("transB")
    kept = weight.dim() - 1 if turned or "MatMul" in call.node.op else 0
    return tuple(axis for axis in range(weight.dim()) if axis != kept)


def _spread(scale: Tensor, quantised: Call, weight: Tensor) -> Tensor:
    return along(scale, weight.double(), quantised.node.get_int("axis", 1))


def check_sum(build: Builder, call: Call, source: int) -> None:
    """A constant added to a quantised product, which ONNX Runtime makes its bias. Raises NotCoveredError."""
    node = build.nodes[source]
    if node.source == "MatMul" and node.op == "linear" and behind(build, node.inputs[0]) is not None:
        raise refused(
            call, "adds a bias that is not quantised to a quantised product, which ONNX Runtime then quantises"
        )


def _check_bias(build: Builder, call: Call, bias: int, whole: Whole, scale: Tensor) -> Tensor:
    """The whole numbers of a bias."""
    known = build.stored.get(call.ins[bias])
    if known is None:
        raise refused(
            call, "adds a bias that is not quantised to a quantised product, which ONNX Runtime then quantises"
        )
    args = known[1]
    zero = args[2] if len(args) > 2 and args[2] is not None else torch.zeros(1, device="cpu")
    product = whole.scale.reshape(-1) * scale
    near = whole.scale.numel() == 1 and args[1].numel() in (1, product.numel())
    if near:
        ratio = args[1].double().reshape(-1) / product
        near = bool(((ratio - 1).abs() <= _CLOSE).all()) and not bool(zero.any())
    if args[0].dtype != torch.int32 or not near:
        raise refused(call, "has a bias whose scale is not that of its products, as ONNX Runtime takes it to be")
    whole_numbers: Tensor = args[0].double()
    return whole_numbers


def _type(call: Call, args: list[Any]) -> int:
    """The type of the whole numbers that were dequantised; 0 where it is not known."""
    kinds = {torch.uint8: TensorProto.UINT8, torch.int8: TensorProto.INT8}
    return call.node.elem(0) or (call.node.elem(2) if len(args) > 2 else 0) or kinds.get(args[0].dtype, 0)


def _along_results(call: Call, quantised: Call, weight: Tensor) -> bool:
    axis = quantised.node.get_int("axis", 1) % weight.dim()
    if call.node.op == "Conv":
        return axis == 0
    if call.node.op == "Gemm":
        return axis == (0 if call.node.get_int("transB") else 1)
    return call.node.op == "MatMul" and axis == weight.dim() - 1
