"""Windows: of which part of each earlier value a few elements of one value are made.

An element of a convolution looks at a small window of the values before it, so a substitution from it need not carry
coefficients for all of them: those outside the window are zero.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor
from torch.nn import functional as F

from robusteval.api import GraphNode
from robusteval_certifiers._common.network import Network, transposed


class Box(NamedTuple):
    """Rows top to bottom and columns left to right of a value [C, H, W], all channels; the ends are not in it."""

    top: int
    bottom: int
    left: int
    right: int


class View:
    """The part of each value that a box of one value depends on. Where no box is known, it is all of it."""

    def __init__(self, network: Network, start: int, box: Box | None = None) -> None:
        self.network = network
        self.boxes: dict[int, Box] = {}
        if box is not None:
            self._follow(start, box)

    def _follow(self, start: int, box: Box) -> None:
        found: dict[int, Box | None] = {start: box}
        for place in range(start, 0, -1):
            if place not in found:
                continue
            for source in self.network.nodes[place].inputs:
                need = _needed(self.network, place, found[place])
                found[source] = _joined(found[source], need) if source in found else need
        self.boxes = {place: kept for place, kept in found.items() if kept is not None}

    def shape(self, place: int) -> tuple[int, ...]:
        """The shape of the part of a value."""
        box, shape = self.boxes.get(place), self.network.nodes[place].shape
        return shape if box is None else (shape[0], box.bottom - box.top, box.right - box.left)

    def reach(self, start: int) -> tuple[int, int]:
        """How many numbers all parts of the values up to `start` have, and the largest of them."""
        sizes = [math.prod(self.shape(place)) for place in range(start + 1)]
        return sum(sizes), max(sizes)

    def cut(self, place: int, value: Tensor) -> Tensor:
        """The part of a value's numbers, [..., n] -> [..., m]."""
        box = self.boxes.get(place)
        if box is None:
            return value
        images = value.unflatten(-1, self.network.nodes[place].shape)
        part: Tensor = images[..., box.top : box.bottom, box.left : box.right].flatten(-3)
        return part

    def back(self, place: int, a: Tensor) -> list[Tensor]:
        """Coefficients of the parts of an affine node's inputs, [B, S, m] each, from those of its own, [B, S, n]."""
        box, node = self.boxes.get(place), self.network.nodes[place]
        if box is None:
            return transposed(self.network, place, a)
        if node.op == "conv":
            return [self._convolved(place, node, box, a)]
        if node.op in ("add", "scale") or (place in self.network.copies and len(self.shape(node.inputs[0])) == 3):
            found = [a]
            if node.op == "scale":
                found = [a * self.cut(place, node.tensors["scale"].flatten())]
            elif node.op == "add":
                found = [a if sign > 0 else -a for sign in node.settings["signs"]]
            return [self.fitted(source, part, box) for source, part in zip(node.inputs, found, strict=True)]
        if place in self.network.grids:
            out = a.new_zeros(*a.shape[:2], *self.shape(node.inputs[0]))
            out[(..., *self.slices(place, node.inputs[0]))] = a.unflatten(-1, self.shape(place))
            return [out.flatten(2)]
        return transposed(self.network, place, self.fitted(place, a, box, whole=True))

    def slices(self, place: int, source: int, wanted: int | None = None) -> tuple[slice, slice]:
        """Where the grid of a gather lies in the part of its source. wanted: the node whose box it is taken for."""
        box, start = self._ends(place if wanted is None else wanted), self._ends(source)
        grid = self.network.grids[place].onward(box.top, box.left)
        return grid.slices(box.bottom - box.top, box.right - box.left, start.top, start.left)

    def fitted(self, place: int, a: Tensor, box: Box, whole: bool = False) -> Tensor:
        """Coefficients of the part of a value from those of another box of it: zeros are added, and what lies beyond
        is cut. whole: of the whole value instead of the part."""
        shape = self.network.nodes[place].shape
        own = Box(0, shape[1], 0, shape[2]) if whole else self._ends(place)
        sides = (box.left - own.left, own.right - box.right, box.top - own.top, own.bottom - box.bottom)
        if not any(sides):
            return a
        images = a.unflatten(-1, (shape[0], box.bottom - box.top, box.right - box.left))
        return F.pad(images, sides).flatten(2)

    def _ends(self, place: int) -> Box:
        _, height, width = self.network.nodes[place].shape
        return self.boxes.get(place) or Box(0, height, 0, width)

    def _convolved(self, place: int, node: GraphNode, box: Box, a: Tensor) -> Tensor:
        weight = node.tensors["weight"]
        stride, (ph, pw), dilation = (tuple(node.settings[key]) for key in ("stride", "padding", "dilation"))
        images = a.reshape(-1, *self.shape(place))
        out = F.conv_transpose2d(images, weight, None, stride, 0, 0, int(node.settings["groups"]), dilation)
        top, left = box.top * stride[0] - ph, box.left * stride[1] - pw
        seen = Box(top, top + out.shape[2], left, left + out.shape[3])
        return self.fitted(node.inputs[0], out.reshape(*a.shape[:2], -1), seen)


def _needed(network: Network, place: int, box: Box | None) -> Box | None:
    """The box of a node's inputs that a box of its value is made of; None: all of them."""
    node = network.nodes[place]
    shape = network.nodes[node.inputs[0]].shape
    if box is None or len(shape) != 3 or len(node.shape) != 3:
        return None
    if node.op in ("activation", "scale", "add"):
        need = box
    elif node.op == "conv":
        (sh, sw), (ph, pw), (dh, dw) = (node.settings[key] for key in ("stride", "padding", "dilation"))
        tall, wide = ((k - 1) * d + 1 for k, d in zip(node.tensors["weight"].shape[2:], (dh, dw), strict=True))
        need = Box(
            max(0, box.top * sh - ph),
            min(shape[1], (box.bottom - 1) * sh - ph + tall),
            max(0, box.left * sw - pw),
            min(shape[2], (box.right - 1) * sw - pw + wide),
        )
    elif place in network.grids:
        grid = network.grids[place].onward(box.top, box.left)
        rows, columns = grid.slices(box.bottom - box.top, box.right - box.left)
        need = Box(rows.start, rows.stop, columns.start, columns.stop)
    else:
        return None
    empty = need.top >= need.bottom or need.left >= need.right
    return None if empty or need == (0, shape[1], 0, shape[2]) else need


def _joined(one: Box | None, other: Box | None) -> Box | None:
    if one is None or other is None:
        return None
    return Box(
        min(one.top, other.top), max(one.bottom, other.bottom), min(one.left, other.left), max(one.right, other.right)
    )
