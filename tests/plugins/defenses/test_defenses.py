"""What each defence computes, and what it is worth on trained networks."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.pgd import PGD
from robusteval_defenses._common.odds import OddsDetector
from robusteval_defenses.bit_depth import BitDepth
from robusteval_defenses.confidence import Confidence, _unsure
from robusteval_defenses.logit_odds import LogitOdds

from robusteval.api import AccessError, Defended, RobustEvalError, Samples
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Detector
from robusteval.testing import NoGradient, inputs, linear, pose, safe_labels
from tests.plugins.conftest import Trained, right
from tests.sure import instance, sure


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learnable(model: Classifier, count: int = 400, seed: int = 3) -> Samples:
    x = inputs(model.info, count, seed=seed, spread=0.5)
    return Samples(x, model.logits(x).argmax(1), model.info.bounds)


def test_bit_depth_rounds_evenly_in_any_range() -> None:
    model = linear((4,), 3, (-1.0, 3.0))
    x = torch.tensor([[-1.0, 3.0, 0.4, 2.9]])
    behind = BitDepth(bits=1).fit(model, None, seeded()).model
    assert torch.equal(behind.logits(x), model.logits(torch.tensor([[-1.0, 3.0, -1.0, 3.0]])))
    assert torch.allclose(behind.twin(x), behind.logits(x))


def test_bit_depth_lets_gradients_through() -> None:
    model = linear((4,), 3)
    behind = BitDepth(bits=2).fit(model, None, seeded()).model
    leaf = inputs(model.info, 2).requires_grad_(True)
    (grad,) = torch.autograd.grad(behind.twin(leaf)[:, 1].sum(), leaf)
    assert torch.equal(grad, model.weight[1].expand(2, 4))
    assert behind.info.gradients == "straight-through"
    assert behind.info.notes


def test_a_model_without_gradients_stays_without() -> None:
    model = NoGradient(linear((4,), 3))
    behind = BitDepth().fit(model, None, seeded())
    assert behind.model.info.gradients == "none"
    with pytest.raises(AccessError):
        behind.model.twin(inputs(model.info, 2))
    detector = sure(LogitOdds().fit(model, learnable(model), seeded()).detector)
    with pytest.raises(AccessError):
        detector.twin(inputs(model.info, 2))


@pytest.mark.parametrize("defense", [Confidence(), LogitOdds()], ids=str)
def test_detectors_say_how_to_give_them_data(defense: Confidence | LogitOdds) -> None:
    with pytest.raises(RobustEvalError, match="--fit-data"):
        defense.fit(linear(), None, seeded())
    model = linear()
    data = learnable(model)
    wrong = Samples(data.x, (data.y + 1) % 3, data.bounds)
    with pytest.raises(RobustEvalError, match="right"):
        defense.fit(model, wrong, seeded())


def test_confidence_is_the_log_odds_against_the_top_class() -> None:
    model = linear((4,), 3)
    x = inputs(model.info, 5, spread=0.5)
    detector = sure(Confidence().fit(model, learnable(model), seeded()).detector)
    expected = (1 - model.logits(x).softmax(1).amax(1)).logit()
    assert torch.allclose(detector.score(x), expected, atol=1e-6)
    assert torch.allclose(detector.twin(x), expected, atol=1e-6)


def test_confidence_does_not_saturate_where_the_model_is_sure() -> None:
    """1 - p rounds to 0 there, and its gradient with it, so that an attack could not tell which way suspicion grows."""
    scores = torch.tensor([[200.0, 0.0, 1.0]], requires_grad=True)
    unsure = _unsure(scores)
    unsure.sum().backward()
    assert torch.allclose(unsure, torch.tensor([-198.686]), atol=1e-3)
    assert scores.grad is not None
    assert torch.allclose(scores.grad, torch.tensor([[-1.0, 0.2689, 0.7311]]), atol=1e-4)


@pytest.mark.parametrize("rate", [0.02, 0.1])
@pytest.mark.parametrize(
    "kind", [Confidence, partial(LogitOdds, statistic="margin"), partial(LogitOdds, statistic="margin", per_pair=True)]
)
def test_false_alarms_are_as_many_as_wanted(kind: type[Confidence] | Callable[..., Any], rate: float) -> None:
    model = linear((12,), 4)
    defense = kind(false_alarm=rate)
    most = 3.5 if getattr(defense, "per_pair", False) else 1.6  # three pairs add up
    detector = sure(defense.fit(model, learnable(model, 3000), seeded()).detector)
    alarms = (detector.score(learnable(model, 3000, seed=4).x) > detector.threshold).float().mean()
    assert 0.5 * rate < alarms < most * rate


@pytest.mark.statistical
def test_noise_raises_as_many_false_alarms_as_wanted(fashion: Trained) -> None:
    clean = right(fashion.model, fashion.fit[torch.arange(1000)])
    defended = LogitOdds(draws=4, false_alarm=0.05).fit(fashion.model, clean[torch.arange(500)], seeded())
    for seed in (1, 2):
        detector = sure(sure(defended.draw)(seeded(seed)).detector)
        assert 0.02 < (detector.score(clean.x[500:]) > detector.threshold).float().mean() < 0.10


def test_noise_that_moves_all_samples_alike_says_nothing() -> None:
    """On a linear model noise shifts the odds of every sample by the same: no sample is odd, whatever the draw."""
    model = linear((12,), 3)
    data = learnable(model)
    detector = sure(LogitOdds(draws=4).fit(model, data, seeded()).detector)
    assert detector.score(data.x).abs().max() < 0.5


def test_margin_odds_are_z_scores_by_class_pair() -> None:
    model = linear((12,), 3)
    data = learnable(model)
    detector = sure(LogitOdds(statistic="margin").fit(model, data, seeded()).detector)
    scores = model.logits(data.x)
    mine = scores[data.y == 1] - scores[data.y == 1][:, 1:2]
    z = (mine - mine.mean(0)) / mine.std(0, correction=0)
    assert torch.allclose(detector.score(data.x[data.y == 1]), torch.maximum(z[:, 0], z[:, 2]), atol=1e-4)


def test_odds_do_not_move_with_a_shift_of_all_scores() -> None:
    """Log-probabilities instead of logits give the same detector."""
    model = linear((12,), 3)

    class LogProbabilities:
        info = model.info

        def logits(self, x: torch.Tensor) -> torch.Tensor:
            return model.logits(x).log_softmax(1)

        twin = logits

    data = learnable(model)
    for defense in (LogitOdds(draws=3), LogitOdds(statistic="margin"), Confidence()):
        one = sure(defense.fit(model, data, seeded()).detector)
        other = defense.fit(LogProbabilities(), data, seeded()).detector
        assert torch.allclose(one.score(data.x), sure(other).score(data.x), atol=1e-3)


def test_fixed_and_pairwise_thresholds() -> None:
    model = linear((12,), 3)
    data = learnable(model)
    assert sure(LogitOdds(tau=1.28).fit(model, data, seeded()).detector).threshold == 1.28
    detector = sure(LogitOdds(per_pair=True, statistic="margin").fit(model, data, seeded()).detector)
    assert detector.threshold == 0
    assert len(instance(detector, OddsDetector).tau.unique()) > 3


def test_classes_without_clean_samples_are_named() -> None:
    model = linear((12,), 3)
    data = learnable(model)
    defended = LogitOdds().fit(model, data[data.y != 2], seeded())
    assert any("class 2" in note for note in defended.notes)
    assert torch.isfinite(sure(defended.detector).score(data.x)).all()


def test_draws_hold_their_noise_and_travel() -> None:
    model = linear((12,), 3)
    x = inputs(model.info, 4)
    defended = LogitOdds().fit(model, learnable(model), seeded())
    drawn = pickle.loads(pickle.dumps(defended)).draw(seeded(5))
    assert isinstance(drawn, Defended)
    assert drawn.draw is None
    score = sure(drawn.detector).score(x)
    assert torch.equal(score, sure(drawn.detector).score(x))
    assert torch.allclose(score[2:3], sure(drawn.detector).score(x[2:3]), atol=1e-4)
    assert torch.allclose(sure(drawn.detector).twin(x), score, atol=1e-4)
    assert LogitOdds(statistic="margin").fit(model, learnable(model), seeded()).draw is None


def caught(detector: Detector, clean: torch.Tensor, adversarial: torch.Tensor) -> float:
    """Area under the ROC curve."""
    negative, positive = detector.score(clean), detector.score(adversarial)
    return float((positive[:, None] > negative[None]).double().mean())


@pytest.mark.statistical
def test_weak_adversarials_are_unsure_and_adaptive_ones_are_not(fashion: Trained) -> None:
    x, safe = fashion.samples.x, safe_labels(fashion.samples.y, 10)
    defended = Confidence().fit(fashion.model, fashion.fit, seeded())
    found = DDN(steps=40).run(pose(fashion.model, x, safe, "l2"))
    assert caught(sure(defended.detector), x, found) > 0.9
    problem = pose(defended, x, safe_labels(fashion.samples.y, 10, rejected=True), "l2")
    assert problem.won(DDN(steps=60).run(problem)).float().mean() > 0.95


@pytest.mark.statistical
def test_gradients_see_through_bit_depth(fashion: Trained) -> None:
    x, safe = fashion.samples.x, safe_labels(fashion.samples.y, 10)
    defended = BitDepth(bits=3).fit(fashion.model, None, seeded())
    problem = pose(defended, x, safe, "linf", eps=0.1)
    assert problem.won(PGD(steps=20).run(problem)).float().mean() > 0.9


@pytest.mark.statistical
@pytest.mark.long
@pytest.mark.slow
def test_known_worth_of_logit_odds_on_conv4(conv4: Trained) -> None:
    """The second statistic finds minimal adversarials and not strong ones; the first one finds few of either."""
    x, safe = conv4.samples.x, safe_labels(conv4.samples.y, 10)
    strong_problem = pose(conv4.model, x, safe, "l2", eps=5.0)
    strong = x
    for _ in range(10):
        grad = strong_problem.grad(strong, "ce").grad
        strong = strong_problem.project(strong + 0.5 * grad / grad.flatten(1).norm(dim=1)[:, None, None, None])
    strong = strong[strong_problem.won(strong)]
    weak = DDN(steps=40).run(pose(conv4.model, x, safe, "l2"))
    margin = LogitOdds(statistic="margin").fit(conv4.model, conv4.fit, seeded()).detector
    assert caught(sure(margin), x, weak) > 0.97
    assert caught(sure(margin), x, strong) < 0.8
    noise = LogitOdds(sigma=0.1, draws=8).fit(conv4.model, conv4.fit, seeded()).detector
    assert 0.7 < caught(sure(noise), x, strong) < 0.92
    fixed = sure(LogitOdds(statistic="margin", tau=1.28).fit(conv4.model, conv4.fit, seeded()).detector)
    assert 0.25 < (fixed.score(x) > fixed.threshold).float().mean() < 0.45
