"""Convolutions and pools: their windows as settings of torch, or as the places of what they look at."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from robusteval.loaders.onnx.certified.builder import Builder, numbers, one_image, refused
from robusteval.loaders.onnx.certified.kernels import check_product
from robusteval.loaders.onnx.twin.conv import output_window
from robusteval.loaders.onnx.twin.program import Call
from robusteval.loaders.onnx.twin.reduce import axes_to_reduce
from robusteval.loaders.onnx.twin.shape import pad_all
from robusteval.loaders.onnx.twin.window import Window

_MOST = 2**24  # places that the windows of one pool look at
_NONE = 2**62  # beyond all places


def convolution(build: Builder, call: Call) -> None:
    """Conv over one or two axes; padding that torch cannot do becomes a node of its own."""
    source, (x, weight, bias, _) = build.only(call), _parts(build, call)
    check_product(build, call, 1, 2)
    build.put(call, convolved(build, call, source, x, weight, bias))


def convolved(build: Builder, call: Call, source: int, x: Tensor, weight: Tensor, bias: Tensor | None) -> int:
    """The node of a value x of the traced image, convolved with these weights as the call says."""
    rank = weight.dim() - 2
    if rank not in (1, 2) or x.dim() != rank + 2 or x.shape[0] != 1:
        raise refused(call, "is no convolution of one image over one or two axes")
    window = Window.of(call.node, rank)
    pads = window.pads(list(x.shape[2:]), list(weight.shape[2:]))
    padding = window.symmetric
    if padding is None:
        padding = (0,) * rank
        source = build.gather(call, source, pad_all(numbers(x.shape), [(0, 0), (0, 0), *pads], "constant", 0.0))
    out = build.value_of(call)
    settings = _settings(window, rank, padding, call.node.get_int("group", 1))
    source = _as_image(build, call, source, rank)
    shape = _image(one_image(out.shape), rank)
    bias = torch.zeros(weight.shape[0], dtype=torch.float64, device="cpu") if bias is None else bias
    place = build.add(call, "conv", (source,), shape, weight=_flat_kernel(weight, rank), bias=bias, **settings)
    return _back(build, call, place, out)


def transposed(build: Builder, call: Call) -> None:
    """ConvTranspose: the full result, and then what is cut off and added behind."""
    source, (x, weight, bias, rank) = build.only(call), _parts(build, call)
    check_product(build, call, 1, 2)
    window, groups = Window.of(call.node, rank), call.node.get_int("group", 1)
    channels = weight.shape[1] * groups
    bias = torch.zeros(channels, dtype=torch.float64, device="cpu") if bias is None else bias
    spans = [(k - 1) * d + 1 for k, d in zip(weight.shape[2:], window.dilations, strict=True)]
    full = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], window.strides, spans, strict=True)]
    settings = _settings(window, rank, (0,) * rank, groups) | {"output_padding": (0, 0)}
    source = _as_image(build, call, source, rank)
    shape = _image((channels, *full), rank)
    place = build.add(
        call, "conv_transpose", (source,), shape, weight=_flat_kernel(weight, rank), bias=bias, **settings
    )
    extra = call.node.get_ints("output_padding") or [0] * rank
    pads, extra = output_window(call.node, window, list(x.shape[2:]), full, extra)
    grown = pad_all(numbers((1, channels, *full)), [(0, 0), (0, 0), *[(0, e) for e in extra]], "constant", 0.0)
    cut = pad_all(grown, [(0, 0), (0, 0), *[(-a, -b) for a, b in pads]], "constant", 0.0)
    constant = bias.reshape(1, -1, *[1] * rank).expand(cut.shape)
    build.put(call, build.gather(call, place, cut, constant))


def max_pool(build: Builder, call: Call) -> None:
    """MaxPool with any stride, padding and dilation."""
    if len(call.outs) > 1:
        raise refused(call, "gives places of maxima too")
    members = _members(build, call)
    first = members.masked_fill(members < 0, _NONE).amin(1, keepdim=True)
    if bool((first == _NONE).any()):
        raise refused(call, "has windows that lie in the padding alone")
    _most(build, call, torch.where(members < 0, first, members))


def global_max(build: Builder, call: Call) -> None:
    """GlobalMaxPool."""
    x = build.value(call, 0)
    _most(build, call, numbers(x.shape, 0).flatten(2).long().reshape(x.shape[1], -1))


def average_pool(build: Builder, call: Call) -> None:
    """AveragePool: how many it divides by is read off what it makes of ones."""
    source, members = build.only(call), _members(build, call)
    x, out = build.value(call, 0), build.value_of(call)
    inside = (members >= 0).sum(1).clamp_min(1)
    of_ones = call.run([torch.ones_like(x, dtype=torch.float64)])[0].double().flatten()
    weight = (of_ones / inside)[:, None].expand(members.shape)
    build.put(call, build.add(call, "sum", (source,), one_image(out.shape), members=members, weight=weight))


def reduced(build: Builder, call: Call) -> None:
    """ReduceMean, ReduceSum, ReduceMax and GlobalAveragePool: over whole axes."""
    source, x, out = build.only(call), build.value(call, 0), build.value_of(call)
    axes: list[int] | None = list(range(2, x.dim()))
    if call.node.op.startswith("Reduce"):
        axes, _ = axes_to_reduce(call.node, x, build.value(call, 1))
    if axes is None:
        build.put(call, source)
        return
    kept = [axis for axis in range(x.dim()) if axis not in axes]
    members = numbers(x.shape, 0).permute(*kept, *axes).reshape(out.numel(), -1).long()
    if call.node.op == "ReduceMax":
        _most(build, call, members)
        return
    share = 1.0 if call.node.op == "ReduceSum" else 1.0 / members.shape[1]
    weight = torch.full(members.shape, share, dtype=torch.float64, device="cpu")
    build.put(call, build.add(call, "sum", (source,), one_image(out.shape), members=members, weight=weight))


def _most(build: Builder, call: Call, members: Tensor) -> None:
    source, out = build.only(call), build.value_of(call)
    build.put(call, build.add(call, "max", (source,), one_image(out.shape), members=members))


def _members(build: Builder, call: Call) -> Tensor:
    """For each element of a pool's result the places that its window looks at, [n, k]; -1 in the padding."""
    kernel, x, out = call.node.get_ints("kernel_shape") or [], build.value(call, 0), build.value_of(call)
    if out.numel() * torch.Size(kernel).numel() > _MOST:
        raise refused(call, "looks at too many values")
    window = Window.of(call.node, len(kernel))
    pads = window.pads(list(x.shape[2:]), kernel)
    over = window.overhang(list(x.shape[2:]), kernel, pads)
    around = [(0, 0), (0, 0), *[(a, b + o) for (a, b), o in zip(pads, over, strict=True)]]
    seen = pad_all(numbers(x.shape), around, "constant", 0.0)
    for axis, (k, s, d) in enumerate(zip(kernel, window.strides, window.dilations, strict=True)):
        seen = seen.unfold(2 + axis, (k - 1) * d + 1, s)[..., ::d]
    if tuple(seen.shape[: out.dim()]) != tuple(out.shape):
        raise refused(call, "has windows that are not understood")
    return seen.reshape(out.numel(), -1).long() - 1


def _parts(build: Builder, call: Call) -> tuple[Tensor, Tensor, Tensor | None, int]:
    """(traced input, weight, bias or None, number of spatial axes) of a convolution. Raises NotCoveredError."""
    x, weight = build.value(call, 0), build.constant(call, 1)
    bias = build.constant(call, 2) if len(call.ins) > 2 and call.ins[2] else None
    rank = weight.dim() - 2
    if rank not in (1, 2) or x.dim() != rank + 2 or x.shape[0] != 1:
        raise refused(call, "is no convolution of one image over one or two axes")
    return x, weight, bias, rank


def _settings(window: Window, rank: int, padding: Sequence[int], groups: int) -> dict[str, object]:
    before = 2 - rank  # an axis of size 1 before the only one
    return {
        "stride": (1,) * before + tuple(window.strides),
        "padding": (0,) * before + tuple(padding),
        "dilation": (1,) * before + tuple(window.dilations),
        "groups": groups,
    }


def _flat_kernel(weight: Tensor, rank: int) -> Tensor:
    return weight if rank == 2 else weight.unsqueeze(2)


def _image(shape: tuple[int, ...], rank: int) -> tuple[int, ...]:
    return shape if rank == 2 else (shape[0], 1, shape[1])


def _as_image(build: Builder, call: Call, source: int, rank: int) -> int:
    """The node as [C, H, W]."""
    shape = build.nodes[source].shape
    return build.gather(call, source, numbers((1, *_image(shape, rank))))


def _back(build: Builder, call: Call, place: int, out: Tensor) -> int:
    """The node in the shape that the file's value has."""
    return build.gather(call, place, numbers(out.shape))
