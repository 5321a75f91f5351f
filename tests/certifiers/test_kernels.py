"""Of quantised products of which ONNX Runtime makes something else than the file says there is no graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from robusteval.contracts.certificates.enclosure import enclosure
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.certificates.graph import NotCoveredError
from robusteval.contracts.classifier import LoadOptions
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from tests.certifiers.quantised_nets import Draft

WIDTH, SCALE, OUT = 8, np.float32(0.0041), np.float32(0.11)


class Parts:
    """What a file is made of; each is asked for once."""

    def __init__(self) -> None:
        self.draft = Draft(np.random.default_rng(3))
        self.scale = (self.draft.rng.random(WIDTH) * 0.01 + 0.01).astype(np.float32)

    def pair(self, x: str, scale: np.float32 = SCALE, zero: int = 3) -> str:
        put = self.draft.put
        q = self.draft("QuantizeLinear", x, put(scale, np.float32), put(zero, np.uint8))
        return self.draft("DequantizeLinear", q, put(scale, np.float32), put(zero, np.uint8))

    def weight(self, axis: int = 0) -> str:
        values = self.draft.rng.integers(-60, 61, (WIDTH, WIDTH))
        given = self.draft.put(values, np.int8), self.draft.put(self.scale, np.float32)
        return self.draft("DequantizeLinear", *given, self.draft.put(np.zeros(WIDTH), np.int8), axis=axis)

    def real(self, *shape: int) -> str:
        return self.draft.put(self.draft.rng.normal(size=shape), np.float32)

    def bias(self, factor: float = 1.0, size: int = 900) -> str:
        values = self.draft.rng.integers(size - 1800, size, WIDTH)
        scale = self.draft.put((self.scale * SCALE * np.float32(factor)).astype(np.float32), np.float32)
        zeros = self.draft.put(np.zeros(WIDTH), np.int32)
        return self.draft("DequantizeLinear", self.draft.put(values, np.int32), scale, zeros, axis=0)


def loaded(last: Callable[[Parts], str], folder: Path) -> OnnxClassifier:
    parts = Parts()
    return load_onnx(parts.draft.saved(last(parts), folder, (WIDTH,), WIDTH), LoadOptions())


OTHERS: dict[str, tuple[Callable[[Parts], str], str]] = {
    "weights alone": (lambda p: p.draft("MatMul", "x", p.weight(1)), r"n\d+ \(MatMul\) has weights that alone are"),
    "weights alone, turned": (
        lambda p: p.draft("MatMul", "x", p.draft("Transpose", p.weight(), perm=[1, 0])),
        r"\(MatMul\) has weights that alone are quantised",
    ),
    "weights alone, of a Gemm": (
        lambda p: p.draft("Gemm", "x", p.weight(), transB=1),
        r"\(Gemm\) has weights that alone are quantised",
    ),
    "values alone": (
        lambda p: p.pair(p.draft("Gemm", p.pair("x"), p.real(8, 8), p.real(8)), OUT, 120),
        "by weights that are not",
    ),
    "a real bias": (
        lambda p: p.pair(p.draft("Gemm", p.pair("x"), p.weight(), p.real(8), transB=1), OUT, 120),
        "adds a bias that is not quantised",
    ),
    "a real bias of a MatMul": (
        lambda p: p.pair(p.draft("Add", p.draft("MatMul", p.pair("x"), p.weight(1)), p.real(8)), OUT, 120),
        r"\(Add\) adds a bias that is not quantised",
    ),
    "a bias of another scale": (
        lambda p: p.pair(p.draft("Gemm", p.pair("x"), p.weight(), p.bias(3.0), transB=1), OUT, 120),
        "has a bias whose scale is not that",
    ),
    "a bias that leaves no room": (
        lambda p: p.pair(p.draft("Gemm", p.pair("x"), p.weight(), p.bias(1.0, 2**31 - 1), transB=1), OUT, 120),
        "that 32 bits may not hold",
    ),
    "quantised values behind a ReLU times weights that alone are quantised": (
        lambda p: p.draft("MatMul", p.draft("Relu", p.pair("x")), p.weight(1)),
        r"\(MatMul\) has weights that alone are quantised",
    ),
    "quantised twice": (lambda p: p.pair(p.pair("x"), np.float32(0.03), 30), r"\(QuantizeLinear\) quantises once more"),
    "quantised twice with a ReLU between": (
        lambda p: p.pair(p.draft("Relu", p.pair("x")), np.float32(0.03), 0),
        r"\(QuantizeLinear\) quantises once more",
    ),
    "as the image has it": (
        lambda p: p.draft(
            "Cast",
            p.draft("MatMulInteger", *_dynamic(p), p.draft.put(p.draft.rng.integers(-9, 9, (8, 8)), np.int8)),
            to=1,
        ),
        r"\(DynamicQuantizeLinear\) takes its scale from",
    ),
}  # fmt: skip


def _dynamic(parts: Parts) -> tuple[str]:
    node = parts.draft("DynamicQuantizeLinear", "x")
    made = parts.draft.nodes[-1]
    made.output.extend(["scale", "zero"])
    return (node,)


@pytest.mark.parametrize("name", list(OTHERS))
def test_what_onnx_runtime_computes_otherwise_has_no_graph(name: str, tmp_path: Path) -> None:
    last, reason = OTHERS[name]
    with pytest.raises(NotCoveredError, match=reason):
        loaded(last, tmp_path).graph()


SAME: dict[str, Callable[[Parts], str]] = {
    "a Gemm": lambda p: p.pair(p.draft("Gemm", p.pair("x"), p.weight(), p.bias(), transB=1), OUT, 120),
    "a Gemm with real scores": lambda p: p.draft("Gemm", p.pair("x"), p.weight(), p.bias(), transB=1),
    "a Gemm the other way": lambda p: p.draft("Gemm", p.pair("x"), p.weight(1), p.bias()),
    "a MatMul": lambda p: p.pair(p.draft("MatMul", p.pair("x"), p.weight(1)), OUT, 120),
    "a MatMul with real scores": lambda p: p.draft("MatMul", p.pair("x"), p.weight(1)),
    "two branches": lambda p: p.pair(
        p.draft("Add", p.pair("x"), p.pair(p.draft("MatMul", p.pair("x"), p.weight(1)), OUT, 120)), OUT, 77
    ),
    "a sigmoid": lambda p: p.pair(
        p.draft("Sigmoid", p.pair(p.draft("MatMul", p.pair("x"), p.weight(1)), OUT, 120)), np.float32(1 / 256), 0
    ),
    "joined": lambda p: p.pair(
        p.draft("MatMul", p.pair(p.draft("Concat", *_halves(p), axis=1), SCALE, 3), p.weight(1)), OUT, 120
    ),
    "rounded as it is": lambda p: p.draft("Round", p.draft("MatMul", "x", p.draft("Mul", p.real(8, 8), p.real(1)))),
}


def _halves(parts: Parts) -> list[str]:
    put = parts.draft.put
    first = parts.draft("Slice", "x", put([0], np.int64), put([4], np.int64), put([1], np.int64))
    second = parts.draft("Slice", "x", put([4], np.int64), put([8], np.int64), put([1], np.int64))
    return [parts.pair(first, np.float32(0.01), 40), parts.pair(second, np.float32(0.005), 0)]


@pytest.mark.parametrize("name", list(SAME))
def test_what_it_computes_as_the_file_says_has_one(name: str, tmp_path: Path) -> None:
    """Its answers lie where the graph says that they may, and nearly all are the graph's own."""
    model = loaded(SAME[name], tmp_path)
    graph = model.graph()
    x = torch.rand(300, WIDTH, generator=torch.Generator().manual_seed(1)) * 1.2 - 0.1
    x = x.clamp(0, 1)
    answers = model.logits(x).double()
    low, high = enclosure(graph, x.double())
    assert ((low <= answers + 1e-5) & (answers <= high + 1e-5)).all()
    assert ((answers - scores(graph, x.double())).abs().amax(1) < 1e-4).double().mean() > 0.9


def test_a_file_that_answers_beyond_its_graph_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on processors whose 8-bit products saturate."""
    model = loaded(SAME["a MatMul"], tmp_path)
    answers = model.logits
    monkeypatch.setattr(model, "logits", lambda x: answers(x).clamp_max(1.5))
    with pytest.raises(NotCoveredError, match="does not answer as it does"):
        model.graph()
