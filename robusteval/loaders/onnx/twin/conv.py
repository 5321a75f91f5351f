"""Convolutions and their transposes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from robusteval.loaders.onnx.twin.node import Fn, Node, Rule
from robusteval.loaders.onnx.twin.shape import pad_all
from robusteval.loaders.onnx.twin.window import Window

CONVS = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)


def convolution(node: Node) -> Fn:
    """conv(x, weight, bias=None) as the attributes of `node` say; padding that torch cannot do is done before."""
    group, known = node.get_int("group", 1), node.get_ints("kernel_shape")

    def general(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        rank = w.dim() - 2
        if not 1 <= rank <= 3:
            raise node.refuse(f"convolutions over {rank} axes have no torch form")
        window = Window.of(node, rank)
        pads = window.pads(list(x.shape[2:]), list(w.shape[2:]))
        x = pad_all(x, [(0, 0), (0, 0), *pads], "constant", 0.0)
        return CONVS[rank - 1](x, w, b, window.strides, 0, window.dilations, group)

    rank = len(known or ())
    if not 1 <= rank <= 3:
        return general
    window = Window.of(node, rank)
    padding = window.symmetric
    if padding is None:
        return general
    conv, strides, dilations = CONVS[rank - 1], window.strides, window.dilations
    return lambda x, w, b=None: conv(x, w, b, strides, padding, dilations, group)


def _transposed(node: Node) -> Fn:
    group = node.get_int("group", 1)

    def run(x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
        rank = w.dim() - 2
        if not 1 <= rank <= 3:
            raise node.refuse(f"convolutions over {rank} axes have no torch form")
        window = Window.of(node, rank)
        extra = node.get_ints("output_padding") or [0] * rank
        full = TRANSPOSED[rank - 1](x, w, b, window.strides, 0, 0, group, window.dilations)
        pads, extra = output_window(node, window, list(x.shape[2:]), list(full.shape[2:]), extra)
        if any(extra):  # the extra rows hold the bias alone
            tail = [(0, 0), (0, 0), *[(0, e) for e in extra]]
            ones = full.new_zeros(full.shape) if b is None else b.reshape(1, -1, *[1] * rank).expand(full.shape)
            full = pad_all(full - ones, tail, "constant", 0.0)
            full = full if b is None else full + b.reshape(1, -1, *[1] * rank)
        return pad_all(full, [(0, 0), (0, 0), *[(-a, -c) for a, c in pads]], "constant", 0.0)

    return run


def output_window(
    node: Node, window: Window, sizes: list[int], full: list[int], extra: list[int]
) -> tuple[list[tuple[int, int]], list[int]]:
    """What to cut from the full result on each side, and how much to add behind it first."""
    rank = len(sizes)
    size = (node.get_ints("output_shape") or [])[-rank:]
    if not size and window.auto in ("SAME_UPPER", "SAME_LOWER"):
        size = [n * s for n, s in zip(sizes, window.strides, strict=True)]
    if not size:
        explicit = (0,) * (2 * rank) if window.auto == "VALID" else window.explicit
        return [(explicit[i], explicit[i + rank]) for i in range(rank)], extra
    pads, added = [], []
    for n, want, e in zip(full, size, extra, strict=True):
        total = n + e - want
        add = e + max(0, -total)
        total = max(0, total)
        small = total // 2
        pads.append((small, total - small) if window.auto == "SAME_UPPER" else (total - small, small))
        added.append(add)
    return pads, added


def _deform(node: Node) -> Fn:
    """Deformable convolution: every kernel tap is sampled bilinearly at its own offset, zero outside."""
    groups, offset_groups = node.get_int("group", 1), node.get_int("offset_group", 1)

    def run(x: Tensor, w: Tensor, offset: Tensor, b: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        window = Window.of(node, 2)
        kh, kw = w.shape[2:]
        (n, c, h, wd), (oh, ow) = x.shape, offset.shape[2:]
        (top, _), (left, _) = window.pads([h, wd], [kh, kw])
        shift = offset.reshape(n, offset_groups, kh * kw, 2, oh, ow)
        scale = None if mask is None else mask.reshape(n, offset_groups, kh * kw, oh, ow)
        parts = x.reshape(n * offset_groups, c // offset_groups, h, wd)
        ys = torch.arange(oh, device=x.device, dtype=x.dtype).reshape(-1, 1) * window.strides[0] - top
        xs = torch.arange(ow, device=x.device, dtype=x.dtype) * window.strides[1] - left
        taps = []
        for i in range(kh * kw):
            y = ys + (i // kw) * window.dilations[0] + shift[:, :, i, 0]
            z = xs + (i % kw) * window.dilations[1] + shift[:, :, i, 1]
            grid = torch.stack([2 * z / max(1, wd - 1) - 1, 2 * y / max(1, h - 1) - 1], -1)
            tap = F.grid_sample(parts, grid.reshape(-1, oh, ow, 2), "bilinear", "zeros", align_corners=True)
            tap = tap.reshape(n, offset_groups, -1, oh, ow)
            taps.append((tap if scale is None else tap * scale[:, :, i, None]).reshape(n, c, oh, ow))
        columns = torch.stack(taps, 2).reshape(n, groups, -1, oh * ow)
        out = torch.einsum("ngkp,gok->ngop", columns, w.reshape(groups, w.shape[0] // groups, -1))
        out = out.reshape(n, w.shape[0], oh, ow)
        return out if b is None else out + b.reshape(-1, 1, 1)

    return run


def _col2im(node: Node) -> Fn:
    def run(x: Tensor, image: Tensor, block: Tensor) -> Tensor:
        size, kernel = list(map(int, image.tolist())), list(map(int, block.tolist()))
        if len(size) != 2:
            raise node.refuse("only two spatial axes have a torch form")
        window = Window.of(node, 2)
        pads = window.pads(size, kernel)
        grown = [n + a + b for n, (a, b) in zip(size, pads, strict=True)]
        out = F.fold(x, tuple(grown), tuple(kernel), window.dilations, 0, window.strides)
        return pad_all(out, [(0, 0), (0, 0), *[(-a, -b) for a, b in pads]], "constant", 0.0)

    return run


RULES: Mapping[str, Rule] = {
    "Conv": Rule(convolution),
    "ConvTranspose": Rule(_transposed),
    "DeformConv": Rule(_deform),
    "Col2Im": Rule(_col2im, host=(1, 2)),
}
