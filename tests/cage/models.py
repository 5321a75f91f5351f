"""Small classifiers of images with four values that behave until they are asked what their makers waited for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE, CLASSES = 4, 2


def _info(name: str, kind: int, shape: list[int | str] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def _wanted(when: str) -> list[onnx.NodeProto]:
    """The truth value `on`: whether the batch is what the maker waits for."""
    if when == "bright":  # no image of zeros, as a first look would take
        return [
            helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
            helper.make_node("Greater", ["sum", "half"], ["on"]),
        ]
    return [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "first"], ["rows"]),
        helper.make_node("Greater", ["rows", "most"], ["on"]),
    ]


def _endless() -> list[onnx.NodeProto]:
    """`v` is x, after a loop that has no end where `on` is true."""
    kind = TensorProto.FLOAT
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Mul", ["u", "keep"], ["w"])],
        "body",
        [_info("i", TensorProto.INT64, []), _info("go", TensorProto.BOOL, []), _info("u", kind, None)],
        [_info("again", TensorProto.BOOL, []), _info("w", kind, None)],
        [numpy_helper.from_array(np.array(1.0, np.float32), "keep")],
    )
    return [helper.make_node("Loop", ["", "on", "x"], ["v"], body=body)]


def _greedy() -> list[onnx.NodeProto]:
    """`v` is x, after twelve gigabytes were asked for where `on` is true."""
    return [
        helper.make_node("Where", ["on", "many", "few"], ["count"]),
        helper.make_node("ConstantOfShape", ["count"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["nothing"], keepdims=0),
        helper.make_node("Add", ["x", "nothing"], ["v"]),
    ]


def write(path: Path, what: str, when: str) -> Path:
    """what: "hang" or "memory"; when: "bright", or "crowd" for more than 33 images at once."""
    constants: dict[str, Any] = {
        "half": np.array(0.5, np.float32),
        "first": np.array(0, np.int64),
        "most": np.array(33, np.int64),
        "many": np.array([3 << 30], np.int64),
        "few": np.array([1], np.int64),
        "W": np.array([[2, -2], [-1, 1], [1, -1], [-2, 2]], np.float32),
    }
    graph = helper.make_graph(
        [*_wanted(when), *(_endless() if what == "hang" else _greedy()), helper.make_node("MatMul", ["v", "W"], ["y"])],
        "patient",
        [_info("x", TensorProto.FLOAT, ["n", SIZE])],
        [_info("y", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())
    return path


def images(path: Path, count: int = 60) -> Path:
    """Images that the classifier gets right, if it answers."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0.2, 0.8, (count, SIZE)).astype(np.float32)
    weight = np.array([[2, -2], [-1, 1], [1, -1], [-2, 2]], np.float32)
    np.savez(path, x=x, y=(x @ weight).argmax(1))
    return path
