"""Affine layers folded into the weights before them: the same answers and gradients from fewer calls, where exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.onnx.twin import graph as walker
from robusteval.loaders.onnx.twin.graph import Twin
from robusteval.loaders.onnx.twin.program import Call

RNG = np.random.default_rng(0)
Constant = tuple[str, tuple[int, ...]]


def graph(
    nodes: Sequence[onnx.NodeProto], constants: Sequence[Constant], opset: int = 17, shape: Sequence[int] = (2, 4, 6, 6)
) -> onnx.ModelProto:
    """x -> y; constants by name and shape, all positive."""
    tensors = [numpy_helper.from_array((RNG.random(size) + 0.5).astype(np.float32), name) for name, size in constants]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    made = helper.make_graph(nodes, "g", [x], [y], tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def both(model: onnx.ModelProto) -> tuple[Twin, Twin]:
    opsets = {item.domain: item.version for item in model.opset_import}
    return Twin(model.graph, opsets), Twin(model.graph, opsets, folds=False)


def same(model: onnx.ModelProto, folded: int) -> None:
    """Both twins answer alike and have the same gradients, in float64, and so many calls fewer are left."""
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    mine, plain = (twin.double() for twin in both(model))
    assert mine.folded == folded
    assert len(plain.live) - len(mine.live) == folded
    x = torch.from_numpy(RNG.random(shape) - 0.3)
    answers, grads = [], []
    for twin in (mine, plain):
        leaf = x.clone().requires_grad_(True)
        answers.append(twin(leaf))
        grads.append(torch.autograd.grad(answers[-1].square().sum(), leaf)[0])
    assert torch.allclose(answers[0], answers[1], rtol=1e-9, atol=1e-11)
    assert torch.allclose(grads[0], grads[1], rtol=1e-9, atol=1e-11)


LAYERS: dict[str, tuple[onnx.NodeProto, list[Constant], tuple[int, ...], int]] = {
    "conv": (helper.make_node("Conv", ["x", "w"], ["h"], pads=[1] * 4), [("w", (8, 4, 3, 3))], (2, 4, 6, 6), 8),
    "conv with bias, in groups": (
        helper.make_node("Conv", ["x", "w", "b"], ["h"], group=2, strides=[2, 2], auto_pad="SAME_UPPER"),
        [("w", (8, 2, 3, 3)), ("b", (8,))],
        (2, 4, 6, 6),
        8,
    ),
    "conv over one axis": (helper.make_node("Conv", ["x", "w"], ["h"]), [("w", (8, 4, 3))], (2, 4, 6), 8),
    "transposed, in groups": (
        helper.make_node("ConvTranspose", ["x", "w"], ["h"], group=2, strides=[2, 2], output_padding=[1, 1]),
        [("w", (4, 4, 3, 3))],
        (2, 4, 6, 6),
        8,
    ),
    "transposed with bias": (
        helper.make_node("ConvTranspose", ["x", "w", "b"], ["h"], strides=[2, 2], output_padding=[1, 0]),
        [("w", (4, 8, 3, 3)), ("b", (8,))],
        (2, 4, 6, 6),
        8,
    ),
    "gemm": (helper.make_node("Gemm", ["x", "w", "b"], ["h"]), [("w", (5, 8)), ("b", (8,))], (3, 5), 8),
    "gemm with factors": (
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1, alpha=0.5, beta=3.0),
        [("w", (8, 5)), ("b", (1, 8))],
        (3, 5),
        8,
    ),
    "gemm without bias": (helper.make_node("Gemm", ["x", "w"], ["h"], alpha=2.0), [("w", (5, 8))], (3, 5), 8),
    "matmul": (helper.make_node("MatMul", ["x", "w"], ["h"]), [("w", (5, 8))], (2, 3, 5), 8),
}


def after(layer: str, op: str, size: tuple[int, ...], first: bool = False, opset: int = 17) -> onnx.ModelProto:
    """A layer and then h op c, or c op h."""
    node, constants, shape, _ = LAYERS[layer]
    ins = ["c", "h"] if first else ["h", "c"]
    return graph([node, helper.make_node(op, ins, ["y"])], [*constants, ("c", size)], opset, shape)


def channelwise(layer: str) -> tuple[int, ...]:
    _, _, shape, channels = LAYERS[layer]
    return (channels, *[1] * (len(shape) - 2)) if "gemm" not in layer and "matmul" not in layer else (channels,)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("layer", LAYERS)
def test_a_constant_a_channel_is_folded(layer: str, op: str) -> None:
    same(after(layer, op, channelwise(layer)), 1)
    same(after(layer, op, ()), 1)
    same(after(layer, op, channelwise(layer), first=True), 0 if op == "Div" else 1)


@pytest.mark.parametrize("layer", [name for name in LAYERS if name != "matmul"])
def test_batch_norm_is_folded(layer: str) -> None:
    node, constants, shape, channels = LAYERS[layer]
    norm = helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["y"], epsilon=1e-3)
    same(graph([node, norm], [*constants, *[(name, (channels,)) for name in "stmv"]], 17, shape), 1)


def test_what_follows_one_another_is_folded_into_one() -> None:
    node, constants, shape, _ = LAYERS["conv"]
    nodes = [
        node,
        helper.make_node("Identity", ["h"], ["i"]),
        helper.make_node("BatchNormalization", ["i", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Dropout", ["n"], ["d"]),
        helper.make_node("Mul", ["d", "c"], ["e"]),
        helper.make_node("Relu", ["e"], ["r"]),
        helper.make_node("Sub", ["c", "r"], ["y"]),
    ]
    same(graph(nodes, [*constants, *[(name, (8,)) for name in "stmv"], ("c", (1, 8, 1, 1))], 17, shape), 4)


@pytest.mark.parametrize(
    ("layer", "size"),
    [("conv", (6,)), ("conv", (1, 1, 6, 6)), ("conv", (2, 1, 1, 1)), ("conv", (1, 1, 8, 1, 1)), ("gemm", (3, 1)),
     ("gemm", (1, 1, 8)), ("gemm without bias", (3, 8)), ("matmul", (3, 1)), ("matmul", (1, 8))],
)  # fmt: skip
def test_a_constant_along_another_axis_is_left(layer: str, size: tuple[int, ...]) -> None:
    same(after(layer, "Mul", size), 0)


def test_what_others_read_or_ask_for_is_left() -> None:
    node, constants, shape, _ = LAYERS["conv"]
    more = [helper.make_node("Mul", ["h", "c"], ["k"]), helper.make_node("Add", ["k", "h"], ["y"])]
    same(graph([node, *more], [*constants, ("c", ())], 17, shape), 0)
    model = after("conv", "Mul", ())
    shown = Twin(model.graph, {"": 17}, shown=("h",))
    assert shown.folded == 0
    assert "h" in shown.values(torch.rand(2, 4, 6, 6))
    same(graph([helper.make_node("Identity", ["x"], ["y"])], [], 17, shape), 0)


@pytest.mark.parametrize(("opset", "attributes"), [(14, {"training_mode": 1}), (7, {"spatial": 0})])
def test_batch_norm_of_another_kind_is_left(opset: int, attributes: dict[str, Any]) -> None:
    node, constants, shape, _ = LAYERS["conv over one axis"]
    size = (8, 4) if "spatial" in attributes else (8,)
    norm = helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["y"], **attributes)
    same(graph([node, norm], [*constants, *[(name, size) for name in "stmv"]], opset, shape), 0)


def test_batch_norm_after_a_product_of_three_axes_is_left() -> None:
    node, constants, shape, _ = LAYERS["matmul"]
    norm = helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["y"])
    same(graph([node, norm], [*constants, *[(name, (3,)) for name in "stmv"]], 17, shape), 0)


def test_weights_that_would_not_be_finite_are_left() -> None:
    model = after("conv", "Div", ())
    for tensor in model.graph.initializer:
        if tensor.name == "c":
            tensor.CopyFrom(numpy_helper.from_array(np.array(0.0, np.float32), "c"))
    mine, plain = both(model)
    assert mine.folded == 0
    assert len(mine.live) == len(plain.live)


def test_weights_that_learn_are_the_files_own() -> None:
    node, constants, shape, channels = LAYERS["conv"]
    norm = helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["y"])
    mine, plain = both(graph([node, norm], [*constants, *[(name, (channels,)) for name in "stmv"]], 17, shape))
    mine.learn()
    plain.learn()
    assert mine.folded == 0
    assert {name: p.shape for name, p in mine.named_parameters()} == {n: p.shape for n, p in plain.named_parameters()}
    assert len(list(mine.double().parameters())) == 3  # weights, scales and shifts


def test_parity_is_that_of_the_folded_twin_and_where_it_fails_nothing_is_folded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], pads=[1] * 4),
        helper.make_node("BatchNormalization", ["h", "s", "t", "m", "v"], ["n"]),
        helper.make_node("Relu", ["n"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    model = graph(nodes, [("w", (8, 3, 3, 3)), *[(name, (8,)) for name in "stmv"]], 17, (0, 3, 6, 6))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    for tensor in model.graph.initializer:
        if tensor.name == "w":
            weights = RNG.standard_normal((8, 3, 3, 3)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(weights, "w"))
    onnx.save(model, tmp_path / "m.onnx")
    good = load_onnx(tmp_path / "m.onnx", LoadOptions())
    assert (good.info.rung, good._climbed.folds) == ("A", True)
    good.twin(torch.rand(2, 3, 6, 6))
    assert good._runner is not None
    assert good._runner.module.folded == 1

    def without_scale(calls: Sequence[Call], env: list[Any], kept: set[int]) -> list[Call]:
        (norm,) = [call for call in calls if call.node.op == "BatchNormalization"]
        rest = [call for call in calls if call is not norm]
        return [replace(c, ins=tuple(norm.ins[0] if i == norm.outs[0] else i for i in c.ins)) for c in rest]

    monkeypatch.setattr(walker, "simplified", without_scale)
    careful = load_onnx(tmp_path / "m.onnx", LoadOptions())
    assert (careful.info.rung, careful._climbed.folds) == ("A", False)
    assert torch.allclose(careful.twin(torch.ones(2, 3, 6, 6)), careful.logits(torch.ones(2, 3, 6, 6)), atol=1e-4)
