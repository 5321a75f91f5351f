"""Pools, with their windows laid out explicitly."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule
from robusteval.loaders.onnx.twin.shape import pad_all
from robusteval.loaders.onnx.twin.window import Pads, Window

MAX_POOLS = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
AVG_POOLS = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
CONVS = (F.conv1d, F.conv2d, F.conv3d)


def _laid_out(window: Window, x: Tensor, kernel: list[int]) -> tuple[Pads, list[int]]:
    sizes = list(x.shape[2:])
    pads = window.pads(sizes, kernel)
    return pads, window.overhang(sizes, kernel, pads)


def _max_pool(node: Node) -> Fn:
    kernel = node.get_ints("kernel_shape") or []
    rank = len(kernel)
    if not 1 <= rank <= 3:
        raise node.refuse(f"pools over {rank} axes have no torch form")
    window, pool = Window.of(node, rank), MAX_POOLS[rank - 1]
    padding = window.symmetric
    if len(node.proto.output) > 1:
        return lambda x: _max_with_index(node, window, kernel, x)
    if padding is not None and not window.ceil and all(2 * p <= k for p, k in zip(padding, kernel, strict=True)):
        return lambda x: pool(x, kernel, window.strides, padding, window.dilations)

    def explicit(x: Tensor) -> Tensor:
        pads, over = _laid_out(window, x, kernel)
        low = -math.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
        grown = [(a, b + o) for (a, b), o in zip(pads, over, strict=True)]
        dtype = x.dtype
        x = pad_all(x, [(0, 0), (0, 0), *grown], "constant", low)
        out = pool(x if dtype.is_floating_point else x.to(node.real), kernel, window.strides, 0, window.dilations)
        return out.to(dtype)

    return explicit


def _max_with_index(node: Node, window: Window, kernel: list[int], x: Tensor) -> tuple[Tensor, Tensor]:
    """Maxima and their flat positions in the unpadded input, counted as the file's storage_order says."""
    pads, over = _laid_out(window, x, kernel)
    grown = [(a, b + o) for (a, b), o in zip(pads, over, strict=True)]
    filled = pad_all(x, [(0, 0), (0, 0), *grown], "constant", -math.inf)
    pool = MAX_POOLS[len(kernel) - 1]
    values, at = pool(filled, kernel, window.strides, 0, window.dilations, return_indices=True)
    column_major = node.get_int("storage_order")
    flat, places = torch.zeros_like(at), []
    for n, (a, _) in zip(reversed(filled.shape[2:]), reversed(grown), strict=True):
        places.append(at % n - a)
        at = at // n
    places.reverse()
    order = range(len(kernel)) if not column_major else reversed(range(len(kernel)))
    for axis in order:
        flat = flat * x.shape[2 + axis] + places[axis]
    first = torch.arange(x.shape[0] * x.shape[1], device=x.device).reshape(*x.shape[:2], *[1] * len(kernel))
    return values, flat + first * math.prod(x.shape[2:])


def _window_sum(x: Tensor, window: Window, kernel: list[int]) -> Tensor:
    """Sums over windows without padding; x: [N, C, ...]."""
    rank = len(kernel)
    if all(d == 1 for d in window.dilations):
        return AVG_POOLS[rank - 1](x, kernel, window.strides) * math.prod(kernel)
    n, c = x.shape[:2]
    ones = x.new_ones((1, 1, *kernel))
    out = CONVS[rank - 1](x.reshape(n * c, 1, *x.shape[2:]), ones, None, window.strides, 0, window.dilations)
    return out.reshape(n, c, *out.shape[2:])


def average_pool(node: Node) -> Fn:
    """avg(x) with the file's padding, ceil_mode, dilations and count_include_pad."""
    kernel, include = node.get_ints("kernel_shape") or [], bool(node.get_int("count_include_pad"))
    rank = len(kernel)
    if not 1 <= rank <= 3:
        raise node.refuse(f"pools over {rank} axes have no torch form")
    window, pool = Window.of(node, rank), AVG_POOLS[rank - 1]
    padding, plain = window.symmetric, all(d == 1 for d in window.dilations) and not window.ceil
    if plain and padding is not None and all(2 * p <= k for p, k in zip(padding, kernel, strict=True)):
        return lambda x: pool(x, kernel, window.strides, padding, False, include)

    def explicit(x: Tensor) -> Tensor:
        pads, over = _laid_out(window, x, kernel)
        behind = [(0, 0), (0, 0), *[(0, o) for o in over]]
        around = [(0, 0), (0, 0), *pads]
        inside = x.new_ones((1, 1, *x.shape[2:]))
        counted = pad_all(pad_all(inside, around, "constant", float(include)), behind, "constant", 0.0)
        filled = pad_all(pad_all(x, around, "constant", 0.0), behind, "constant", 0.0)
        return _window_sum(filled, window, kernel) / _window_sum(counted, window, kernel)

    return explicit


def _lp_pool(node: Node) -> Fn:
    kernel, p = node.get_ints("kernel_shape") or [], node.get_int("p", 2)
    window = Window.of(node, len(kernel))

    def run(x: Tensor) -> Tensor:
        pads, over = _laid_out(window, x, kernel)
        grown = [(0, 0), (0, 0), *[(a, b + o) for (a, b), o in zip(pads, over, strict=True)]]
        filled = pad_all(x, grown, "constant", 0.0)
        return _window_sum(filled.abs() ** p, window, kernel).clamp_min(0) ** (1.0 / p)

    return run


def global_average(x: Tensor) -> Tensor:
    """Mean over the spatial axes, which stay as axes of size 1."""
    return x.mean(tuple(range(2, x.dim())), keepdim=True)


def _global_max(x: Tensor) -> Tensor:
    return x.amax(tuple(range(2, x.dim())), keepdim=True)


def _global_lp(node: Node) -> Fn:
    p = node.get_int("p", 2)
    return lambda x: torch.linalg.vector_norm(x, p, tuple(range(2, x.dim())), keepdim=True)


def _max_unpool(node: Node) -> Fn:
    kernel = node.get_ints("kernel_shape") or []
    window = Window.of(node, len(kernel))

    def run(x: Tensor, index: Tensor, shape: Tensor | None = None) -> Tensor:
        pads = window.pads(list(x.shape[2:]), kernel)
        sizes = [
            (n - 1) * s - a - b + k for n, s, k, (a, b) in zip(x.shape[2:], window.strides, kernel, pads, strict=True)
        ]
        own = (*x.shape[:2], *sizes)
        size = tuple(shape.tolist()) if shape is not None else own
        flat = x.new_zeros(math.prod(size))
        # positions count in the tensor that was pooled, whatever the size asked for now
        return flat.scatter(0, index.reshape(-1), x.reshape(-1)).reshape(size)

    return run


RULES: Mapping[str, Rule] = {
    "MaxPool": Rule(_max_pool),
    "AveragePool": Rule(average_pool),
    "LpPool": Rule(_lp_pool),
    "GlobalAveragePool": Rule(lambda node: global_average),
    "GlobalMaxPool": Rule(lambda node: _global_max),
    "GlobalLpPool": Rule(_global_lp),
    "MaxUnpool": Rule(_max_unpool, host=(2,)),
}
