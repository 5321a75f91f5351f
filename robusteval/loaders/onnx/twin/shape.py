"""Operators that move, cut and shape tensors, and those that make tensors from numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule, check_size, numbers


def axes_of(node: Node, given: Tensor | None, key: str = "axes") -> list[int] | None:
    """Axes from the input of newer opsets or from the attribute of older ones."""
    return [int(i) for i in numbers(given)] if given is not None else node.get_ints(key)


def _reshape(node: Node) -> Fn:
    attr, allow_zero = node.get_ints("shape"), node.get_int("allowzero")

    def reshape(x: Tensor, shape: Tensor | None = None) -> Tensor:
        sizes = attr if shape is None or attr is not None else shape.tolist()
        if sizes is None:
            raise node.refuse("no shape is given")
        if 0 in sizes and not allow_zero:
            sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
        return x.reshape(sizes)

    return reshape


def _flatten(node: Node) -> Fn:
    axis = node.get_int("axis", 1)

    def flatten(x: Tensor) -> Tensor:
        at = axis if axis >= 0 else axis + x.dim()
        return x.reshape(math.prod(x.shape[:at]), math.prod(x.shape[at:]))

    return flatten


def _transpose(node: Node) -> Fn:
    perm = node.get_ints("perm")
    return lambda x: x.permute(perm if perm is not None else tuple(range(x.dim() - 1, -1, -1)))


def _squeeze(node: Node) -> Fn:
    def squeeze(x: Tensor, given: Tensor | None = None) -> Tensor:
        axes = axes_of(node, given)
        return x.squeeze() if axes is None else x.squeeze(tuple(axes))

    return squeeze


def _unsqueeze(node: Node) -> Fn:
    def unsqueeze(x: Tensor, given: Tensor | None = None) -> Tensor:
        axes = axes_of(node, given) or []
        rank = x.dim() + len(axes)
        for axis in sorted(a % rank for a in axes):
            x = x.unsqueeze(axis)
        return x

    return unsqueeze


def _concat(node: Node) -> Fn:
    axis = node.get_int("axis", 1)
    return lambda *xs: torch.cat(xs, axis)


def _split(node: Node) -> Fn:
    axis, attr, outputs = node.get_int("axis"), node.get_ints("split"), len(node.proto.output)
    pieces = node.get_int("num_outputs", outputs)

    def split(x: Tensor, given: Tensor | None = None) -> tuple[Tensor, ...]:
        sizes = axes_of(node, given, "split") if given is not None else attr
        if sizes is None:
            each = -(-x.shape[axis] // pieces)
            sizes = [max(0, min(each, x.shape[axis] - i * each)) for i in range(pieces)]
        return torch.split(x, sizes, axis)

    return split


def _slice(node: Node) -> Fn:
    starts0, ends0, axes0 = node.get_ints("starts"), node.get_ints("ends"), node.get_ints("axes")

    def cut(
        x: Tensor,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
        axes: Tensor | None = None,
        strides: Tensor | None = None,
    ) -> Tensor:
        first = numbers(starts) if starts is not None else starts0 or []
        last = numbers(ends) if ends is not None else ends0 or []
        where = numbers(axes) if axes is not None else axes0 or list(range(len(first)))
        step = numbers(strides) if strides is not None else [1] * len(first)
        for axis, a, b, s in zip(where, first, last, step, strict=True):
            x = _slice_axis(x, int(axis), int(a), int(b), int(s))
        return x

    return cut


def _slice_axis(x: Tensor, axis: int, start: int, end: int, step: int) -> Tensor:
    n = x.shape[axis]
    if step > 0:
        start = max(0, min(n, start + n if start < 0 else start))
        end = max(start, min(n, end + n if end < 0 else end))
        index = [slice(None)] * (axis % x.dim()) + [slice(start, end, step)]
        return x[tuple(index)]
    start = max(-1, min(n - 1, start + n if start < 0 else start))
    end = max(-1, min(n - 1, end + n if end < 0 else end))
    return x.index_select(axis, torch.arange(start, end, step, device=x.device))


def _pad(node: Node) -> Fn:
    mode, attr, value0 = (
        node.get_str("mode", "constant"),
        node.get_ints("pads") or node.get_ints("paddings"),
        node.get_float("value"),
    )

    def pad(x: Tensor, given: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None) -> Tensor:
        pads = [int(p) for p in numbers(given)] if given is not None else attr or []
        fill = numbers(value)[0] if value is not None and value.numel() else value0
        where = [int(a) % x.dim() for a in numbers(axes)] if axes is not None else list(range(x.dim()))
        half = len(pads) // 2
        both = [(0, 0)] * x.dim()
        for i, axis in enumerate(where):
            both[axis] = (pads[i], pads[i + half])
        return pad_all(x, both, mode, fill)

    return pad


def pad_all(x: Tensor, both: list[tuple[int, int]], mode: str, fill: float) -> Tensor:
    """Pads (or, with negative numbers, cuts) every axis; modes are those of the ONNX Pad operator."""
    for axis, (a, b) in enumerate(both):
        if a < 0 or b < 0:
            x = x.narrow(axis, max(0, -a), x.shape[axis] - max(0, -a) - max(0, -b))
    both = [(max(0, a), max(0, b)) for a, b in both]
    check_size([n + a + b for n, (a, b) in zip(x.shape, both, strict=True)], "Pad")
    if mode == "constant":
        flat = [p for ab in reversed(both) for p in ab]
        return F.pad(x, flat, value=fill) if any(flat) else x
    for axis, (a, b) in enumerate(both):
        if a or b:
            x = x.index_select(axis, _pad_index(x.shape[axis], a, b, mode).to(x.device))
    return x


def _pad_index(n: int, a: int, b: int, mode: str) -> Tensor:
    at = torch.arange(-a, n + b, device="cpu")
    if mode == "edge":
        return at.clamp(0, n - 1)
    if mode == "wrap":
        return at % n
    period = max(1, 2 * (n - 1))  # reflect: the border itself is not repeated
    at = at.abs() % period
    return torch.where(at >= n, period - at, at)


def _expand(x: Tensor, shape: Tensor) -> Tensor:
    sizes = list(x.shape)
    target = shape.tolist()
    sizes = [1] * (len(target) - len(sizes)) + sizes
    for i in range(1, len(target) + 1):
        sizes[-i] = max(sizes[-i], target[-i]) if target[-i] and sizes[-i] else 0
    check_size(sizes, "Expand")
    return x.expand(sizes)


def _tile(node: Node) -> Fn:
    def tile(x: Tensor, repeats: Tensor, axis: Tensor | None = None) -> Tensor:
        times = numbers(repeats)
        if axis is not None:  # opset 1: a number of tiles and the one axis that they go along
            at = int(numbers(axis)[0])
            times = [int(times[0]) if i == at else 1 for i in range(x.dim())]
        check_size([n * int(t) for n, t in zip(x.shape, times, strict=True)], "Tile")
        return x.repeat(*times)

    return tile


def _shape(node: Node) -> Fn:
    start, end = node.get_int("start"), node.get_int("end", 2**31)
    return lambda x: torch.tensor(x.shape[start:end], dtype=torch.int64, device="cpu")


def _constant(node: Node) -> Fn:
    if "value" in node.attrs:
        value = node.tensor("value")
    elif "value_float" in node.attrs or "value_floats" in node.attrs:
        floats = node.get_floats("value_floats")
        value = torch.tensor(
            floats if floats is not None else node.get_float("value_float"), dtype=node.real, device="cpu"
        )
    elif "value_int" in node.attrs or "value_ints" in node.attrs:
        ints = node.get_ints("value_ints")
        value = torch.tensor(ints if ints is not None else node.get_int("value_int"), dtype=torch.int64, device="cpu")
    else:
        raise node.refuse("a constant that is neither a tensor nor numbers")
    return lambda: value


def _constant_of_shape(node: Node) -> Fn:
    value = node.tensor("value")
    fill = torch.zeros(1, dtype=node.real, device="cpu") if value is None else value.reshape(-1)

    def make(shape: Tensor) -> Tensor:
        sizes = shape.tolist()
        check_size(sizes, "ConstantOfShape")
        return fill[0].expand(sizes).clone()

    return make


def _range(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
    a, b, d = start.item(), limit.item(), delta.item()
    count = max(0, math.ceil((b - a) / d))
    check_size([count], "Range")
    return (torch.arange(count, dtype=torch.float64, device="cpu") * d + a).to(start.dtype)


def _eye_like(node: Node) -> Fn:
    k, elem = node.get_int("k"), node.get_int("dtype")

    def eye(x: Tensor) -> Tensor:
        out = torch.zeros(x.shape, dtype=node.dtype(elem) if elem else x.dtype, device=x.device)
        out.diagonal(k).fill_(1)
        return out

    return eye


def _trilu(node: Node) -> Fn:
    upper = node.get_int("upper", 1)

    def trilu(x: Tensor, k: Tensor | None = None) -> Tensor:
        at = int(k.item()) if k is not None else 0
        return torch.triu(x, at) if upper else torch.tril(x, at)

    return trilu


def _depth_to_space(node: Node) -> Fn:
    size, mode = node.get_int("blocksize"), node.get_str("mode", "DCR")

    def move(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        if mode == "CRD":
            parts = x.reshape(n, c // size**2, size, size, h, w).permute(0, 1, 4, 2, 5, 3)
        else:
            parts = x.reshape(n, size, size, c // size**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // size**2, h * size, w * size)

    return move


def _space_to_depth(node: Node) -> Fn:
    size = node.get_int("blocksize")
    order = (0, 1, 3, 5, 2, 4) if node.get_str("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)

    def move(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // size, size, w // size, size).permute(order)
        return parts.reshape(n, c * size**2, h // size, w // size)

    return move


RULES: Mapping[str, Rule] = {
    "Reshape": Rule(_reshape, host=(1,)),
    "Flatten": Rule(_flatten),
    "Transpose": Rule(_transpose),
    "Squeeze": Rule(_squeeze, host=(1,)),
    "Unsqueeze": Rule(_unsqueeze, host=(1,)),
    "Concat": Rule(_concat),
    "Split": Rule(_split, host=(1,)),
    "Slice": Rule(_slice, host=(1, 2, 3, 4)),
    "Pad": Rule(_pad, host=(1, 2, 3)),
    "Expand": Rule(lambda node: _expand, host=(1,)),
    "Tile": Rule(_tile, host=(1, 2)),
    "Shape": Rule(_shape, shape_only=True),
    "Size": Rule(lambda node: lambda x: torch.tensor(x.numel(), device="cpu"), shape_only=True),
    "Constant": Rule(_constant),
    "ConstantOfShape": Rule(_constant_of_shape, host=(0,)),
    "Range": Rule(lambda node: _range, host=(0, 1, 2)),
    "EyeLike": Rule(_eye_like, shape_only=True),
    "Trilu": Rule(_trilu, host=(1,)),
    "DepthToSpace": Rule(_depth_to_space),
    "SpaceToDepth": Rule(_space_to_depth),
}
