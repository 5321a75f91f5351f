"""The graph while it is made: nodes, where the twin's values lie among them, and what most operators need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from robusteval.contracts.certificates.graph import Node, NotCoveredError
from robusteval.loaders.onnx.twin.program import Call

_MOST = 2**24  # indices of one node: a pool's windows of a hostile file


@dataclass(frozen=True)
class Whole:
    """What a dequantised value was made of: source, the node that holds the whole numbers; scale and zero, which
    broadcast to it; limits of the whole numbers."""

    source: int
    scale: Tensor
    zero: Tensor
    limits: tuple[int, int]

    def fits(self, scale: Tensor, zero: Tensor, limits: tuple[int, int]) -> bool:
        """Whether quantising so gives back the very numbers, for one scale and zero point."""
        mine, theirs = (self.scale, self.zero), (scale, zero)
        alike = all(a.numel() == 1 == b.numel() and float(a) == float(b) for a, b in zip(mine, theirs, strict=True))
        return alike and self.limits == limits


class Builder:
    """Nodes so far. env: the twin's values of one image by slot, `at`: the node that holds a slot's value; stored: the
    slots of constants that the file keeps as whole numbers, see `Twin.dequantised`."""

    def __init__(
        self,
        env: Sequence[Any],
        known: Sequence[bool],
        stored: Mapping[int, tuple[Call, list[Any]] | None] | None = None,
    ) -> None:
        self.env, self.known, self.stored = env, known, stored or {}
        self.wholes: dict[int, Whole] = {}  # by the node of the dequantised value
        self.nodes: list[Node] = []
        self.at: dict[int, int] = {}
        self.softmax: tuple[int, str] | None = None  # the node of its input, and its name, where one was met

    def dynamic(self, call: Call) -> list[int]:
        """The call's operands, by position, that depend on the image."""
        return [place for place, slot in enumerate(call.ins) if not self.known[slot]]

    def value(self, call: Call, place: int) -> Any:
        """An operand's value for the traced image; None where there is none."""
        return self.env[call.ins[place]] if place < len(call.ins) else None

    def value_of(self, call: Call) -> Tensor:
        """The call's first output for the traced image."""
        value: Tensor = self.env[call.outs[0]]
        return value

    def only(self, call: Call) -> int:
        """The node of the first operand, which alone depends on the image. Raises NotCoveredError."""
        if self.dynamic(call) != [0]:
            raise refused(call, "combines values that both depend on the image")
        return self.at[call.ins[0]]

    def constant(self, call: Call, place: int) -> Tensor:
        """A constant operand in float64. Raises NotCoveredError where it is not one."""
        value = self.value(call, place)
        if not isinstance(value, Tensor) or not self.known[call.ins[place]]:
            raise refused(call, "has weights that depend on the image")
        return value.detach().double()

    def add(self, call: Call, op: str, inputs: Sequence[int], shape: Sequence[int], **more: Any) -> int:
        """Adds a node and says where; keyword arguments are its tensors and settings."""
        tensors = {key: value.contiguous() for key, value in more.items() if isinstance(value, Tensor)}
        settings = {key: value for key, value in more.items() if not isinstance(value, Tensor)}
        node = Node(op, tuple(inputs), tuple(shape), tensors, settings, call.node.name, call.node.op)
        self.nodes.append(node)
        return len(self.nodes) - 1

    def put(self, call: Call, place: int, out: int = 0) -> None:
        """That node holds the call's output."""
        self.at[call.outs[out]] = place

    def gather(self, call: Call, source: int, numbered: Tensor, constant: Tensor | None = None) -> int:
        """A node that selects. numbered: of the result's shape, 1 + the place of each element in the flat input, and 0
        for what is constant; constant: its value there."""
        index = numbered.detach().round().long().flatten() - 1
        if index.numel() > _MOST:
            raise refused(call, "selects too many values")
        if index.numel() and not -1 <= int(index.min()) <= int(index.max()) < self.nodes[source].numel:
            raise refused(call, "does not select as it should")
        fill = torch.zeros(len(index), dtype=torch.float64, device="cpu")
        if constant is not None:
            fill = torch.where(index < 0, constant.detach().double().flatten(), fill)
        shape = one_image(numbered.shape)
        if shape == self.nodes[source].shape and bool((index == torch.arange(len(index), device="cpu")).all()):
            return source
        return self.add(call, "gather", (source,), shape, index=index, fill=fill)

    def joined(self, call: Call, places: Sequence[int]) -> int:
        """One node that holds what these hold, behind each other."""
        if len(places) == 1:
            return places[0]
        return self.add(call, "concat", places, (sum(self.nodes[place].numel for place in places),))

    def spread(self, call: Call, place: int, value: Tensor, shape: Sequence[int]) -> int:
        """The node of `value`, repeated as broadcasting to `shape` repeats it."""
        if tuple(value.shape) == tuple(shape):
            return place
        return self.gather(call, place, numbers(value.shape).expand(*shape))


def numbers(shape: Sequence[int], first: int = 1) -> Tensor:
    """The places in a tensor of that shape, counted from `first`, as float64."""
    count = 1
    for size in shape:
        count *= int(size)
    return torch.arange(first, first + count, dtype=torch.float64, device="cpu").reshape(*shape)


def one_image(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape without its batch axis of one image."""
    sizes = tuple(int(size) for size in shape)
    return sizes[1:] if len(sizes) > 1 and sizes[0] == 1 else sizes or (1,)


def refused(call: Call, why: str = "is not covered") -> NotCoveredError:
    """The error that names a node."""
    return NotCoveredError(f"node {call.node.name} ({call.node.op}) {why}")
