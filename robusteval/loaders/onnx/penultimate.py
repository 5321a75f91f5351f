"""The penultimate features of an ONNX file: which tensor the last linear layer before its output reads."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx
import torch
from onnx import inliner

from robusteval.errors import AccessError, ModelError
from robusteval.loaders.onnx.gradients.ladder import Climb
from robusteval.loaders.onnx.gradients.logarithms import PASSING
from robusteval.loaders.onnx.gradients.parity import TOLERANCES
from robusteval.loaders.onnx.gradients.prepass import consumed, merge_opsets, sort_nodes
from robusteval.loaders.onnx.gradients.probes import probe_inputs
from robusteval.loaders.onnx.reading.file import ModelFile
from robusteval.loaders.onnx.reading.inputs import InputReading, OutputReading
from robusteval.loaders.onnx.reading.reference import Truth
from robusteval.loaders.onnx.twin.node import Unsupported
from robusteval.loaders.output_head import MAX_FEATURES, NO_FEATURES, Head, flat_rows

_WHOLE = ("MatMulInteger", "ConvInteger")
_LINEAR = ("Gemm", "MatMul", "Conv", "FusedGemm", "FusedMatMul", "QLinearMatMul", "QLinearConv", "QGemm", *_WHOLE)
_AFTER = (  # what may stand between the last linear layer and the output, beside what only moves numbers about
    "Softmax", "LogSoftmax", "Sigmoid", "Relu", "Clip", "Neg", "Add", "Sub", "Mul", "Div", "QuantizeLinear",
    "DequantizeLinear", "GlobalAveragePool", "AveragePool", "ReduceMean",
)  # fmt: skip


@dataclass(frozen=True)
class Tapped:
    """All that makes a classifier of the features of a file: a copy of it with one more output, and how that is
    read."""

    file: ModelFile
    output_reading: OutputReading
    head: Head
    climbed: Climb
    truth: Truth
    layer: str  # operator that reads the features


def tap(file: ModelFile, input_reading: InputReading, output_reading: OutputReading, climbed: Climb) -> Tapped:
    """Finds the features, and compares the twin's with ONNX Runtime's. Raises AccessError where there are none to
    use."""
    model = file.proto()
    merge_opsets(model)
    if model.functions:  # layers inside them have no names of their own
        try:
            model = inliner.inline_local_functions(model)
        except RuntimeError as error:
            raise AccessError("The file's own functions cannot be written out.", NO_FEATURES) from error
    name, layer = last_linear(model.graph, output_reading.tensor)
    if name not in {output.name for output in model.graph.output}:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    copy = ModelFile(file.name, file.sha256, model.SerializeToString())
    read = OutputReading(name, "tensor", (), name)
    climbed = replace(climbed, soft=False)
    x = probe_inputs(input_reading, None)
    try:
        truth = Truth(copy.blob, input_reading, read)
        want = flat_rows(truth.raw(x, climbed.forced_batch))
        fine = torch.isfinite(want).all(1)  # a constant image may have no features, as where each is standardised
        if not bool(fine.any()):
            raise AccessError(f"What the last {layer} reads is not finite.", NO_FEATURES)
        x, want = x[fine], want[fine]
    except ModelError as error:
        raise AccessError(
            f"ONNX Runtime does not give what the last {layer} reads: {error.message}", NO_FEATURES
        ) from error
    if want.shape[1] > MAX_FEATURES:
        raise AccessError(f"The last {layer} reads {want.shape[1]} numbers, more than {MAX_FEATURES}.", NO_FEATURES)
    tapped = Tapped(copy, read, Head(classes=want.shape[1]), climbed, truth, layer)
    if climbed.rung != "E":
        _compare(tapped, input_reading, x, want)
    return tapped


def _compare(tapped: Tapped, input_reading: InputReading, x: torch.Tensor, want: torch.Tensor) -> None:
    tolerance = TOLERANCES[tapped.climbed.precision]
    try:
        with torch.no_grad():
            got = tapped.climbed.runner(tapped.file, input_reading, tapped.output_reading, tapped.head).scores(x)
    except (Unsupported, RuntimeError, ValueError, IndexError, TypeError) as error:
        raise AccessError(f"The twin cannot give what the last {tapped.layer} reads: {error}.", NO_FEATURES) from error
    if got.shape != want.shape:
        shapes = f"{tuple(got.shape)} and {tuple(want.shape)}"
        raise AccessError(f"The twin's features and ONNX Runtime's have the shapes {shapes}.", NO_FEATURES)
    gap = _gap(got, want)
    if gap > tolerance and tapped.climbed.precision == "int8":  # fused kernels round otherwise than the file says
        plain = Truth(tapped.file.blob, input_reading, tapped.output_reading, optimise=False)
        gap = _gap(got, flat_rows(plain.raw(x, tapped.climbed.forced_batch)))
    if not gap <= tolerance:
        raise AccessError(f"The twin's features differ from ONNX Runtime's by {gap:.2g} of their size.", NO_FEATURES)


def _gap(got: torch.Tensor, want: torch.Tensor) -> float:
    return float((got - want).abs().max()) / max(1e-12, float(want.abs().max()))


def last_linear(graph: onnx.GraphProto, target: str) -> tuple[str, str]:
    """The tensor that the last linear layer before `target` reads, and that layer's operator.

    Between the two may stand what acts on the scores alone: softmax, shapes, constants added or multiplied, rounding of
    quantised files, averages over places. Raises AccessError where no such layer is found.
    """
    inputs = {i.name for i in graph.input} - {t.name for t in graph.initializer}
    known = inputs | {t.name for t in graph.initializer}
    try:
        nodes = sort_nodes(list(graph.node), known)
    except Unsupported as error:
        raise AccessError(f"The graph cannot be followed: {error}.", NO_FEATURES) from error
    makers, live = {}, set(inputs)
    for node in nodes:
        makers.update(dict.fromkeys(node.output, node))
        if consumed(node) & live:
            live |= set(node.output)
    name = target
    while name in makers:
        node = makers[name]
        moving = [i for i in node.input if i in live]
        if node.op_type in _LINEAR:
            return _read_by(node, moving, makers, inputs, live)
        whole = [i for i in moving if node.op_type == "Mul" and _from_whole(i, makers)]
        moving = whole or moving
        if len(moving) != 1 or node.op_type not in (*PASSING, *_AFTER):
            raise AccessError(
                f"The scores come out of {node.op_type}, behind which no linear layer was found.", NO_FEATURES
            )
        name = moving[0]
    raise AccessError("No linear layer was found before the scores.", NO_FEATURES)


def _from_whole(name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    """Whether the tensor is the product of whole numbers that dynamic quantisation scales afterwards."""
    while name in makers and makers[name].op_type in PASSING:
        name = makers[name].input[0]
    return name in makers and makers[name].op_type in _WHOLE


def _read_by(
    node: onnx.NodeProto, moving: list[str], makers: dict[str, onnx.NodeProto], inputs: set[str], live: set[str]
) -> tuple[str, str]:
    """What a linear layer reads: in quantised files the real numbers before they are rounded, where there are any."""
    name = node.input[0] if node.op_type in _WHOLE else moving[0]
    if len(moving) != 1 and node.op_type not in _WHOLE:
        raise AccessError(f"The last {node.op_type} multiplies two tensors that both depend on the input.", NO_FEATURES)
    before = name
    while before in makers and makers[before].op_type in PASSING:
        before = makers[before].input[0]
    if before in makers and makers[before].op_type in ("QuantizeLinear", "DynamicQuantizeLinear"):
        before = name = makers[before].input[0]
    while before in makers and makers[before].op_type in (*PASSING, "Add", "Sub", "Mul", "Div"):
        ins = [i for i in makers[before].input if i in live]
        before = ins[0] if len(ins) == 1 else ""
    if before in inputs:
        raise AccessError(f"The last {node.op_type} reads the input itself.", NO_FEATURES)
    return name, node.op_type
