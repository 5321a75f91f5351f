"""Random graphs of real operators, opened in this process as the child process has let them through: a classifier or
one sentence."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.loaders.onnx import classifier
from tests.fuzz.seeds import value
from tests.fuzz.test_fuzz import MANY

UNARY = [
    "Relu", "Sigmoid", "Tanh", "Exp", "Log", "Sqrt", "Abs", "Neg", "Floor", "Sign", "Erf", "Softmax", "LogSoftmax",
    "Softplus", "Not", "Identity", "Reciprocal", "HardSigmoid", "Elu", "Selu", "Gelu", "Mish", "IsNaN", "Shape", "Size",
    "NonZero", "Det",
]  # fmt: skip
BINARY = ["Add", "Mul", "Div", "Sub", "Pow", "Max", "Min", "MatMul", "Gemm", "Concat", "Greater", "Equal", "And", "Mod"]
OTHER: dict[str, dict[str, Any]] = {
    "Flatten": {"axis": 1},
    "Cast": {"to": 7},
    "ReduceMean": {"keepdims": 0},
    "ArgMax": {"axis": -1},
    "Transpose": {"perm": [1, 0]},
    "GlobalAveragePool": {},
    "MaxPool": {"kernel_shape": [2, 2]},
    "AveragePool": {"kernel_shape": [10**9, 2]},
    "Conv": {},
    "Reshape": {},
    "Expand": {},
    "Tile": {},
    "Gather": {"axis": 0},
    "TopK": {},
    "OneHot": {},
    "Dropout": {},
    "LRN": {"size": 3},
    "Squeeze": {},
    "CumSum": {},
}
CONSTANTS = {
    "w": np.linspace(-1, 1, 48, dtype=np.float32).reshape(16, 3),
    "one": np.array(1.0, np.float32),
    "nan": np.array(np.nan, np.float32),
    "rows": np.array([0, -1], np.int64),
    "big": np.array([1, 4096], np.int64),
    "k": np.ones((2, 1, 3, 3), np.float32),
    "none": np.zeros((0, 3), np.float32),
}
STEPS = st.lists(
    st.tuples(
        st.sampled_from([*UNARY, *BINARY, *OTHER]), st.integers(0, 5), st.sampled_from([*CONSTANTS, "", "earlier"])
    ),
    min_size=0,
    max_size=4,
)


def graph(steps: list[tuple[str, int, str]], batch: int | str, tail: bool) -> bytes:
    """A chain from x [batch, 1, 4, 4]; each step reads an earlier value, and perhaps a constant."""
    names, nodes = ["x"], []
    for number, (kind, back, other) in enumerate(steps):
        first = names[-1 - back % len(names)]
        second = names[0] if other == "earlier" else other
        inputs = [first] if kind in UNARY or not second else [first, second]
        attributes = {"axis": 1} if kind == "Concat" else OTHER.get(kind, {})
        nodes.append(helper.make_node(kind, inputs, [f"v{number}"], **attributes))
        names.append(f"v{number}")
    last = names[-1]
    if tail:  # so that most are classifiers
        nodes += [helper.make_node("Flatten", [last], ["f"], axis=1), helper.make_node("MatMul", ["f", "w"], ["y"])]
        last = "y"
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in CONSTANTS.items()]
    x, y = value("x", TensorProto.FLOAT, [batch, 1, 4, 4]), value(last, TensorProto.FLOAT, None)
    made = helper.make_graph(nodes or [helper.make_node("Identity", ["x"], ["v0"])], "g", [x], [y], tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.filterwarnings("ignore")
def test_random_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "probe_file", lambda *_: None)  # a child process, asked in tests/loaders
    opened = []

    @settings(
        max_examples=MANY or 100, deadline=None, database=None, derandomize=not MANY,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(STEPS, st.sampled_from(["n", 1, 7]), st.integers(0, 4))
    def one_graph(steps: list[tuple[str, int, str]], batch: int | str, tail: int) -> None:
        with tempfile.TemporaryDirectory() as place:
            path = Path(place, "g.onnx")
            path.write_bytes(graph(steps, batch, tail > 0))
            with contextlib.suppress(ModelError):
                opened.append(classifier.load_onnx(path, LoadOptions()).info)

    one_graph()
    assert len(opened) > 3
