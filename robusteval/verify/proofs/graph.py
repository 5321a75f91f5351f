"""The stored graph of the model: read, checked, and what its nodes mean in numpy. Values are flat, float64 [B, n]."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from robusteval.errors import RecordError

Array = NDArray[np.float64]
ELEMENTWISE = ("scale", "gather", "add", "concat")
_DENSE = ("linear", "conv", "conv_transpose")
MOST = 2**24  # elements of the matrix of one node


class NotRepeatedError(RecordError):
    """A graph with nodes that are not proved again here."""


@dataclass(frozen=True)
class Node:
    """One value; see contracts.certificates.graph, which docs/certificates.md describes."""

    op: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    settings: dict[str, Any]
    tensors: dict[str, NDArray[Any]]

    @property
    def numel(self) -> int:
        """How many numbers its value has."""
        return math.prod(self.shape)

    @property
    def rounds(self) -> bool:
        """Whether it rounds to whole numbers."""
        return self.op == "activation" and self.settings.get("kind") == "round"


@dataclass(frozen=True)
class Graph:
    """Nodes in order, the last one the scores. tensors: all that the file holds, slopes among them."""

    nodes: tuple[Node, ...]
    slack: float
    tensors: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def read(content: bytes) -> Graph:
    """The graph in a file of the run. Raises RecordError for whatever is none."""
    try:
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])["__metadata__"]["graph"]
        told, tensors = json.loads(header), load(content)
        nodes = tuple(_node(row, place, tensors) for place, row in enumerate(told["nodes"]))
        graph = Graph(nodes, float(told["slack"]), tensors)
        sound = bool(nodes) and nodes[0].op == "input" and graph.slack >= 0
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - a hostile file may break any of these
        raise RecordError(f"The stored graph cannot be read ({type(error).__name__}).", "Run it again.") from None
    if not sound:
        raise RecordError("The stored graph is none.", "Run the evaluation again.")
    return graph


def _node(row: dict[str, Any], place: int, tensors: dict[str, NDArray[Any]]) -> Node:
    prefix = f"{place}."
    own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    node = Node(str(row["op"]), tuple(map(int, row["inputs"])), tuple(map(int, row["shape"])), row["settings"], own)
    finite = all(np.isfinite(value).all() for value in own.values())
    if not finite or not all(0 <= source < place for source in node.inputs) or min(node.shape, default=1) < 1:
        raise RecordError(f"Node {place} of the stored graph is none.", "Run the evaluation again.")
    if node.rounds and not all(float(node.settings[end]).is_integer() for end in ("low", "high")):
        raise RecordError(f"Node {place} of the stored graph rounds to what is not whole.", "Run the evaluation again.")
    return node


def scores(graph: Graph, x: Array) -> Array:
    """[B, n] -> [B, K]."""
    values: list[Array] = []
    for node in graph.nodes:
        inputs = [values[source] for source in node.inputs]
        if node.op == "input":
            values.append(x)
        elif node.op == "activation":
            values.append(activation(node, inputs[0]))
        elif node.op == "max":
            values.append(inputs[0][:, node.tensors["members"]].max(-1))
        else:
            values.append(affine(node, inputs, [graph.nodes[source].shape for source in node.inputs]))
    return values[-1]


def affine(
    node: Node, inputs: Sequence[Array], shapes: Sequence[tuple[int, ...]], absolute: bool = False, bias: bool = True
) -> Array:
    """The value of an affine node; absolute: with the sizes of weights and constants in their place."""
    x, tensors = inputs[0], node.tensors

    def sized(value: NDArray[Any]) -> NDArray[Any]:
        return np.abs(value) if absolute else value

    if node.op == "add":
        signs = [1.0 if absolute else float(sign) for sign in node.settings["signs"]]
        return np.asarray(sum(sign * value for sign, value in zip(signs, inputs, strict=True)))
    if node.op == "concat":
        return np.concatenate(list(inputs), 1)
    if node.op == "gather":
        index = tensors["index"]
        constant = sized(tensors["fill"]) if bias else np.zeros(len(index))
        return np.where(index >= 0, x[:, np.maximum(index, 0)], constant)
    if node.op == "scale":
        shift = (tensors["size"] if absolute else tensors["shift"]).reshape(-1) if bias else 0.0
        return np.asarray(x * sized(tensors["scale"]).reshape(-1) + shift)
    if node.op == "sum":
        members = tensors["members"]
        weight = np.where(members >= 0, sized(tensors["weight"]), 0.0)
        return np.asarray((x[:, np.maximum(members, 0)] * weight).sum(-1))
    weight, constant = sized(tensors["weight"]), sized(tensors["bias"])
    if node.op == "linear":
        out = x.reshape(len(x), -1, weight.shape[1]) @ weight.T
        return np.asarray((out + constant if bias else out).reshape(len(x), -1))
    images = x.reshape(len(x), *shapes[0])
    out = _convolved(node, images, weight) if node.op == "conv" else _transposed(node, images, weight)
    return np.asarray((out + constant.reshape(-1, 1, 1) if bias else out).reshape(len(x), -1))


def _convolved(node: Node, x: Array, weight: Array) -> Array:
    """A convolution as a sum over the taps of its kernel."""
    (sh, sw), (ph, pw), (dh, dw) = (node.settings[key] for key in ("stride", "padding", "dilation"))
    groups, (_, height, width) = int(node.settings["groups"]), node.shape
    padded = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    padded = padded.reshape(len(x), groups, -1, *padded.shape[2:])
    kernels = weight.reshape(groups, -1, *weight.shape[1:])
    out = np.zeros((len(x), groups, kernels.shape[1], height, width))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            seen = padded[
                ..., i * dh : i * dh + sh * (height - 1) + 1 : sh, j * dw : j * dw + sw * (width - 1) + 1 : sw
            ]
            out += np.einsum("bgchw,goc->bgohw", seen, kernels[..., i, j], optimize=True)
    return out.reshape(len(x), -1, height, width)


def _transposed(node: Node, x: Array, weight: Array) -> Array:
    (sh, sw), (ph, pw), (dh, dw) = (node.settings[key] for key in ("stride", "padding", "dilation"))
    groups, (_, height, width) = int(node.settings["groups"]), node.shape
    rows, columns = x.shape[2:]
    parts = x.reshape(len(x), groups, -1, rows, columns)
    kernels = weight.reshape(groups, -1, *weight.shape[1:])
    tall, wide = height + 2 * ph + sh, width + 2 * pw + sw
    out = np.zeros((len(x), groups, kernels.shape[2], tall, wide))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            part = np.einsum("bgchw,gco->bgohw", parts, kernels[..., i, j], optimize=True)
            last_row, last_column = i * dh + sh * (rows - 1) + 1, j * dw + sw * (columns - 1) + 1
            out[..., i * dh : last_row : sh, j * dw : last_column : sw] += part
    cut = out[..., ph : ph + height, pw : pw + width]
    return cut.reshape(len(x), -1, height, width)


def convolved_back(node: Node, a: Array, shape: tuple[int, ...]) -> Array:
    """Coefficients [S, m] of a convolution's input from those of its value, [S, n]: `_convolved`, tap by tap, turned
    round. shape: of the input."""
    (sh, sw), (ph, pw), (dh, dw) = (node.settings[key] for key in ("stride", "padding", "dilation"))
    groups, (_, height, width) = int(node.settings["groups"]), node.shape
    weight = node.tensors["weight"]
    kernels = weight.reshape(groups, -1, *weight.shape[1:])
    parts = a.reshape(len(a), groups, -1, height, width)
    out = np.zeros((len(a), groups, kernels.shape[2], shape[1] + 2 * ph, shape[2] + 2 * pw))
    for i in range(weight.shape[2]):
        for j in range(weight.shape[3]):
            part = np.einsum("bgohw,goc->bgchw", parts, kernels[..., i, j], optimize=True)
            last_row, last_column = i * dh + sh * (height - 1) + 1, j * dw + sw * (width - 1) + 1
            out[..., i * dh : last_row : sh, j * dw : last_column : sw] += part
    return out[..., ph : ph + shape[1], pw : pw + shape[2]].reshape(len(a), -1)


def matrix(node: Node, shapes: Sequence[tuple[int, ...]]) -> Array:
    """The matrix [n, m] of a node that mixes values. Raises NotRepeatedError where it is too large."""
    size = math.prod(shapes[0])
    if node.op not in _DENSE or node.numel * size > MOST:
        raise NotRepeatedError(f"The matrix of a node ({node.op}) would be too large.", "")
    return affine(node, [np.eye(size)], shapes, bias=False).T


def activation(node: Node, x: Array) -> Array:
    """Of the kinds that are proved again, all of which rise. Raises NotRepeatedError for others."""
    kind = node.settings["kind"]
    if kind == "relu":
        return np.maximum(x, 0.0)
    if kind == "leaky_relu":
        return np.where(x > 0, x, x * node.tensors["slope"].reshape(-1))
    if kind == "clip":
        return np.clip(x, float(node.settings["low"]), float(node.settings["high"]))
    if kind == "tanh":
        return np.tanh(x)
    if kind == "sigmoid":
        return (1 + np.tanh(x / 2)) / 2
    if kind == "round":
        return np.rint(np.clip(x, float(node.settings["low"]), float(node.settings["high"])))
    raise NotRepeatedError(f"The activation {kind!s:.20} is not proved again here.", "")
