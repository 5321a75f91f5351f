"""Reading an ONNX file from a stranger: sizes, external data, and one self-contained blob that can travel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from robusteval.errors import ModelError
from robusteval.runtime.external import Stored, beside, sha256
from robusteval.runtime.files import read_content


@dataclass(frozen=True)
class ModelFile:
    """A parsed and checked file. `blob` holds the whole model, external data included: it is what travels."""

    name: str
    sha256: str
    blob: bytes
    external: tuple[str, ...] = ()  # names of the data files that were read beside it

    def proto(self) -> onnx.ModelProto:
        """The model, parsed anew (callers may change it)."""
        model: onnx.ModelProto = onnx.ModelProto.FromString(self.blob)
        return model


def read_model(path: Path) -> ModelFile:
    """Reads and checks an ONNX file without running it. Raises ModelError with a hint for anything that is not one."""
    content = read_content(path)
    hint = "Export it again with torch.onnx.export, or check that the copy is complete."
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(f"{path.name} is not an ONNX file: its bytes cannot be parsed.", hint) from error
    if not model.graph.node or not model.graph.output:
        raise ModelError(f"{path.name} holds no graph: it has no operators or no outputs.", hint)
    if not model.opset_import:
        raise ModelError(f"{path.name} does not say which operator set it is written in.", hint)
    outside = [t for t in all_tensors(model) if t.data_location == TensorProto.EXTERNAL]
    if not outside:
        return ModelFile(path.name, hashlib.sha256(content).hexdigest(), content)
    files = beside(path.parent, map(_stored, outside), len(content))
    for tensor, part in zip(outside, files.ranges, strict=True):
        tensor.raw_data = files.read(part)
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT
    return ModelFile(path.name, sha256(content, files), model.SerializeToString(), tuple(sorted(files.paths)))


def _stored(tensor: TensorProto) -> Stored:
    return Stored(
        tensor.name, tensor.data_type, tuple(tensor.dims), {entry.key: entry.value for entry in tensor.external_data}
    )


def all_tensors(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor that a file carries: initialisers and attributes, subgraphs and local functions included."""
    yield from _graph_tensors(model.graph)
    for function in model.functions:
        for node in function.node:
            yield from _node_tensors(node)


def _graph_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[TensorProto]:
    for attr in node.attribute:
        if attr.HasField("t"):
            yield attr.t
        yield from attr.tensors
        if attr.HasField("sparse_tensor"):
            yield attr.sparse_tensor.values
            yield attr.sparse_tensor.indices
        if attr.HasField("g"):
            yield from _graph_tensors(attr.g)
        for graph in attr.graphs:
            yield from _graph_tensors(graph)
