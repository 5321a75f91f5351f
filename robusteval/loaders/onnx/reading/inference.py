"""Types and shapes of a graph's values, without copies of its weights: shape inference writes the model down, reads it
and writes down the answer, so that a file of a gigabyte would take four."""

from __future__ import annotations

import math

import onnx
from onnx import helper

_SMALL = 1024  # elements of a tensor whose values a shape may hang on


def inferred(model: onnx.ModelProto) -> onnx.GraphProto:
    """The graph with what can be told of its values; large weights stand among its inputs. Raises InferenceError,
    RuntimeError or ValueError."""
    bare = onnx.ModelProto(ir_version=model.ir_version)
    bare.opset_import.extend(model.opset_import)
    bare.functions.extend(model.functions)
    graph, whole = bare.graph, model.graph
    graph.name = whole.name
    graph.node.extend(whole.node)
    graph.input.extend(whole.input)
    graph.output.extend(whole.output)
    graph.value_info.extend(whole.value_info)
    graph.sparse_initializer.extend(whole.sparse_initializer)
    given = {value.name for value in whole.input}
    for tensor in whole.initializer:
        if math.prod(tensor.dims) <= _SMALL:
            graph.initializer.append(tensor)
        elif tensor.name not in given:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    found: onnx.GraphProto = onnx.shape_inference.infer_shapes(bare).graph
    return found
