"""What a rule sees of an ONNX node: typed attributes, its opset version, and how real numbers are computed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor

Fn = Callable[..., Any]
WIDTHS = ("unit", "scaled", "wide")
MAX_ELEMENTS = 2**28  # of one tensor that a graph asks for by number: 1 GiB of float32
NARROW_INTS = (TensorProto.INT4, TensorProto.UINT4, TensorProto.INT2, TensorProto.UINT2)
INTEGERS: Mapping[int, torch.dtype] = {
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.UINT16: torch.int32,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
    TensorProto.UINT32: torch.int64,
    TensorProto.UINT64: torch.int64,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT4: torch.uint8,
    TensorProto.INT4: torch.int8,
    TensorProto.UINT2: torch.uint8,
    TensorProto.INT2: torch.int8,
}
INT_RANGE: Mapping[int, tuple[int, int]] = {
    TensorProto.UINT8: (0, 255),
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT2: (0, 3),
    TensorProto.INT2: (-2, 1),
}


class Unsupported(Exception):
    """The graph holds something that has no torch rule; the message names it."""


@dataclass(frozen=True)
class Rule:
    """How one operator becomes torch: `build(node)` reads the attributes once and returns the function to call.

    `host` lists the input slots that are read as numbers (shapes, axes, scales): constants there stay on the CPU;
    `shape_only` marks operators whose result depends on their input's shape alone; `steps` marks operators that
    are constant almost everywhere, where the exact gradient is zero.
    """

    build: Callable[[Node], Fn]
    host: tuple[int, ...] = ()
    shape_only: bool = False
    steps: bool = False


def torch_dtype(elem: int, real: torch.dtype) -> torch.dtype:
    """The dtype that stands for ONNX element type `elem`: half precisions are computed in `real`."""
    if elem in INTEGERS:
        return INTEGERS[elem]
    if elem == TensorProto.DOUBLE:
        return torch.float64
    if elem == TensorProto.STRING or elem in (TensorProto.COMPLEX64, TensorProto.COMPLEX128):
        raise Unsupported(f"tensors of type {TensorProto.DataType.Name(elem)} have no torch form here")
    return real


def to_torch(proto: TensorProto, real: torch.dtype) -> Tensor:
    """A constant as a CPU tensor of its own (writable) memory."""
    dtype = torch_dtype(proto.data_type, real)
    array = numpy_helper.to_array(proto)
    if proto.data_type in NARROW_INTS:
        array = array.astype(np.int8 if dtype == torch.int8 else np.uint8)
    elif array.dtype in (np.uint16, np.uint32, np.uint64):
        array = array.astype(np.int64)
    elif proto.data_type not in INTEGERS and array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array)).to(dtype)


def check_size(shape: Sequence[int], op: str) -> None:
    """Raises Unsupported for a tensor that a hostile graph asks for by number."""
    count = 1
    for n in shape:
        count *= int(n)
    if count > MAX_ELEMENTS:
        raise Unsupported(f"{op} asks for {count} elements, more than the limit of {MAX_ELEMENTS}")


def numbers(t: Tensor) -> list[Any]:
    """The values of a host input as Python numbers."""
    values: list[Any] = t.reshape(-1).tolist()
    return values


class Node:
    """A node with its attributes decoded; `opset` is the version of its own domain."""

    def __init__(
        self, proto: onnx.NodeProto, opsets: Mapping[str, int], real: torch.dtype, straight: bool | str
    ) -> None:
        self.proto = proto
        self.op: str = proto.op_type
        self.domain: str = proto.domain
        self.name: str = proto.name or (proto.output[0] if proto.output else proto.op_type)
        self.opsets = opsets
        self.opset: int = opsets.get(proto.domain, opsets.get("", 1))
        self.real = real
        self.straight = bool(straight)  # straight-through derivatives for rounding, signs, comparisons
        self.width = straight if isinstance(straight, str) else "unit"  # of the ramp about a threshold: one of WIDTHS
        self.attrs = {a.name: a for a in proto.attribute}
        self.types: Mapping[str, int] = {}  # element types by value name, as far as they are known
        self.programs: dict[str, tuple[Any, int]] = {}  # subgraphs, and where their captured operands begin

    def get_int(self, key: str, default: int = 0) -> int:
        return int(self.attrs[key].i) if key in self.attrs else default

    def get_float(self, key: str, default: float = 0.0) -> float:
        return float(self.attrs[key].f) if key in self.attrs else default

    def get_str(self, key: str, default: str = "") -> str:
        return self.attrs[key].s.decode() if key in self.attrs else default

    def get_ints(self, key: str) -> list[int] | None:
        return [int(i) for i in self.attrs[key].ints] if key in self.attrs else None

    def get_floats(self, key: str) -> list[float] | None:
        return [float(f) for f in self.attrs[key].floats] if key in self.attrs else None

    def tensor(self, key: str) -> Tensor | None:
        return to_torch(self.attrs[key].t, self.real) if key in self.attrs else None

    def graph(self, key: str) -> onnx.GraphProto:
        graph: onnx.GraphProto = self.attrs[key].g
        return graph

    def dtype(self, elem: int) -> torch.dtype:
        return torch_dtype(elem, self.real)

    def elem(self, index: int = 0) -> int:
        """Element type of an input as the file declares it; 0 when it is not known."""
        return self.types.get(self.proto.input[index], 0) if index < len(self.proto.input) else 0

    def refuse(self, why: str) -> Unsupported:
        return Unsupported(f"operator {self.op} (node {self.name!r}): {why}")


def through(node: Node, soft: Tensor, hard: Tensor) -> Tensor:
    """`hard` in value; its derivative is that of `soft` in straight-through mode and zero otherwise."""
    if not node.straight:
        return hard.detach()
    return hard.detach() + (soft - soft.detach())  # the bracket is exactly 0: the forward value stays hard's own


def fixed(fn: Fn) -> Callable[[Node], Fn]:
    """The builder of an operator without attributes."""
    return lambda node: fn
