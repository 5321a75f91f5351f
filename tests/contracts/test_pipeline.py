"""`Pipeline`: a detector is one more class, on top exactly where it fires."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robusteval.api import Defended, ModelInfo
from robusteval.contracts.pipeline import Pipeline


@dataclass(frozen=True)
class Model:
    gain: float = 1.0
    info: ModelInfo = field(default_factory=lambda: ModelInfo("plane", "test", "", (4,), 3))

    def logits(self, x: Tensor) -> Tensor:
        return x[:, :3] * self.gain

    def twin(self, x: Tensor) -> Tensor:
        return self.logits(x)


@dataclass(frozen=True)
class Detector:
    threshold: float = 0.5

    def score(self, x: Tensor) -> Tensor:
        return x[:, 3]

    def twin(self, x: Tensor) -> Tensor:
        return x[:, 3]


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    gain=st.sampled_from([1e-3, 1.0, 1e4, 1e7]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    near=st.sampled_from([0.0, 1e-7, 1e-4, 0.5]),
)
def test_rejected_is_on_top_exactly_where_the_detector_fires(seed: int, gain: float, scale: float, near: float) -> None:
    x = torch.rand((20, 4), generator=torch.Generator().manual_seed(seed))
    x[:, 3] = 0.5 + (x[:, 3] - 0.5) * near
    pipeline = Pipeline(Defended(Model(gain), Detector()), scale)
    answer, label, suspicion = pipeline.decide(x)
    assert suspicion is not None
    for scores in (pipeline.scores(x), pipeline.twin(x)):
        assert scores.shape == (20, 4)
        assert torch.equal(scores.argmax(1), answer)
    assert torch.equal(answer == 3, suspicion > 0.5)
    assert torch.equal(answer[answer != 3], label[answer != 3])


@pytest.mark.parametrize("gain", [1.0, 1e8])
def test_the_detector_has_a_gradient_on_both_sides_of_its_threshold(gain: float) -> None:
    x = torch.tensor([[0.1, 0.2, 0.9, 0.50001], [0.1, 0.2, 0.9, 0.4]], requires_grad=True)
    rejected = Pipeline(Defended(Model(gain), Detector()), 2.0).twin(x)[:, 3]
    (grad,) = torch.autograd.grad(rejected.sum(), x)
    assert torch.equal(grad[:, 3], torch.full((2,), 2.0))


def test_without_a_detector_there_are_k_scores() -> None:
    pipeline = Pipeline(Defended(Model()))
    x = torch.rand(5, 4)
    answer, label, suspicion = pipeline.decide(x)
    assert pipeline.classes == pipeline.scores(x).shape[1] == 3
    assert suspicion is None
    assert torch.equal(answer, label)
    assert pipeline.draw(torch.Generator()) is pipeline


def test_scores_that_are_not_finite_are_no_answer() -> None:
    x = torch.rand(2, 4)
    x[0, 1] = torch.nan
    assert Pipeline(Defended(Model())).decide(x)[0][0] == -1


def test_calibration_changes_no_decision() -> None:
    x = torch.rand((50, 4), generator=torch.Generator().manual_seed(0))
    plain = Pipeline(Defended(Model(100.0), Detector()))
    fitted = plain.with_detector_scale(x)
    assert fitted.scale > 5
    assert torch.equal(fitted.scores(x).argmax(1), plain.scores(x).argmax(1))
    assert plain.with_detector_scale(x[:0]) is plain


def test_a_threshold_amid_the_clean_samples_does_not_drown_the_classes() -> None:
    x = torch.rand((50, 4), generator=torch.Generator().manual_seed(0))
    scores = x[:, 3]
    far, amid = (
        Pipeline(Defended(Model(100.0), Detector(float(threshold)))).with_detector_scale(x).scale
        for threshold in (scores.max(), scores.median())
    )
    assert amid < 1.5 * far
