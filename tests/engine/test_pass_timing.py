"""PassTiming chooses by measurement, is kept, and changes results by rounding at most."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from robusteval.api import load_model
from robusteval.contracts.tuning import Tuning
from robusteval.engine.schedule import pass_timing
from robusteval.engine.schedule.pass_timing import PassTiming
from robusteval.ops import class_gradients
from tests.engine import toys

CNN = Path(__file__).parents[2] / "examples" / "fashion-cnn.onnx"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path))
    return tmp_path


def test_the_fastest_way_is_chosen_and_small_gains_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.linear()
    own = 1.0
    costs = {(True, False): 1.0, (True, True): 0.95, (False, False): 0.5, (False, True): 0.6}
    monkeypatch.setattr(
        pass_timing,
        "_seconds",
        lambda work, way, device, best=1.0: (
            costs[way.onednn, way.channels_last]
            * (0.95 if way.batched_jacobian else 1)
            * (own if way.own_kernels else 1)
        ),
    )
    found = pass_timing.measure(model, torch.rand(2, 3, 2, 2))
    assert found.tuning == Tuning(onednn=False)
    assert found.pass_ms == pytest.approx(1e3 * 0.5 / 2)
    own = 0.8
    assert pass_timing.measure(model, torch.rand(2, 3, 2, 2)).tuning == Tuning(onednn=False, own_kernels=True)
    own = 1.0
    costs[False, False] = costs[False, True] = 0.95
    assert pass_timing.measure(model, torch.rand(2, 3, 2, 2)).tuning == Tuning()


def test_cheap_models_are_left_alone_and_dear_ones_measured_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = toys.linear()
    x = toys.samples(model, 8).x
    first = pass_timing.timed(model, x)
    assert first.tuning == Tuning()
    monkeypatch.setattr(pass_timing, "measure", lambda model, x, precision: pytest.fail("measured twice"))
    assert pass_timing.timed(model, x) == first


@pytest.mark.parametrize(("each", "asked"), [(0.0001, 40), (0.011, 8), (0.05, 2)])
def test_dear_passes_are_timed_on_few_images(monkeypatch: pytest.MonkeyPatch, each: float, asked: int) -> None:
    """each: seconds an image of a question."""
    now = [0.0]

    def ask(x: torch.Tensor) -> None:
        now[0] += each * len(x)

    monkeypatch.setattr("robusteval.engine.schedule.pass_timing.time.process_time", lambda: now[0])
    assert len(pass_timing.enough(ask, torch.zeros(40, 1))) == asked
    assert len(pass_timing.enough(ask, torch.zeros(1, 1))) == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"tuning": {"nonsense": 1}, "pass_ms": 1}', '{"tuning": 3}'])
def test_a_broken_cache_is_measured_anew(folder: Path, monkeypatch: pytest.MonkeyPatch, content: str) -> None:
    model = toys.linear()
    x = toys.samples(model, 8).x
    pass_timing.timed(model, x)
    (kept,) = (folder / "pass-timing").iterdir()
    kept.write_text(content)
    anew = PassTiming(Tuning(onednn=False), 2.0)
    monkeypatch.setattr(pass_timing, "measure", lambda model, x, precision: anew)
    assert pass_timing.timed(model, x) == anew
    assert pass_timing.timed(model, x) == anew


def test_a_cache_that_cannot_be_written_does_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path / "file"))
    model = toys.linear()
    assert pass_timing.timed(model, toys.samples(model, 8).x).tuning == Tuning()


@pytest.mark.parametrize(
    "tuning", [Tuning(onednn=False), Tuning(channels_last=True), Tuning(False, True, True), Tuning(own_kernels=True)]
)
def test_every_way_gives_the_same_gradients_to_rounding(tuning: Tuning) -> None:
    model = load_model(CNN)
    x = torch.rand((16, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    classes = torch.arange(10).expand(16, 10)
    before = torch.backends.mkldnn.enabled
    scores, grads = class_gradients(model.twin, x, classes)
    with pass_timing.applied(tuning):
        laid = x.contiguous(memory_format=torch.channels_last) if tuning.channels_last else x
        with tuning.kernels():
            again, others = class_gradients(model.twin, laid, classes, tuning.batched_jacobian)
    assert torch.backends.mkldnn.enabled == before
    assert torch.allclose(scores, again, atol=1e-4)
    assert torch.allclose(grads, others, atol=1e-4)
