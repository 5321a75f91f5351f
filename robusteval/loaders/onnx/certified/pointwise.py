"""Sums, products, normalisations, matrix products and activations as nodes of a graph."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from robusteval.contracts.certificates.graph import Node
from robusteval.loaders.onnx.certified.builder import Builder, numbers, one_image, refused
from robusteval.loaders.onnx.certified.kernels import check_product, check_sum
from robusteval.loaders.onnx.twin.program import Call

_HALF = 0.5


def gemm(build: Builder, call: Call) -> None:
    """alpha x B' + beta C with constant B and C."""
    node, source, x = call.node, build.only(call), build.value(call, 0)
    if node.get_int("transA") or x.dim() != 2 or x.shape[0] != 1:
        raise refused(call, "is no product of one image with a matrix")
    check_product(build, call, 1, 2)
    weight = build.constant(call, 1)
    weight = (weight if node.get_int("transB") else weight.t()) * node.get_float("alpha", 1.0)
    bias = torch.zeros(len(weight), dtype=torch.float64, device="cpu")
    if len(call.ins) > 2 and call.ins[2]:
        bias = bias + (build.constant(call, 2) * node.get_float("beta", 1.0)).reshape(-1)
    build.put(call, build.add(call, "linear", (source,), (len(weight),), weight=weight, bias=bias))


def matmul(build: Builder, call: Call) -> None:
    """A product with a constant matrix on either side."""
    dynamic, out = build.dynamic(call), build.value_of(call)
    if len(dynamic) != 1:
        raise refused(call, "multiplies values that both depend on the image")
    x, weight = build.value(call, dynamic[0]), build.constant(call, 1 - dynamic[0])
    source = build.at[call.ins[dynamic[0]]]
    check_product(build, call, 1 - dynamic[0])
    if weight.dim() != 2 or (dynamic == [1] and x.dim() < 2):
        raise refused(call, "is no product with one matrix")
    if dynamic == [1]:  # W x is the transpose of x' W'
        places = numbers(x.shape).transpose(-1, -2)
        source, weight = build.gather(call, source, places), weight.t()
        shape = (*places.shape[:-1], weight.shape[1])
    else:
        shape = tuple(out.shape)
    bias = torch.zeros(weight.shape[1], dtype=torch.float64, device="cpu")
    place = build.add(call, "linear", (source,), one_image(shape), weight=weight.t(), bias=bias)
    if dynamic == [1]:
        place = build.gather(call, place, numbers(shape).transpose(-1, -2))
    build.put(call, place)


def batch_norm(build: Builder, call: Call) -> None:
    """BatchNormalization of inference, with one pair of numbers a channel."""
    node, source, x = call.node, build.only(call), build.value(call, 0)
    live = node.get_int("training_mode") if node.opset >= 14 else (node.opset < 7 and not node.get_int("is_test"))
    weight, bias, mean, var = (build.constant(call, place) for place in range(1, 5))
    if live or weight.dim() != 1 or x.dim() < 2 or weight.numel() != x.shape[1]:
        raise refused(call, "is no normalisation with constants a channel")
    scale = weight / torch.sqrt(var + node.get_float("epsilon", 1e-5))
    sides = [1] * (x.dim() - 2)
    parts = [v.reshape(1, -1, *sides) for v in (scale, bias - mean * scale, bias.abs() + (mean * scale).abs())]
    build.put(call, scaled(build, call, source, x, *parts))


def arithmetic(build: Builder, call: Call) -> None:
    """Add, Sub, Sum, Mean, Mul, Div and Neg: with constants a scale, of several values a sum."""
    op, dynamic, out = call.node.op, build.dynamic(call), build.value_of(call)
    if call.node.opset < 7 and call.node.get_int("broadcast"):
        raise refused(call, "broadcasts as old files do")
    if op == "Neg":
        build.put(call, scaled(build, call, build.only(call), out, -one(), _zero(), _zero()))
    elif op == "Mul":
        _product(build, call, dynamic)
    elif op == "Div":
        if dynamic != [0]:
            raise refused(call, "divides by what depends on the image")
        factor = 1.0 / build.constant(call, 1)
        source = build.spread(call, build.only(call), build.value(call, 0), out.shape)
        build.put(call, scaled(build, call, source, out, factor, _zero(), _zero()))
    else:
        build.put(call, _total(build, call, dynamic))


def _total(build: Builder, call: Call, dynamic: list[int]) -> int:
    op, out = call.node.op, build.value_of(call)
    signs = [-1 if op == "Sub" and place == 1 else 1 for place in range(len(call.ins))]
    places = [build.spread(call, build.at[call.ins[p]], build.value(call, p), out.shape) for p in dynamic]
    shift, size = _zero(), _zero()
    for place, sign in enumerate(signs):
        if place not in dynamic:
            shift = shift + sign * build.constant(call, place)
            size = size + build.constant(call, place).abs()
    total = places[0]
    if len(dynamic) < len(call.ins):
        check_sum(build, call, build.at[call.ins[dynamic[0]]])
    scale = float(signs[dynamic[0]])
    if len(places) > 1:
        own = [signs[place] for place in dynamic]
        total, scale = build.add(call, "add", places, one_image(out.shape), signs=own), 1.0
    if op == "Mean":
        scale, shift, size = scale / len(signs), shift / len(signs), size / len(signs)
    if scale == 1.0 and not bool(size.any()):
        return total
    return scaled(build, call, total, out, scale * one(), shift, size)


def _product(build: Builder, call: Call, dynamic: list[int]) -> None:
    out = build.value_of(call)
    if len(dynamic) == 1:
        factor = build.constant(call, 1 - dynamic[0])
        source = build.spread(call, build.at[call.ins[dynamic[0]]], build.value(call, dynamic[0]), out.shape)
        build.put(call, scaled(build, call, source, out, factor, _zero(), _zero()))
        return
    first, second = (build.at[slot] for slot in call.ins[:2])
    for x, gate in ((first, second), (second, first)):
        found = _gate(build, x, gate)
        if found is not None:
            gain, settings = found
            place = build.add(call, "activation", (x,), build.nodes[x].shape, **settings)
            build.put(call, scaled(build, call, place, out, gain * one(), _zero(), _zero()))
            return
    raise refused(call, "multiplies values that both depend on the image")


def _gate(build: Builder, x: int, gate: int) -> tuple[float, dict[str, object]] | None:
    """(factor, activation) where x times the gate is GELU, SiLU or HardSwish of x times that factor; else None."""
    chain: list[Node] = []
    while gate != x and len(chain) < 3:
        node = build.nodes[gate]
        if node.op not in ("scale", "activation"):
            return None
        chain.insert(0, node)
        gate = node.inputs[0]
    if gate != x:
        return None
    plain = [_plain(node) for node in chain]
    kinds = [node.settings.get("kind") for node in chain]
    at = next((place for place, kind in enumerate(kinds) if kind is not None), -1)
    if at < 0 or any(kind is not None for kind in kinds[at + 1 :]) or at > 1:
        return None
    before = plain[0] if at == 1 else (1.0, 0.0)
    after = (plain[at + 1] if len(chain) > at + 1 else (1.0, 0.0)) if len(chain) <= at + 2 else None
    if before is None or after is None:
        return None
    return _named(kinds[at], chain[at], before, after)


def _named(
    kind: object, node: Node, before: tuple[float, float], after: tuple[float, float]
) -> tuple[float, dict[str, object]] | None:
    (rate, start), (factor, shift) = before, after
    if kind == "erf" and start == 0.0 and abs(rate * math.sqrt(2) - 1) < 1e-6 and factor == shift:
        # the rate is 1 / sqrt 2 in float32: what that changes is less than LIBRARY allows
        return factor / _HALF, {"kind": "gelu"}
    if kind == "sigmoid" and start == 0.0 and shift == 0.0 and rate > 0:
        return factor, {"kind": "silu", "rate": rate}
    low, high = node.settings.get("low"), node.settings.get("high")
    six = (rate, start, low, high, factor * 6, shift) == (1.0, 3.0, 0.0, 6.0, 1.0, 0.0)
    sixth = abs(factor - 1 / 6) < 1e-7 and (rate, start, low, high, shift) == (1.0, 3.0, 0.0, 6.0, 0.0)
    one = abs(rate - 1 / 6) < 1e-7 and (start, low, high, factor, shift) == (_HALF, 0.0, 1.0, 1.0, 0.0)
    return (1.0, {"kind": "hard_swish"}) if kind == "clip" and (six or sixth or one) else None


def _plain(node: Node) -> tuple[float, float] | None:
    """(scale, shift) where they are the same everywhere."""
    if node.op != "scale":
        return None
    scale, shift = node.tensors["scale"], node.tensors["shift"]
    if not scale.numel() or bool((scale != scale.flatten()[0]).any()) or bool((shift != shift.flatten()[0]).any()):
        return None
    return float(scale.flatten()[0]), float(shift.flatten()[0])


def scaled(build: Builder, call: Call, source: int, like: Tensor, scale: Tensor, shift: Tensor, size: Tensor) -> int:
    """A scale node in the shape of `like`, of constants that broadcast to it."""
    full = {
        key: value.expand(like.shape).clone() for key, value in (("scale", scale), ("shift", shift), ("size", size))
    }
    return build.add(call, "scale", (source,), one_image(like.shape), **full)


def one() -> Tensor:
    """The number 1."""
    return torch.ones((), dtype=torch.float64, device="cpu")


def _zero() -> Tensor:
    return torch.zeros((), dtype=torch.float64, device="cpu")
