"""A twin that answers otherwise still serves where its steps do; and images come before noise."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto, helper
from torch import Tensor

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import AccessError, ModelError
from robusteval.loaders.onnx.classifier import load_onnx
from robusteval.loaders.onnx.gradients import modes
from robusteval.loaders.onnx.twin.graph import Twin
from tests.loaders.masked import CLASSES, PATTERNS, SIDE, Graph, attacked, images, share


def linear(g: Graph, x: str) -> str:
    answer: str = g("MatMul", g("Sub", g("Flatten", x), 0.5), PATTERNS.T.copy())
    return answer


@pytest.fixture
def another_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twins whose answers are far from the file's: every score is bent, and a wrong class is preferred."""
    own = Twin.forward

    def forward(self: Twin, x: Tensor) -> Tensor:
        out = own(self, x)
        return out.sign() * out.abs().sqrt() + 2.0 * torch.eye(CLASSES)[3]

    monkeypatch.setattr(Twin, "forward", forward)


def test_a_twin_that_answers_otherwise_is_used_as_a_surrogate(another_twin: None, tmp_path: Path) -> None:
    x, y = images()
    g = Graph()
    model = load_onnx(g.save(tmp_path / "m.onnx", linear(g, "x")), LoadOptions(), x)
    assert (model.info.rung, model.info.gradients) == ("S", "surrogate")
    for words in ("differ from ONNX Runtime's by", "used as a surrogate", "lower the true margin by", "random ones by"):
        assert words in model.info.gradients_reason
    assert float(model.info.parity["gradient_drop"]) > float(model.info.parity["random_drop"])
    assert share(attacked(model, x, y, 0.1)) < 0.4 < share(attacked(model, x, y, 0.0))
    again = pickle.loads(pickle.dumps(model))
    assert torch.equal(again.twin(x), model.twin(x))


def test_where_no_gradient_helps_there_is_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    noise = torch.randn(SIDE * SIDE, CLASSES, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(Twin, "forward", lambda self, x: (x.flatten(1) - 0.5) @ noise)
    x, _ = images()
    g = Graph()
    model = load_onnx(g.save(tmp_path / "m.onnx", linear(g, "x")), LoadOptions(), x)
    assert (model.info.rung, model.info.gradients) == ("E", "none")
    assert "No gradient helps" in model.info.gradients_reason
    with pytest.raises(AccessError, match="No gradient helps"):
        model.twin(x)


def dark() -> tuple[Tensor, Tensor]:
    """Few bright pixels on black: [60, 1, 8, 8]."""
    x, y = images()
    mask = torch.rand(60, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) < 0.25
    return x * mask, y


def dead_on_noise(path: Path) -> Path:
    """A hidden layer that is off wherever many pixels are bright."""
    g = Graph()
    flat = g("Flatten", "x")
    total = g("ReduceSum", flat, np.array([1], dtype=np.int64))
    alive = g("Relu", g("Sub", g("Add", g("MatMul", flat, PATTERNS.T.copy()), 40.0), g("Mul", total, 3.0)))
    return g.save(path, alive)


def test_a_net_that_is_dead_on_noise_is_alive_on_its_images(tmp_path: Path) -> None:
    path, (x, _) = dead_on_noise(tmp_path / "m.onnx"), dark()
    model = load_onnx(path, LoadOptions(), x)
    assert (model.info.rung, model.info.gradients) == ("A", "exact")
    assert model.info.parity["asked"] == "the given images"
    assert load_onnx(path, LoadOptions()).info.gradients == "none"  # as far as noise can tell
    peeked = LoadOptions(peek=lambda shape, bounds, dataset: (x, torch.zeros(len(x), dtype=torch.int64)))
    assert load_onnx(path, peeked).info.gradients == "exact"


def standardised(path: Path) -> Path:
    g = Graph()
    centred = g("Sub", "x", g("ReduceMean", "x", np.array([1, 2, 3], dtype=np.int64)))
    spread = g("Sqrt", g("ReduceMean", g("Mul", centred, centred), np.array([1, 2, 3], dtype=np.int64)))
    return g.save(path, linear(g, g("Div", centred, spread)))


def test_constant_images_may_fail_but_given_ones_may_not(tmp_path: Path) -> None:
    path, (x, y) = standardised(tmp_path / "m.onnx"), images()
    for samples in (x, None):
        model = load_onnx(path, LoadOptions(), samples)
        assert (model.info.rung, model.info.gradients) == ("A", "exact")
        assert any("constant image" in note for note in model.info.notes)
        assert share(attacked(model, x, y, 0.1)) < 0.2
    x[7] = 0.25
    with pytest.raises(ModelError, match="1 of 60 of the given images"):
        load_onnx(path, LoadOptions(), x)


def test_a_loop_over_images_that_divides_each_by_its_maximum(tmp_path: Path) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["x", "i"], ["one"]),
            helper.make_node("ReduceMax", ["one"], ["top"], keepdims=0),
            helper.make_node("Div", ["one", "top"], ["bright"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("bright", TensorProto.FLOAT, None),
        ],
    )
    g, (x, _) = Graph(), images()
    count = g("Gather", g("Shape", "x"), np.array(0))
    each = g("Loop", count, np.array(True), body=body)
    model = load_onnx(g.save(tmp_path / "m.onnx", linear(g, each)), LoadOptions(), x)
    assert (model.info.rung, model.info.gradients) == ("A", "exact"), model.info.gradients_reason
    assert any("constant image" in note for note in model.info.notes)


def test_a_gradient_that_most_images_lack_is_not_called_exact(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    x, _ = images()
    monkeypatch.setattr(modes, "WIDTHS", ())
    g = Graph()
    gate = g("Relu", g("Sub", g("Slice", g("Flatten", "x"), np.array([0]), np.array([1]), np.array([1])), 0.62))
    path = g.save(
        tmp_path / "m.onnx", g("Add", g("Mul", gate, linear(g, "x")), np.arange(CLASSES, dtype=np.float32) / 100)
    )
    model = load_onnx(path, LoadOptions(), x)
    assert float(model.info.parity["zero_gradient_rows"]) > 0.5
    assert model.info.gradients in ("surrogate", "none")
    assert model.info.gradients == "none" or "zero or not finite on" in model.info.gradients_reason
