"""Proofs about quantised files, held against ONNX Runtime itself; and that false ones would be noticed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from robusteval_certifiers._common import intervals, relaxation
from robusteval_certifiers.alpha_crown import AlphaCrown
from robusteval_certifiers.beta_crown import BetaCrown
from robusteval_certifiers.crown import Crown
from robusteval_certifiers.ibp import Ibp

from robusteval.api import GraphNode, Norm, Statement
from robusteval.contracts.certificates.enclosure import enclosure
from robusteval.contracts.certificates.evaluate import scores
from robusteval.contracts.classifier import LoadOptions
from robusteval.engine.certify.stored_graph import packed
from robusteval.loaders.onnx.classifier import OnnxClassifier, load_onnx
from robusteval.verify.proofs.bound import margin
from robusteval.verify.proofs.graph import read
from tests.certifiers.quantised_nets import FORMS, Draft, asked, lowest, made

ALL = (Ibp(), Crown(), AlphaCrown(steps=6, inner=2), BetaCrown(parts=12, steps=4, first=6, inner=2, looks=2))
RADII: tuple[tuple[Norm, float], ...] = (("linf", 0.05), ("l2", 0.1), ("l1", 0.5), ("linf", 0.004))
EXAMPLE = Path("examples/fashion-int8.onnx")


def held(model: OnnxClassifier, norm: Norm, eps: float, seed: int) -> list[str]:
    """The certifiers whose bounds ONNX Runtime contradicts."""
    rng = torch.Generator("cpu").manual_seed(seed)
    statement = asked(model, norm, eps, rng)
    met = lowest(model, statement, 12, rng)
    found = {certifier.info.name: certifier.bound(statement).margin for certifier in ALL}
    stored = read(packed(statement.graph))
    found["verify"] = torch.tensor([_again(stored, statement, row) for row in range(len(met))]).double()
    assert all(bool(torch.isfinite(bound).all()) for bound in found.values())
    return [name for name, bound in found.items() if bool((bound > met + 1e-5 * (1 + met.abs())).any())]


def _again(stored: Any, statement: Statement, row: int) -> float:
    x = statement.x[row].numpy().reshape(-1)
    return margin(stored, x, int(statement.label[row]), statement.norm, float(statement.eps[row]), (0.0, 1.0))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("form", FORMS)
def test_no_bound_is_larger_than_what_onnx_runtime_answers(form: str, seed: int, tmp_path: Path) -> None:
    norm, eps = RADII[(seed + FORMS.index(form)) % len(RADII)]
    assert not held(made(form, seed, tmp_path), norm, eps, seed)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", FORMS)
def test_no_bound_of_many_nets_is(form: str, tmp_path: Path) -> None:
    if not os.environ.get("ROBUSTEVAL_TEST_LONG"):
        pytest.skip("takes minutes; ROBUSTEVAL_TEST_LONG=1 runs it")
    for seed in range(100, 160):
        norm, eps = RADII[seed % len(RADII)]
        eps *= float(torch.rand((), generator=torch.Generator("cpu").manual_seed(seed)))
        assert not held(made(form, seed, tmp_path), norm, eps, seed), seed


def test_rounding_that_is_taken_for_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A certifier on purpose, in which round(x) is x."""

    def identity(node: GraphNode, low: torch.Tensor, high: torch.Tensor) -> relaxation.Lines:
        full, none = torch.ones_like(low), torch.zeros_like(low)
        return relaxation.Lines(full, none, full, none, none.bool(), none)

    monkeypatch.setattr(relaxation, "_stairs", identity)
    monkeypatch.setattr(intervals, "level", lambda low, high: identity(GraphNode("round", (), ()), low, high))
    monkeypatch.setattr(relaxation, "rounded_interval", lambda node, low, high: (low, high))
    caught = [held(made(form, seed, tmp_path), "linf", 0.004, seed) for form in FORMS[::2] for seed in (1, 3)]
    assert {"crown", "ibp"} <= set().union(*caught)
    assert "verify" not in set().union(*caught), "it has lines of its own"


def near_halves(folder: Path) -> tuple[OnnxClassifier, torch.Tensor]:
    """A file whose scores are two quantised pixels, and images at which float32 rounds one of them otherwise than real
    numbers."""
    draft = Draft(np.random.default_rng(0))
    shift, factor, scale = (np.float32(value) for value in (0.37, 2.3, 0.013))
    y = draft("Mul", draft("Sub", "x", draft.put(shift, np.float32)), draft.put(factor, np.float32))
    q = draft("QuantizeLinear", y, draft.put(scale, np.float32), draft.put(90, np.uint8))
    last = draft("DequantizeLinear", q, draft.put(scale, np.float32), draft.put(90, np.uint8))
    model = load_onnx(draft.saved(last, folder, (2,), 2), LoadOptions())
    steps = np.arange(-50, 80)
    x = ((steps + 0.5) * float(scale) / float(factor) + float(shift)).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(2)), np.nextafter(x, np.float32(-2))])
    x = x[(x >= 0) & (x <= 1)]
    pairs = torch.from_numpy(np.stack([x, np.full_like(x, 0.1)], 1))
    exact = np.rint((x.astype(np.float64) - float(shift)) * float(factor) / float(scale))
    other = np.abs(model.logits(pairs)[:, 0].numpy() / scale - exact) > 0.5
    return model, pairs[torch.from_numpy(other)]


def test_what_float32_rounds_the_other_way_is_within_the_bounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And were float32 taken to be exact, it would not be."""
    model, x = near_halves(tmp_path)
    assert len(x) > 10
    graph = model.graph()
    answers = model.logits(x).double()
    low, high = enclosure(graph, x.double())
    assert ((low <= answers + 1e-6) & (answers <= high + 1e-6)).all()
    assert ((scores(graph, x.double()) - answers).abs().amax(1) > 0.01).all(), "a whole step"
    label = answers.argmax(1)
    right = torch.nn.functional.one_hot(label, 2).bool()
    none = torch.zeros(len(x), dtype=torch.float64)
    statement = Statement(graph, x.double(), label, right, "linf", none, (0.0, 1.0))
    lead = answers.gather(1, label[:, None]) - answers
    met = lead.scatter(1, label[:, None], torch.inf).amin(1)

    def broken() -> int:
        bounds = [certifier.bound(statement).margin for certifier in ALL[:2]]
        bounds.append(torch.tensor([_again(read(packed(graph)), statement, row) for row in range(len(x))]).double())
        return sum(int((bound > met + 1e-6).sum()) for bound in bounds)

    assert broken() == 0
    monkeypatch.setattr(intervals, "affine_radius", lambda node, sizes, shapes: torch.zeros(1, node.numel).double())
    assert broken() > 0


def test_the_example_is_answered_as_onnx_runtime_does_and_something_is_proved() -> None:
    model = load_onnx(EXAMPLE, LoadOptions())
    data = np.load("robusteval/data/fashion_mnist.npz")
    x = torch.from_numpy(data["x_test"][:4]).reshape(4, 1, 28, 28).float()
    x = x / 255 if x.max() > 1 else x
    graph, label = model.graph(), torch.from_numpy(data["y_test"][:4]).long()
    answers = model.logits(x)
    assert torch.allclose(scores(graph, x), answers.double(), atol=1e-5)
    low, high = enclosure(graph, x.double())
    assert (high - low).median() < 0.01, "a point alone is nearly decided"
    right = torch.nn.functional.one_hot(label, 10).bool()
    radius = torch.full((4,), 0.001, dtype=torch.float64)
    statement = Statement(graph, x.double(), label, right, "linf", radius, (0.0, 1.0))
    bound = Crown().bound(statement).margin
    assert (bound > 0).sum() >= 3
    stored = read(packed(graph))
    assert all((_again(stored, statement, row) > 0) == bool(bound[row] > 0) for row in range(4))


def test_a_quantiser_that_follows_its_own_kind_adds_no_step() -> None:
    """Behind the example's Reshape the same numbers are quantised again: they stay as they are."""
    graph = load_onnx(EXAMPLE, LoadOptions()).graph()
    assert sum(node.rounds for node in graph.nodes) == 5
    assert sum(node.source == "QuantizeLinear" and node.rounds for node in graph.nodes) == 5


def test_a_file_that_takes_whole_numbers_rounds_its_input_first(tmp_path: Path) -> None:
    draft = Draft(np.random.default_rng(0))
    x = draft("Mul", draft("Cast", "x", to=TensorProto.FLOAT), draft.put(1 / 255, np.float32))
    weight = draft.put(draft.rng.normal(size=(16, 3)), np.float32)
    path = draft.saved(draft("MatMul", draft("Flatten", x), weight), tmp_path, (1, 4, 4), 3)
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.UINT8
    onnx.save(proto, path)
    model = load_onnx(path, LoadOptions())
    graph = model.graph()
    assert [node.name for node in graph.nodes if node.rounds] == ["the input's whole numbers"]
    points = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    answers, (low, high) = model.logits(points).double(), enclosure(graph, points.double())
    assert ((low - 1e-6 <= answers) & (answers <= high + 1e-6)).all()
    assert torch.allclose(scores(graph, points), answers, atol=1e-4)
    statement = asked(model, "linf", 0.0019, torch.Generator("cpu").manual_seed(2))  # less than half a level
    statement = replace(statement, x=(statement.x * 255).round() / 255)
    met = lowest(model, statement, 6, torch.Generator("cpu").manual_seed(3))
    bound = Crown().bound(statement).margin
    assert (bound <= met + 1e-5).all()
    assert (bound >= met - 1e-3).all(), "nothing of the ball is another image"
