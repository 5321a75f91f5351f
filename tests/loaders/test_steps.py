"""Thresholds in every spelling: their nets are attacked as straight-through PGD on the net itself attacks them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch import Tensor

from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import load_onnx
from tests.loaders.masked import MIX, PATTERNS, Graph, attacked, descend, images, share

F, WHOLE, B = TensorProto.FLOAT, TensorProto.INT32, TensorProto.BOOL


def _mod(g: Graph, a: str) -> str:
    up = g("Add", a, 0.5)
    answer: str = g("Sub", up, g("Mod", up, 1.0, fmod=1))
    return answer


BITS: dict[str, Callable[[Graph, str], str]] = {  # x >= 0.5 as 0 or 1
    "GreaterOrEqual, Cast": lambda g, a: g("Cast", g("GreaterOrEqual", a, 0.5), to=F),
    "Greater, Where": lambda g, a: g("Where", g("Greater", a, 0.5), 1.0, 0.0),
    "Less, Not, Cast": lambda g, a: g("Cast", g("Not", g("Less", a, 0.5)), to=F),
    "LessOrEqual the other way": lambda g, a: g("Cast", g("LessOrEqual", 0.5, a), to=F),
    "And": lambda g, a: g("Cast", g("And", g("Greater", a, 0.5), g("Less", a, 3.0)), to=F),
    "Or, Xor": lambda g, a: g(
        "Cast", g("Xor", g("Or", g("Greater", a, 0.5), g("Greater", a, 2.0)), g("Less", a, -1.0)), to=F
    ),
    "Sign": lambda g, a: g("Mul", g("Add", g("Sign", g("Sub", a, 0.5)), 1.0), 0.5),
    "Floor": lambda g, a: g("Floor", g("Add", a, 0.5)),
    "Ceil": lambda g, a: g("Ceil", g("Sub", a, 0.5)),
    "Round": lambda g, a: g("Round", a),
    "Mod": _mod,
    "Cast to whole numbers": lambda g, a: g("Cast", g("Cast", g("Add", a, 0.5), to=WHOLE), to=F),
    "Cast to truth values": lambda g, a: g("Cast", g("Cast", g("Relu", g("Sub", a, 0.5)), to=B), to=F),
    "Equal": lambda g, a: g("Cast", g("Equal", g("Floor", g("Add", a, 0.5)), 1.0), to=F),
    "steep Clip": lambda g, a: g("Clip", g("Add", g("Mul", g("Sub", a, 0.5), 1e5), 0.5), 0.0, 1.0),
    "steep HardSigmoid": lambda g, a: g("HardSigmoid", g("Sub", a, 0.5), alpha=1e5, beta=0.5),
    "steep Sigmoid": lambda g, a: g("Sigmoid", g("Mul", g("Sub", a, 0.5), 1e5)),
    "of 255 levels": lambda g, a: g("Cast", g("GreaterOrEqual", g("Mul", a, 255.0), 127.5), to=F),
}  # fmt: skip


def bits(x: Tensor) -> Tensor:
    """x >= 0.5 with the gradient of the identity."""
    return (x >= 0.5).float() + (x - x.detach())


def matched(b: Tensor) -> Tensor:
    return (2 * b.flatten(1) - 1) @ torch.from_numpy(PATTERNS.T.copy())


def build(path: Path, name: str) -> Path:
    g = Graph()
    b = g("Sub", g("Mul", BITS[name](g, g("Flatten", "x")), 2.0), 1.0)
    return g.save(path, g("MatMul", b, PATTERNS.T.copy()))


@pytest.mark.parametrize("name", BITS)
def test_a_threshold_on_the_input_in_every_spelling(name: str, tmp_path: Path) -> None:
    x, y = images()
    model = load_onnx(build(tmp_path / "m.onnx", name), LoadOptions(), x)
    assert model.info.gradients in ("straight-through", "surrogate"), model.info.gradients_reason
    assert torch.equal(model.twin(x).argmax(1), model.logits(x).argmax(1))
    for eps in (0.05, 0.1, 0.15):
        reference = descend(lambda z: matched(bits(z)), model, x, y, eps)
        assert share(attacked(model, x, y, eps)) <= share(reference) + 0.05
    assert share(attacked(model, x, y, 0.15)) < 0.5 < share(attacked(model, x, y, 0.0))


HIDDEN: dict[str, Callable[[Graph, str], str]] = {
    "Sign": lambda g, a: g("Sign", a),
    "Greater, Where": lambda g, a: g("Where", g("Greater", a, 0.0), 1.0, -1.0),
    "Less, Cast": lambda g, a: g("Sub", 1.0, g("Mul", g("Cast", g("Less", a, 0.0), to=F), 2.0)),
    "steep Tanh": lambda g, a: g("Tanh", g("Mul", a, 1e5)),
    "steep Erf": lambda g, a: g("Erf", g("Mul", a, 1e5)),
}


@pytest.mark.parametrize("name", HIDDEN)
@pytest.mark.parametrize("size", [0.02, 1.0, 50.0])
def test_a_binarised_hidden_layer_of_any_size(name: str, size: float, tmp_path: Path) -> None:
    x, y = images()
    mix = size * MIX
    codes = np.sign(0.1 * PATTERNS @ mix).astype(np.float32)
    g = Graph()
    h = g("MatMul", g("Sub", g("Flatten", "x"), 0.5), mix)
    path = g.save(tmp_path / "m.onnx", g("MatMul", HIDDEN[name](g, h), codes.T.copy()))
    model = load_onnx(path, LoadOptions(), x)
    assert model.info.gradients in ("straight-through", "surrogate"), model.info.gradients_reason

    def own(z: Tensor) -> Tensor:
        hidden = (z.flatten(1) - 0.5) @ torch.from_numpy(mix) / (8 * size)
        return (hidden.sign().detach() + hidden - hidden.detach()) @ torch.from_numpy(codes.T.copy())

    for eps in (0.03, 0.06, 0.1):
        reference = descend(own, model, x, y, eps)
        assert share(attacked(model, x, y, eps)) <= share(reference) + 0.05
    assert share(attacked(model, x, y, 0.1)) < 0.5


def test_thresholds_that_let_real_numbers_through(tmp_path: Path) -> None:
    x, y = images()
    cases: tuple[tuple[str, dict[str, Any]], ...] = (
        ("ThresholdedRelu", {"alpha": 0.5}),
        ("Shrink", {"lambd": 0.5, "bias": 0.0}),
    )
    for op, attributes in cases:
        g = Graph()
        b = g("Sub", g(op, g("Flatten", "x"), **attributes), 0.3)
        model = load_onnx(g.save(tmp_path / f"{op}.onnx", g("MatMul", b, PATTERNS.T.copy())), LoadOptions(), x)
        assert share(attacked(model, x, y, 0.15)) < 0.5, model.info.gradients_reason


def test_masks_of_attention_and_shapes_stay_exact(tmp_path: Path) -> None:
    x, _ = images()
    g = Graph()
    flat = g("Flatten", "x")
    shape = g("Shape", flat)
    one = g("Greater", shape, g.value(np.array([0, 0], dtype=np.int64)))
    size = g("Where", one, shape, shape)
    masked = g("Where", g.value(np.ones((1, 64), dtype=bool)), g("Reshape", flat, size), -np.inf)
    model = load_onnx(g.save(tmp_path / "m.onnx", g("MatMul", masked, PATTERNS.T.copy())), LoadOptions(), x)
    assert (model.info.rung, model.info.gradients) == ("A", "exact")
