"""Reading an ONNX file from a stranger: sizes, external data, and one self-contained blob that can travel."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from robusteval.errors import ModelError
from robusteval.runtime.files import MAX_BYTES, checked, read_content

BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.DOUBLE: 64, TensorProto.FLOAT16: 16, TensorProto.BFLOAT16: 16,
    TensorProto.INT8: 8, TensorProto.UINT8: 8, TensorProto.INT16: 16, TensorProto.UINT16: 16, TensorProto.INT32: 32,
    TensorProto.UINT32: 32, TensorProto.INT64: 64, TensorProto.UINT64: 64, TensorProto.BOOL: 8, TensorProto.INT4: 4,
    TensorProto.UINT4: 4, TensorProto.FLOAT8E4M3FN: 8, TensorProto.FLOAT8E4M3FNUZ: 8, TensorProto.FLOAT8E5M2: 8,
    TensorProto.FLOAT8E5M2FNUZ: 8,
}  # fmt: skip


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
    digest = hashlib.sha256(content)
    outside = [t for t in all_tensors(model) if t.data_location == TensorProto.EXTERNAL]
    if not outside:
        return ModelFile(path.name, digest.hexdigest(), content)
    names = _embed(outside, path.parent, len(content))
    for name in names:
        digest.update((path.parent / name).read_bytes())
    return ModelFile(path.name, digest.hexdigest(), model.SerializeToString(), tuple(names))


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


def _embed(tensors: list[TensorProto], folder: Path, so_far: int) -> list[str]:
    """Puts external data into the tensors. Returns the names of the files read, sorted."""
    names: dict[str, Path] = {}
    for tensor in tensors:
        entries = {e.key: e.value for e in tensor.external_data}
        location = entries.get("location", "")
        if location not in names:
            names[location] = checked(folder, location)
        so_far += _embed_one(tensor, entries, names[location])
        if so_far > MAX_BYTES:
            raise ModelError(
                f"The model with its external data has more than {MAX_BYTES} bytes.", "Use a smaller model."
            )
    return sorted(names)


def _embed_one(tensor: TensorProto, entries: dict[str, str], path: Path) -> int:
    hint = "Export the model again."
    if tensor.data_type not in BITS or any(d < 0 for d in tensor.dims):
        raise ModelError(f"The tensor {tensor.name!r} has a type or shape that cannot be read from outside.", hint)
    need = (math.prod(tensor.dims) * BITS[tensor.data_type] + 7) // 8
    size = path.stat().st_size
    try:
        offset, length = int(entries.get("offset", "0")), int(entries.get("length", need))
    except ValueError as error:
        raise ModelError(f"The tensor {tensor.name!r} has an offset that is not a number.", hint) from error
    if offset < 0 or length != need or offset + length > size:
        raise ModelError(f"The tensor {tensor.name!r} does not fit into its external data file.", hint)
    with path.open("rb") as stream:
        stream.seek(offset)
        tensor.raw_data = stream.read(length)
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT
    return length
