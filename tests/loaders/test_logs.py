"""Saturated scores in every spelling: attacked as the same net that ends in its Softmax or Sigmoid."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from tests.loaders.masked import CLASSES, PATTERNS, Graph, attacked, images, share

SHARP = 25.0  # logits some 100 apart: float32 probabilities of exactly 0 and 1
Make = Callable[[Graph, str], str]


def _written_out(g: Graph, z: str) -> str:
    e = g("Exp", g("Sub", z, g("ReduceMax", z, np.array([1], dtype=np.int64), keepdims=1)))
    answer: str = g("Div", e, g("ReduceSum", e, np.array([1], dtype=np.int64), keepdims=1))
    return answer


def _guarded(g: Graph, z: str) -> str:
    e = g("Exp", g("Sub", z, g("ReduceMax", z, np.array([1], dtype=np.int64), keepdims=1)))
    answer: str = g("Mul", e, g("Reciprocal", g("Add", g("ReduceSum", e, np.array([1], dtype=np.int64)), 1e-9)))
    return answer


def _split(g: Graph, z: str) -> str:
    first, last = g("Split", g("Softmax", z), np.array([4, 6], dtype=np.int64), outputs=2, axis=1)
    answer: str = g("Concat", first, last, axis=1)
    return answer


def _sliced(g: Graph, z: str) -> str:
    wide = g("Softmax", g("Concat", z, g("Sub", z, 30.0), axis=1))
    answer: str = g("Slice", wide, np.array([0]), np.array([CLASSES]), np.array([1]))
    return answer


def _stacked(g: Graph, z: str) -> str:
    members = [g("Unsqueeze", g("Softmax", g("Mul", z, f)), np.array([0])) for f in (1.0, 1.1, 0.9)]
    answer: str = g("ReduceMean", g("Concat", *members, axis=0), np.array([0]), keepdims=0)
    return answer


def _weighted(g: Graph, z: str) -> str:
    parts = [g("Mul", g("Softmax", g("Mul", z, f)), w) for f, w in ((1.0, 0.7), (0.9, 0.3))]
    answer: str = g("Add", *parts)
    return answer


def _shaped(g: Graph, z: str) -> str:
    p = g("Reshape", g("Softmax", z), np.array([0, CLASSES, 1, 1]))
    answer: str = g("Dropout", g("Squeeze", g("Transpose", p, perm=[0, 2, 1, 3]), np.array([1, 3])))
    return answer


SOFT: dict[str, Make] = {
    "Clip": lambda g, z: g("Clip", g("Softmax", z), 1e-7, 1 - 1e-7),
    "Exp of LogSoftmax": lambda g, z: g("Exp", g("LogSoftmax", z)),
    "written out": _written_out,
    "written out, guarded": _guarded,
    "Gather": lambda g, z: g("Gather", g("Softmax", z), np.arange(CLASSES), axis=1),
    "Split and Concat": _split,
    "Slice": _sliced,
    "a percentage": lambda g, z: g("Mul", g("Softmax", z), 100.0),
    "shapes": _shaped,
    "Cast": lambda g, z: g("Cast", g("Cast", g("Softmax", z), to=TensorProto.DOUBLE), to=TensorProto.FLOAT),
    "mean of members": lambda g, z: g("Mean", g("Softmax", z), g("Softmax", g("Mul", z, 0.9))),
    "stacked members": _stacked,
    "weighted members": _weighted,
    "a mixing matrix": lambda g, z: g(
        "MatMul",
        g("Concat", g("Softmax", z), g("Softmax", g("Mul", z, 0.9)), axis=1),
        np.concatenate([np.eye(CLASSES), np.eye(CLASSES)]).astype(np.float32) / 2,
    ),
    "Log": lambda g, z: g("Log", g("Softmax", z)),
    "Log of a guarded one": lambda g, z: g("Log", g("Add", g("Softmax", z), 1e-8)),
    "Add eps": lambda g, z: g("Add", g("Softmax", z), 1e-6),
    "Max": lambda g, z: g("Max", 1e-6, g("Softmax", z)),
    "a square root": lambda g, z: g("Sqrt", g("Softmax", z)),
    "between -1 and 1": lambda g, z: g("Sub", g("Mul", g("Softmax", z), 2.0), 1.0),
    "Hardmax": lambda g, z: g("Hardmax", z, axis=-1),
    "minus what is missing": lambda g, z: g("Neg", g("Sub", 1.0, g("Softmax", z))),
    "times a negative number": lambda g, z: g("Mul", g("Sub", 1.0, g("Softmax", z)), -3.0),
    "less their mean": lambda g, z: g("Sub", g("Softmax", z), g("ReduceMean", g("Softmax", z), np.array([1]))),
    "of length 1": lambda g, z: g("Div", g("Softmax", z), g("ReduceL2", g("Softmax", z), np.array([1]))),
    "of sum 1": lambda g, z: g("LpNormalization", g("Softmax", z), axis=1, p=1),
    "whole percentages": lambda g, z: g("Round", g("Mul", g("Softmax", z), 100.0)),
    "the softmax of its logarithm": lambda g, z: g("Softmax", g("Log", g("Softmax", z))),
    "at another temperature": lambda g, z: g("Softmax", g("Div", g("Log", g("Softmax", z)), 1.5)),
    "powers of two": lambda g, z: g("Softmax", g("Log", g("Pow", 2.0, g("Mul", z, 0.5)))),
}  # fmt: skip


def logits(g: Graph) -> str:
    answer: str = g("MatMul", g("Sub", g("Flatten", "x"), 0.5), SHARP * PATTERNS.T.copy())
    return answer


def load(folder: Path, make: Make, samples: Tensor | None, classes: int = CLASSES) -> OnnxClassifier:
    g = Graph()
    return load_onnx(g.save(folder / "m.onnx", make(g, logits(g)), classes), LoadOptions(), samples)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> OnnxClassifier:
    return load(tmp_path_factory.mktemp("plain"), lambda g, z: g("Softmax", z), images()[0])


@pytest.mark.parametrize("name", SOFT)
def test_saturated_scores_fall_as_those_that_end_in_softmax(name: str, plain: OnnxClassifier, tmp_path: Path) -> None:
    x, y = images()
    model = load(tmp_path, SOFT[name], x)
    assert (model.info.rung, model.info.gradients) == ("C", "exact"), model.info.gradients_reason
    assert "in logarithms from" in model.info.gradients_reason
    assert torch.isfinite(model.logits(x)).all()
    for eps in (0.0, 0.03, 0.06, 0.1):
        assert abs(share(attacked(model, x, y, eps)) - share(attacked(plain, x, y, eps))) <= 0.05
    assert share(attacked(model, x, y, 0.1)) < 0.3


def _shifted(g: Graph, z: str) -> str:
    answer: str = g("Sub", g("Mul", z, 0.25), 20.0)
    return answer  # 1 for the winner, 0 for the others; half where they meet


SIGMOIDS: dict[str, Make] = {
    "Clip": lambda g, z: g("Clip", g("Sigmoid", _shifted(g, z)), 1e-30, 1.0),
    "written out": lambda g, z: g("Reciprocal", g("Add", g("Exp", g("Neg", _shifted(g, z))), 1.0)),
    "Exp of minus Softplus": lambda g, z: g("Exp", g("Neg", g("Softplus", g("Neg", _shifted(g, z))))),
    "a percentage": lambda g, z: g("Mul", g("Sigmoid", _shifted(g, z)), 100.0),
}


@pytest.mark.parametrize("name", SIGMOIDS)
def test_a_sigmoid_for_each_class(name: str, tmp_path: Path) -> None:
    x, y = images()
    plain = load(tmp_path, lambda g, z: g("Sigmoid", _shifted(g, z)), x)
    model = load(tmp_path, SIGMOIDS[name], x)
    assert model.info.gradients == "exact"
    for eps in (0.03, 0.06, 0.1):
        assert abs(share(attacked(model, x, y, eps)) - share(attacked(plain, x, y, eps))) <= 0.05
    assert share(attacked(model, x, y, 0.1)) < 0.3


def _two(g: Graph, z: str) -> str:
    answer: str = g("Softmax", g("Gather", z, np.array([0, 1]), axis=1))
    return answer


def _difference(g: Graph, z: str) -> str:
    answer: str = g("Sub", g("Gather", z, np.array([1]), axis=1), g("Gather", z, np.array([0]), axis=1))
    return answer


def _both(g: Graph, z: str) -> str:
    s = g("Sigmoid", _difference(g, z))
    answer: str = g("Concat", g("Sub", 1.0, s), s, axis=1)
    return answer


ONE: dict[str, Make] = {
    "Clip": lambda g, z: g("Clip", g("Sigmoid", _difference(g, z)), 1e-7, 1 - 1e-7),
    "one of two": lambda g, z: g("Slice", _two(g, z), np.array([1]), np.array([2]), np.array([1])),
    "mean": lambda g, z: g("Mean", g("Sigmoid", _difference(g, z)), g("Sigmoid", g("Mul", _difference(g, z), 0.9))),
    "the rest": lambda g, z: g("Sub", 1.0, g("Sigmoid", g("Neg", _difference(g, z)))),
    "both": _both,
}


@pytest.mark.parametrize("name", ONE)
def test_two_classes_in_one_number(name: str, tmp_path: Path) -> None:
    x, y = images(100)
    x, y = x[y < 2], y[y < 2]
    plain = load(tmp_path, lambda g, z: g("Sigmoid", _difference(g, z)), x, 1)
    model = load(tmp_path, ONE[name], x, 2 if name == "both" else 1)
    assert (model.info.rung, model.info.gradients, model.info.classes) == ("C", "exact", 2)
    for eps in (0.0, 0.06, 0.1, 0.15):
        assert abs(share(attacked(model, x, y, eps)) - share(attacked(plain, x, y, eps))) <= 0.05
    assert share(attacked(model, x, y, 0.15)) < 0.3


def test_a_softmax_inside_a_function_of_the_file(plain: OnnxClassifier, tmp_path: Path) -> None:
    import onnx

    x, y = images()
    g = Graph()
    g.nodes.append(helper.make_node("Scores", [logits(g)], ["p"], domain="own"))
    path = g.save(tmp_path / "m.onnx", "p")
    model = onnx.load(str(path))
    model.opset_import.append(helper.make_opsetid("own", 1))
    low = helper.make_node("Constant", [], ["low"], value_float=1e-7)
    body = [low, helper.make_node("Softmax", ["z"], ["s"]), helper.make_node("Max", ["s", "low"], ["p"])]
    model.functions.append(helper.make_function("own", "Scores", ["z"], ["p"], body, [helper.make_opsetid("", 18)]))
    path.write_bytes(model.SerializeToString())
    loaded = load_onnx(path, LoadOptions(), x)
    assert (loaded.info.rung, loaded.info.gradients) == ("C", "exact"), loaded.info.gradients_reason
    for eps in (0.03, 0.06, 0.1):
        assert abs(share(attacked(loaded, x, y, eps)) - share(attacked(plain, x, y, eps))) <= 0.05


def test_labels_alone_are_attacked_by_what_their_arg_max_reads(plain: OnnxClassifier, tmp_path: Path) -> None:
    import onnx

    x, y = images()
    g = Graph()
    g.nodes.append(helper.make_node("ArgMax", [g("Softmax", logits(g))], ["l"], axis=1, keepdims=0))
    path = g.save(tmp_path / "m.onnx", "l")
    model = onnx.load(str(path))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", TensorProto.INT64, ["n"]))
    del model.graph.node[-1]
    model.graph.node[-1].output[0] = "y"
    path.write_bytes(model.SerializeToString())
    labels = load_onnx(path, LoadOptions(), x)
    assert (labels.info.output, labels.info.rung, labels.info.gradients) == ("labels", "C", "exact")
    assert share(attacked(labels, x, y, 0.06)) <= share(attacked(plain, x, y, 0.06)) + 0.05


def test_a_softmax_that_does_not_saturate_is_cut_nowhere(tmp_path: Path) -> None:
    x, _ = images()
    model = load(tmp_path, lambda g, z: g("Softmax", g("Mul", z, 0.01)), x)
    assert (model.info.rung, model.info.gradients_reason) == ("A", "")
