"""Shape inference without the weights tells what it tells with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from robusteval.loaders.onnx.reading.inference import inferred

EXAMPLES = Path(__file__).parents[2] / "examples"


def told(graph: onnx.GraphProto) -> dict[str, tuple[int, list[int | str]]]:
    kinds = [(value.name, value.type.tensor_type) for value in (*graph.value_info, *graph.output)]
    return {name: (kind.elem_type, [d.dim_param or d.dim_value for d in kind.shape.dim]) for name, kind in kinds}


@pytest.mark.parametrize("name", ["fashion-cnn", "fashion-int8", "fashion-vit"])
def test_of_an_example_it_tells_the_same(name: str) -> None:
    model = onnx.load(EXAMPLES / f"{name}.onnx")
    before = model.SerializeToString()
    found = inferred(model)
    assert told(found) == told(onnx.shape_inference.infer_shapes(model).graph)
    assert len(told(found)) > 10
    assert sum(len(tensor.raw_data) for tensor in found.initializer) < len(before) / 4
    assert model.SerializeToString() == before


@pytest.mark.parametrize("declared", [False, True])
def test_a_shape_that_hangs_on_a_small_tensor_is_told(declared: bool) -> None:
    tensors = {"W": np.zeros((2048, 6), np.float32), "s": np.array([-1, 2, 3])}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2048])]
    if declared:  # as files before version 4 have their weights
        inputs.append(helper.make_tensor_value_info("W", TensorProto.FLOAT, [2048, 6]))
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["v"]), helper.make_node("Reshape", ["v", "s"], ["y"])],
        "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, key) for key, value in tensors.items()],
    )  # fmt: skip
    found = inferred(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]))
    assert told(found)["v"] == (TensorProto.FLOAT, ["n", 6])
    assert told(found)["y"][1][1:] == [2, 3]
    assert [value.name for value in found.input] == ["x", "W"]
    assert [tensor.name for tensor in found.initializer] == ["s"]
