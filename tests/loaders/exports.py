"""Files as submitters hand them in: the same small classifiers, exported and mangled in many ways."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tests.devices import on_the_processor
from tests.loaders import zoo


def export(
    module: nn.Module,
    path: Path,
    shape: tuple[int, ...] = (3, 16, 16),
    opset: int = 17,
    batch: int | None = None,
    open_axes: tuple[int, ...] = (),
) -> Path:
    """By the exporter that every opset goes through; `batch` fixes the batch size, `open_axes` leaves others open."""
    axes: dict[str, dict[int, str]] = {"x": {i: f"d{i}" for i in open_axes}, "y": {}}
    if batch is None:
        axes["x"][0] = axes["y"][0] = "n"
    with warnings.catch_warnings(), on_the_processor():
        warnings.simplefilter("ignore")  # the exporter announces its own successor
        torch.onnx.export(
            copy.deepcopy(module).eval().cpu(),
            (torch.rand(batch or 2, *shape),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["y"],
            dynamic_axes=axes,
            opset_version=opset,
        )
    return path


def export_dynamo(module: nn.Module, path: Path, shape: tuple[int, ...] = (3, 16, 16)) -> Path:
    """By torch's newer exporter, with a free batch axis."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (torch.rand(2, *shape),),
            str(path),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            external_data=False,
            verbose=False,
        )
    return path


class Wrapped(nn.Module):
    """A classifier with something before and something after it."""

    def __init__(self, inner: nn.Module, before: Any = None, after: Any = None) -> None:
        super().__init__()
        self.inner, self.before, self.after = inner, before, after

    def forward(self, x: Tensor) -> Any:
        x = self.inner(self.before(x) if self.before else x)
        return self.after(x) if self.after else x


def cnn() -> nn.Module:
    return zoo.make("vgg")


def save(path: Path, nodes: list[onnx.NodeProto], consts: dict[str, Any], **shapes: Any) -> Path:
    """A hand-written graph from x to y. shapes: x=, y= lists of dimensions, elem= the input's element type."""
    elem = shapes.get("elem", TensorProto.FLOAT)
    graph = helper.make_graph(
        nodes,
        "hand",
        [helper.make_tensor_value_info("x", elem, shapes["x"])],
        [helper.make_tensor_value_info("y", shapes.get("out", TensorProto.FLOAT), shapes["y"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in consts.items()],
    )
    opsets = [helper.make_opsetid("", shapes.get("opset", 17)), *shapes.get("domains", [])]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def with_external_data(path: Path, target: Path, location: str = "weights.bin") -> Path:
    """The same model with its weights in a file beside it."""
    model = onnx.load(str(path))
    onnx.save_model(
        model,
        str(target),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=location,
        size_threshold=0,
    )
    return target


class Reader:
    """Calibration inputs for onnxruntime's quantiser."""

    def __init__(self, name: str, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.feeds = iter([{name: rng.random((4, *shape), dtype=np.float32)} for _ in range(8)])

    def get_next(self) -> Any:
        return next(self.feeds, None)


def quantised(path: Path, target: Path, how: str) -> Path:
    """int8 by onnxruntime's own tool. how: "qdq", "qoperator" or "dynamic"."""
    import logging

    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )

    logging.disable(logging.WARNING)
    try:
        if how == "dynamic":
            quantize_dynamic(str(path), str(target), weight_type=QuantType.QUInt8)
        else:
            reader = type("R", (Reader, CalibrationDataReader), {})("x", (3, 16, 16))
            style = QuantFormat.QDQ if how == "qdq" else QuantFormat.QOperator
            quantize_static(str(path), str(target), reader, quant_format=style)
    finally:
        logging.disable(logging.NOTSET)
    return target


def halved(path: Path, target: Path) -> Path:
    """The same model in half precision throughout."""
    model = onnx.load(str(path))
    for t in model.graph.initializer:
        if t.data_type == TensorProto.FLOAT:
            t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float16), t.name))
    for node in model.graph.node:
        for a in node.attribute:
            if a.HasField("t") and a.t.data_type == TensorProto.FLOAT:
                a.t.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(a.t).astype(np.float16), a.t.name))
    for v in (*model.graph.input, *model.graph.output):
        v.type.tensor_type.elem_type = TensorProto.FLOAT16
    del model.graph.value_info[:]
    target.write_bytes(model.SerializeToString())
    return target
