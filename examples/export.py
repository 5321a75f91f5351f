"""Writes a network as an ONNX file that depends on nothing but its weights, and measures such files."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from idx import CLASS_NAMES
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

OPSET = 18


def export(network: nn.Module) -> onnx.ModelProto:
    """The network as ONNX: input "x" float [N, 1, 28, 28] with N free, output "logits" [N, 10], weights inside."""
    batch = torch.export.Dim("N", min=1)
    program = torch.onnx.export(
        network.eval(),
        (torch.zeros(2, 1, 28, 28),),
        input_names=["x"],
        output_names=["logits"],
        opset_version=OPSET,
        dynamic_shapes=({0: batch},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("the exporter returned no program")
    model = program.model_proto
    forget_origin(model)
    return model


def forget_origin(model: onnx.ModelProto) -> None:
    """Drops notes on where each node came from: they name source files, which differ from machine to machine."""
    del model.metadata_props[:]
    model.doc_string = ""
    graph = model.graph
    graph.doc_string = ""
    graph.name = "main"
    for part in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    for part in model.functions:
        raise ValueError(f"the graph calls the local function {part.name}, which a plain file should not need")


class _Batches(CalibrationDataReader):
    """Calibration images [N, 1, 28, 28] in batches of 100."""

    def __init__(self, x: NDArray[np.float32]) -> None:
        self._batches: Iterator[NDArray[np.float32]] = iter(np.split(x, range(100, len(x), 100)))

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        return None if batch is None else {"x": batch}


def quantize(model: onnx.ModelProto, calibration: NDArray[np.float32]) -> onnx.ModelProto:
    """Static int8 in the QDQ form, calibrated on images [N, 1, 28, 28] in [0, 1].

    Weights keep 7 of their 8 bits: on processors without VNNI the 8-bit products of ONNX Runtime may saturate, and the
    same file would give other answers there.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantized = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(quantized),
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        result = onnx.load(quantized)
    forget_origin(result)
    return result


def save(model: onnx.ModelProto, path: Path, accuracy: float, more: Mapping[str, str] | None = None) -> None:
    """Writes the file with its metadata: data set, class names, input range, accuracy on the 10,000 test images.

    more: what else it says of itself.
    """
    del model.metadata_props[:]
    facts = {
        "robusteval.dataset": "fashion-mnist",
        "class_names": json.dumps(CLASS_NAMES),
        "range": "0,1",
        "test_accuracy": f"{accuracy:.4f}",
    }
    onnx.helper.set_model_props(model, facts | dict(more or {}))
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def accuracy(model: onnx.ModelProto, x: NDArray[np.float32], y: NDArray[np.integer]) -> float:
    """Share of images [N, 1, 28, 28] in [0, 1] that ONNX Runtime, on one thread, classifies as labelled."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    cuts = range(500, len(x), 500)
    batches = zip(np.split(x, cuts), np.split(y, cuts), strict=True)
    hits = [np.argmax(session.run(None, {"x": a})[0], axis=1) == b for a, b in batches]
    return float(np.concatenate(hits).mean())
