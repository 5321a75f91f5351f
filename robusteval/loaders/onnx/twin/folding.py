"""The same graph in fewer passes over memory: what scales and shifts channels goes into the weights before it.

An attack asks for gradients by the input alone, and thousands of them, so what a file keeps apart for training is done
once here. Weights are multiplied in float64 and rounded once; answers differ from the file's by rounding, as parity
measures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Node
from robusteval.loaders.onnx.twin.program import Call

_STANDARD = ("", "ai.onnx")
_BY_CHANNEL = ("Conv", "ConvTranspose")


class Affine(NamedTuple):
    """y * scale + shift of the value in a slot; tensors as the file broadcasts them, or [C] along axis 1 for `norm`."""

    slot: int
    scale: Tensor | None
    shift: Tensor | None
    norm: bool = False


def simplified(calls: Sequence[Call], env: list[Any], kept: Collection[int]) -> list[Call]:
    """The calls with what does nothing cut and what is affine folded. env: constants by slot, to which new weights are
    added; kept: slots whose values are asked for by somebody else."""
    calls = _without_idle(calls, env, kept)
    readers = Counter(slot for call in calls for slot in call.ins)
    made: list[Call] = []
    maker: dict[int, int] = {}  # slot -> where in `made` it is computed
    for call in calls:
        affine = _affine(call, env)
        place = None if affine is None else maker.get(affine.slot)
        folded = None
        if affine is not None and place is not None and readers[affine.slot] == 1 and affine.slot not in kept:
            folded = _folded(made[place], affine, call.outs, env)
        if folded is not None and place is not None:
            made[place] = folded
        else:
            place = len(made)
            made.append(call)
        maker[call.outs[0]] = place
    return made


def _without_idle(calls: Sequence[Call], env: Sequence[Any], kept: Collection[int]) -> list[Call]:
    """Without the calls that hand on what they are given."""
    same: dict[int, int] = {}
    left = []
    for entry in calls:
        call = replace(entry, ins=tuple(same.get(slot, slot) for slot in entry.ins))
        if _idle(call, env) and call.outs[0] not in kept:
            same[call.outs[0]] = call.ins[0]
        else:
            left.append(call)
    return left


def _idle(call: Call, env: Sequence[Any]) -> bool:
    node = call.node
    if node.domain not in _STANDARD or len(call.outs) != 1:
        return False
    if node.op == "Dropout":  # its own rule refuses what is not inference
        return len(call.ins) < 3 and (node.opset >= 7 or bool(node.get_int("is_test")))
    return node.op == "Identity"


def _affine(call: Call, env: Sequence[Any]) -> Affine | None:
    """What the call does to a single value, where that is to scale and shift it by constants."""
    node, ins = call.node, call.ins
    if node.domain not in _STANDARD or len(call.outs) != 1:
        return None
    if node.op == "BatchNormalization":
        return _norm(node, ins, env)
    if node.op not in ("Add", "Sub", "Mul", "Div") or len(ins) != 2 or (node.opset < 7 and node.get_int("broadcast")):
        return None
    first, second = (_real(env[slot]) for slot in ins)
    if second is not None and first is None:
        plain = {"Add": (None, second), "Sub": (None, -second), "Mul": (second, None)}
        scale, shift = plain.get(node.op, (second.double().reciprocal(), None))
        return Affine(ins[0], scale, shift)
    if first is not None and second is None and node.op != "Div":
        mirrored = {"Add": (None, first), "Sub": (first.new_tensor(-1.0), first), "Mul": (first, None)}
        return Affine(ins[1], *mirrored[node.op])
    return None


def _norm(node: Node, ins: Sequence[int], env: Sequence[Any]) -> Affine | None:
    live = node.opset >= 14 and node.get_int("training_mode")
    by_place = node.opset < 9 and not node.get_int("spatial", 1)
    constants = [_real(env[slot]) for slot in ins[1:5]]
    if live or by_place or len(ins) < 5:
        return None
    weight, bias, mean, var = constants
    if weight is None or bias is None or mean is None or var is None or weight.dim() != 1:
        return None
    scale = weight.double() / torch.sqrt(var.double() + node.get_float("epsilon", 1e-5))
    return Affine(ins[0], scale, bias.double() - mean.double() * scale, True)


def _real(value: Any) -> Tensor | None:
    return value if isinstance(value, Tensor) and value.is_floating_point() else None


def _folded(call: Call, affine: Affine, outs: tuple[int, ...], env: list[Any]) -> Call | None:
    """The layer with other weights, whose result is that of the affine call; None where it is no such layer."""
    if call.node.domain not in _STANDARD or len(call.outs) != 1 or len(call.ins) < 2:
        return None
    if call.node.op in _BY_CHANNEL:
        return _convolution(call, affine, outs, env)
    if call.fn is F.linear or call.node.op in ("Gemm", "MatMul"):
        return _linear(call, affine, outs, env)
    return None


def _convolution(call: Call, affine: Affine, outs: tuple[int, ...], env: list[Any]) -> Call | None:
    weight, bias = _real(env[call.ins[1]]), _real(env[call.ins[2]]) if len(call.ins) > 2 else None
    if weight is None or weight.dim() < 3 or (bias is None and len(call.ins) > 2 and call.ins[2]):
        return None
    groups = call.node.get_int("group", 1) if call.node.op == "ConvTranspose" else 1
    channels = weight.shape[0] if call.node.op == "Conv" else weight.shape[1] * groups
    by = _vectors(affine, channels, weight.dim(), 0 if affine.norm else weight.dim() - 2)
    if by is None:
        return None
    scale, shift = by
    sides = [1] * (weight.dim() - 2)
    if call.node.op == "Conv":
        wide = weight.double() * scale.reshape(-1, 1, *sides)
    else:
        grouped = weight.double().reshape(groups, -1, *weight.shape[1:])
        wide = (grouped * scale.reshape(groups, 1, -1, *sides)).reshape(weight.shape)
    return _with(call, outs, env, wide, _shifted(bias, scale, shift), weight.dtype)


def _linear(call: Call, affine: Affine, outs: tuple[int, ...], env: list[Any]) -> Call | None:
    """A product with a constant matrix, as F.linear."""
    node, weight = call.node, _real(env[call.ins[1]])
    third = call.ins[2] if len(call.ins) > 2 else 0
    bias = _real(env[third])
    if weight is None or weight.dim() != 2 or (bias is None and third):
        return None
    wide, rank = weight.double(), 1
    if call.fn is not F.linear:
        wide = wide if node.get_int("transB") else wide.t()
    if node.op == "Gemm":
        rank = 2
        if node.get_int("transA"):
            return None
        if call.fn is not F.linear:
            wide = wide * node.get_float("alpha", 1.0)
            bias = None if bias is None else _vector(bias.double() * node.get_float("beta", 1.0), len(wide), 2, 0)
            if bias is None and third:
                return None
    elif affine.norm:
        return None  # its channels are the second axis, which is the last one of two axes only
    by = _vectors(affine, len(wide), rank, 0)
    if by is None:
        return None
    made = _with(call, outs, env, wide * by[0][:, None], _shifted(bias, *by), weight.dtype)
    return None if made is None else replace(made, fn=F.linear)


def _shifted(bias: Tensor | None, scale: Tensor, shift: Tensor) -> Tensor:
    return shift if bias is None else bias.double() * scale + shift


def _with(
    call: Call, outs: tuple[int, ...], env: list[Any], weight: Tensor, bias: Tensor, dtype: torch.dtype
) -> Call | None:
    """The call with these weights, in slots of their own; None where they are not numbers any more."""
    values = [weight.to(dtype).contiguous(), bias.to(dtype).contiguous()]
    if not all(bool(torch.isfinite(value).all()) for value in values):
        return None
    env += values
    return replace(call, ins=(call.ins[0], len(env) - 2, len(env) - 1), outs=outs)


def _vectors(affine: Affine, channels: int, rank: int, behind: int) -> tuple[Tensor, Tensor] | None:
    """Scale and shift as float64 [channels] each, or None where they are not constant over all other axes."""
    ones, nothing = (
        torch.ones(channels, dtype=torch.float64, device="cpu"),
        torch.zeros(channels, dtype=torch.float64, device="cpu"),
    )
    scale = ones if affine.scale is None else _vector(affine.scale, channels, rank, behind)
    shift = nothing if affine.shift is None else _vector(affine.shift, channels, rank, behind)
    return None if scale is None or shift is None else (scale, shift)


def _vector(value: Tensor, channels: int, rank: int, behind: int) -> Tensor | None:
    """A constant as [channels]: the axis of the channels has `behind` axes after it, and a layer's result `rank` in
    all."""
    sizes = list(reversed(value.shape))
    if len(sizes) > rank or any(size != 1 for at, size in enumerate(sizes) if at != behind):
        return None
    if behind < len(sizes) and sizes[behind] not in (1, channels):
        return None
    return value.double().reshape(-1).expand(channels).clone()
