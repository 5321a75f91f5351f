"""Activations as nodes of a graph."""

from __future__ import annotations

import math

import torch

from robusteval.loaders.onnx.certified.builder import Builder, one_image, refused
from robusteval.loaders.onnx.twin.program import Call

_SAME = {"Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Erf": "erf", "HardSwish": "hard_swish"}


def activation(build: Builder, call: Call) -> None:
    """An activation of one value; those that are named otherwise in the file become theirs."""
    op, node, source, out = call.node.op, call.node, build.only(call), build.value_of(call)
    shape = one_image(out.shape)
    if op in _SAME:
        build.put(call, build.add(call, "activation", (source,), shape, kind=_SAME[op]))
    elif op in ("LeakyRelu", "PRelu"):
        _leaky(build, call, source)
    elif op == "Gelu":
        if node.get_str("approximate", "none") != "none":
            raise refused(call, "approximates GELU by tanh, which is not covered")
        build.put(call, build.add(call, "activation", (source,), shape, kind="gelu"))
    elif op == "Swish":
        rate = node.get_float("alpha", 1.0)
        if rate <= 0:
            raise refused(call, "has a rate that is not positive")
        build.put(call, build.add(call, "activation", (source,), shape, kind="silu", rate=rate))
    elif op == "HardSigmoid":
        alpha, beta = (
            torch.full(out.shape, node.get_float(key, default), dtype=torch.float64, device="cpu")
            for key, default in (("alpha", 0.2), ("beta", 0.5))
        )
        ramp = build.add(call, "scale", (source,), shape, scale=alpha, shift=beta, size=beta.abs())
        build.put(call, build.add(call, "activation", (ramp,), shape, kind="clip", low=0.0, high=1.0))
    else:
        _clip(build, call, source)


def _leaky(build: Builder, call: Call, source: int) -> None:
    x, out = build.value(call, 0), build.value_of(call)
    if call.node.op == "LeakyRelu":
        slope = torch.full(x.shape, call.node.get_float("alpha", 0.01), dtype=torch.float64, device="cpu")
    else:
        slope = build.constant(call, 1)
        if 1 < slope.dim() + 1 < x.dim() and slope.numel() == x.shape[1] and x.shape[-1] != len(slope):
            slope = slope.reshape(-1, *[1] * (x.dim() - 2))  # as the twin reads old files
        slope = slope.expand(out.shape).clone()
    if not bool(((slope >= 0) & (slope <= 1)).all()):
        raise refused(call, "has slopes that are not between 0 and 1")
    build.put(call, build.add(call, "activation", (source,), one_image(out.shape), kind="leaky_relu", slope=slope))


def _clip(build: Builder, call: Call, source: int) -> None:
    """Clip, and Max or Min with one constant."""
    op, node = call.node.op, call.node
    low, high = -math.inf, math.inf
    if op == "Clip" and node.opset < 11:
        low, high = node.get_float("min", -math.inf), node.get_float("max", math.inf)
    elif op == "Clip":
        low = _number(build, call, 1, low)
        high = _number(build, call, 2, high)
    elif len(call.ins) == 2:
        low = _number(build, call, 1, low) if op == "Max" else low
        high = _number(build, call, 1, high) if op == "Min" else high
    if math.isnan(low) or math.isnan(high) or low > high:
        raise refused(call, "clips to nothing")
    shape = one_image(build.value_of(call).shape)
    build.put(call, build.add(call, "activation", (source,), shape, kind="clip", low=low, high=high))


def _number(build: Builder, call: Call, place: int, default: float) -> float:
    value = build.value(call, place)
    if value is None:
        return default
    number = build.constant(call, place)
    if number.numel() != 1 or (call.node.op != "Clip" and number.dim() > build.value(call, 0).dim()):
        raise refused(call, "clips each value elsewhere")
    return float(number)
