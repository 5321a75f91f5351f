"""Resize and Upsample, axis by axis: a choice of rows for nearest, a small weight matrix for linear and cubic."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, check_size, numbers


@dataclass(frozen=True)
class Axis:
    """One axis to resize: sizes, scale, and the part of it that tf_crop_and_resize looks at."""

    old: int
    new: int
    scale: float
    start: float = 0.0
    end: float = 1.0


@dataclass(frozen=True)
class Style:
    """How the file wants values between grid points."""

    mode: str
    transform: str
    nearest: str
    cubic: float
    exclude_outside: bool
    antialias: bool
    fill: float


def _positions(axis: Axis, transform: str) -> Any:
    """Where each new point lies on the old grid; in float32 like ONNX Runtime, whose ties fall that way."""
    at = np.arange(axis.new, dtype=np.float32)
    s, old, new = np.float32(axis.scale), axis.old, axis.new
    if transform == "asymmetric":
        return at / s
    if transform == "align_corners":
        return at * np.float32(old - 1) / np.float32(new - 1) if new > 1 else np.zeros_like(at)
    if transform == "pytorch_half_pixel" and new <= 1:
        return np.zeros_like(at)
    if transform == "tf_half_pixel_for_nn":
        return (at + np.float32(0.5)) / s
    if transform == "tf_crop_and_resize":
        if new > 1:
            return np.float32(axis.start * (old - 1)) + at * np.float32((axis.end - axis.start) * (old - 1) / (new - 1))
        return np.full_like(at, 0.5 * (axis.start + axis.end) * (old - 1))
    half = (at + np.float32(0.5)) / s - np.float32(0.5)
    if transform == "half_pixel_symmetric":
        adjust = np.float32(new) / (s * np.float32(old))
        return half + np.float32(old / 2) * (1 - adjust)
    return half


def _nearest(at: Any, axis: Axis, how: str) -> Any:
    if how == "simple":  # opsets before 11
        index = np.ceil(at) if axis.scale < 1 else np.floor(at)
    elif how == "floor":
        index = np.floor(at)
    elif how == "ceil":
        index = np.ceil(at)
    elif how == "round_prefer_ceil":
        index = np.floor(at + np.float32(0.5))
    else:
        index = np.ceil(at - np.float32(0.5))
    return np.clip(index, 0, axis.old - 1).astype(np.int64)


def _kernel(x: Any, mode: str, a: float) -> Any:
    x = np.abs(x)
    if mode == "linear":
        return np.clip(1 - x, 0, None)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def weights(axis: Axis, style: Style) -> Any:
    """The matrix [new, old] of one axis for linear and cubic interpolation, float64."""
    at = _positions(axis, style.transform).astype(np.float64)
    shrink = min(1.0, axis.scale) if style.antialias else 1.0
    support = (1.0 if style.mode == "linear" else 2.0) / shrink
    matrix = np.zeros((axis.new, axis.old))
    rows = np.arange(axis.new)
    if style.mode == "linear" and not style.antialias:
        at = np.clip(at, 0, axis.old - 1)
    for step in range(math.floor(-support), math.ceil(support) + 1):
        index = np.floor(at) + step
        weight = _kernel((index - at) * shrink, style.mode, style.cubic)
        inside = (index >= 0) & (index < axis.old)
        if style.exclude_outside:
            weight = np.where(inside, weight, 0.0)
        np.add.at(matrix, (rows, np.clip(index, 0, axis.old - 1).astype(np.int64)), weight)
    return matrix / matrix.sum(1, keepdims=True)


def _apply(x: Tensor, at: int, axis: Axis, style: Style, cache: dict[tuple[object, ...], Tensor]) -> Tensor:
    key = (axis, x.dtype, x.device)
    if key not in cache:
        if len(cache) > 32:  # a graph of many sizes: start again rather than grow
            cache.clear()
        check_size([axis.new, 1 if style.mode == "nearest" else axis.old], "Resize")
        with torch.inference_mode(False):  # it is kept, and must be fit for later backward passes
            if style.mode == "nearest":
                matrix = torch.from_numpy(_nearest(_positions(axis, style.transform), axis, style.nearest))
            else:
                matrix = torch.from_numpy(weights(axis, style)).to(x.dtype)
            cache[key] = matrix.to(x.device)
    if style.mode == "nearest":
        return x.index_select(at, cache[key])
    if at == x.dim() - 1:
        return x @ cache[key].T
    return (cache[key] @ x.movedim(at, -2)).movedim(-2, at)


def _outside(x: Tensor, at: int, axis: Axis, style: Style) -> Tensor:
    where = _positions(axis, style.transform)
    bad = torch.from_numpy((where < 0) | (where > axis.old - 1)).to(x.device)
    shape = [-1 if i == at else 1 for i in range(x.dim())]
    return torch.where(bad.reshape(shape), torch.full_like(x, style.fill), x)


def _resize_by(style: Style) -> Fn:
    cache: dict[tuple[object, ...], Tensor] = {}

    def run(x: Tensor, todo: list[tuple[int, Axis]]) -> Tensor:
        whole = not x.is_floating_point()
        out = x.to(torch.float64) if whole and style.mode != "nearest" else x
        for at, axis in todo:
            if axis.old == axis.new and axis.scale == 1.0 and style.transform != "tf_crop_and_resize":
                continue
            check_size([*out.shape[:at], axis.new, *out.shape[at + 1 :]], "Resize")
            out = _apply(out, at, axis, style, cache)
        if style.transform == "tf_crop_and_resize":
            for at, axis in todo:
                out = _outside(out, at, axis, style)
        return out.to(x.dtype) if whole else out

    return run


def _resize(node: Node) -> Fn:
    opset = node.opset
    mode = node.get_str("mode", "nearest")
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(mode, mode)
    style = Style(
        mode=mode,
        transform=node.get_str("coordinate_transformation_mode", "half_pixel") if opset >= 11 else "asymmetric",
        nearest=node.get_str("nearest_mode", "round_prefer_floor") if opset >= 11 else "simple",
        cubic=node.get_float("cubic_coeff_a", -0.75),
        exclude_outside=bool(node.get_int("exclude_outside")),
        antialias=bool(node.get_int("antialias")),
        fill=node.get_float("extrapolation_value", 0.0),
    )
    axes_attr, policy = node.get_ints("axes"), node.get_str("keep_aspect_ratio_policy", "stretch")
    run = _resize_by(style)

    def resize(
        x: Tensor, roi: Tensor | None = None, scales: Tensor | None = None, sizes: Tensor | None = None
    ) -> Tensor:
        if opset < 11:
            roi, scales = None, roi
        axes = [a % x.dim() for a in axes_attr] if axes_attr else list(range(x.dim()))
        given = [float(s) for s in numbers(scales)] if scales is not None and scales.numel() else None
        targets = [int(n) for n in numbers(sizes)] if given is None and sizes is not None else None
        old = [x.shape[a] for a in axes]
        if targets is not None:
            factor = [w / o for w, o in zip(targets, old, strict=True)]
            if policy != "stretch":
                one = min(factor) if policy == "not_larger" else max(factor)
                factor = [one] * len(axes)
                targets = [math.floor(one * o + 0.5) for o in old]
        else:
            factor = given or [1.0] * len(axes)
            targets = [math.floor(np.float32(o) * np.float32(f)) for o, f in zip(old, factor, strict=True)]
        edges = (
            numbers(roi) if roi is not None and roi.numel() == 2 * len(axes) else [0.0] * len(axes) + [1.0] * len(axes)
        )
        todo = [
            (at, Axis(o, w, f, edges[i], edges[i + len(axes)]))
            for i, (at, o, w, f) in enumerate(zip(axes, old, targets, factor, strict=True))
        ]
        out: Tensor = run(x, todo)
        return out

    return resize


def _upsample(node: Node) -> Fn:
    mode = {"bilinear": "linear", "trilinear": "linear"}.get(
        node.get_str("mode", "nearest"), node.get_str("mode", "nearest")
    )
    run = _resize_by(Style(mode, "asymmetric", "floor", -0.75, False, False, 0.0))
    attr = node.get_floats("scales")
    if attr is None and "height_scale" in node.attrs:
        attr = [1.0, 1.0, node.get_float("height_scale"), node.get_float("width_scale")]

    def upsample(x: Tensor, scales: Tensor | None = None) -> Tensor:
        factors = attr if scales is None else [float(s) for s in numbers(scales)]
        if factors is None:
            raise node.refuse("no scales are given")
        todo = [(i, Axis(n, math.floor(n * f), f)) for i, (n, f) in enumerate(zip(x.shape, factors, strict=True))]
        out: Tensor = run(x, todo)
        return out

    return upsample


RULES: Mapping[str, Rule] = {
    "Resize": Rule(_resize, host=(1, 2, 3)),
    "Upsample": Rule(_upsample, host=(1,)),
}
