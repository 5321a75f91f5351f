"""Feature squeezing and the corrector: what they compute, and what is left when the attack knows them."""

from __future__ import annotations

import pickle
from typing import Any, Literal

import numpy as np
import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.fgsm import FGSM
from robusteval_attacks.pgd import PGD
from robusteval_defenses._common.filters import median
from robusteval_defenses.feature_squeezing import FeatureSqueezing
from robusteval_defenses.logit_odds_svm import Corrected, LogitOddsSvm, fitted
from sklearn.svm import SVC

from robusteval.api import Defended, RobustEvalError, Samples
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.plugins import Attack, Detector
from robusteval.testing import NoGradient, Rectified, inputs, linear, pose, safe_labels
from tests.plugins.conftest import Trained
from tests.sure import instance, sure


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def learnable(model: Classifier, count: int = 400, seed: int = 3) -> Samples:
    x = inputs(model.info, count, seed=seed, spread=0.5)
    return Samples(x, model.logits(x).argmax(1), model.info.bounds)


def caught(detector: Detector, clean: torch.Tensor, adversarial: torch.Tensor) -> float:
    """Area under the ROC curve."""
    negative, positive = detector.score(clean), detector.score(adversarial)
    return float((positive[:, None] > negative[None]).double().mean())


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
def test_squeezing_is_the_largest_move_of_the_prediction(bounds: tuple[float, float]) -> None:
    model = linear((1, 6, 6), 3, bounds)
    low, high = bounds
    detector = sure(FeatureSqueezing(bits=2, window=3).fit(model, learnable(model), seeded()).detector)
    x = inputs(model.info, 7, spread=0.3)
    rounded = ((x - low) / (high - low) * 3).round() / 3 * (high - low) + low
    before = model.logits(x).softmax(1)
    moves = [(model.logits(squeezed).softmax(1) - before).abs().sum(1) for squeezed in (rounded, median(x, 3))]
    assert torch.allclose(detector.score(x), torch.maximum(*moves), atol=1e-5)
    assert torch.allclose(detector.twin(x), detector.score(x), atol=1e-5)
    assert moves[0].gt(moves[1]).any()
    assert moves[1].gt(moves[0]).any()


def test_squeezing_flat_inputs_leaves_the_median_out_and_says_so() -> None:
    model = linear((12,), 3)
    defended = FeatureSqueezing(bits=3).fit(model, learnable(model), seeded())
    assert any("flat" in note for note in defended.notes)
    assert torch.isfinite(sure(defended.detector).score(inputs(model.info, 3))).all()
    with pytest.raises(RobustEvalError, match="no squeezer left"):
        FeatureSqueezing(bits=0).fit(model, learnable(model), seeded())


@pytest.mark.statistical
@pytest.mark.parametrize("rate", [0.02, 0.1])
def test_false_alarms_are_as_many_as_wanted(rate: float) -> None:
    model = linear((1, 6, 6), 3)
    detector = sure(FeatureSqueezing(false_alarm=rate).fit(model, learnable(model, 2000), seeded()).detector)
    alarms = (detector.score(learnable(model, 2000, seed=4).x) > detector.threshold).float().mean()
    assert 0.5 * rate < alarms < 1.6 * rate


@pytest.mark.statistical
def test_squeezing_finds_minimal_adversarials_until_they_know_it(fashion: Trained) -> None:
    x, y = fashion.samples.x, fashion.samples.y
    defended = FeatureSqueezing().fit(fashion.model, fashion.fit[torch.arange(1500)], seeded())
    near = DDN(steps=30).run(pose(fashion.model, x, safe_labels(y, 10), "l2"))
    assert caught(sure(defended.detector), x, near) > 0.85
    problem = pose(defended, x, safe_labels(y, 10, rejected=True), "linf", eps=0.1)
    assert problem.won(PGD(steps=25).run(problem)).float().mean() > 0.9


@pytest.mark.parametrize("kernel", ["rbf", "linear"])
def test_the_machine_is_that_of_scikit_learn(kernel: Literal["rbf", "linear"]) -> None:
    u = torch.randn(300, 4, generator=seeded(1)) * 3
    y = (u + torch.randn(300, 4, generator=seeded(2))).argmax(1)
    machine = fitted(u, y, kernel)
    centred = (u - u.mean(1, keepdim=True)).double().numpy()
    gamma = 1 / (4 * centred.var())
    expected = np.stack(
        [
            SVC(kernel=kernel, gamma=gamma, class_weight="balanced").fit(centred, y == k).decision_function(centred)
            for k in range(4)
        ],
        axis=1,
    )
    assert np.allclose(machine.scores(u).numpy(), expected, atol=1e-3)
    assert torch.allclose(machine.scores(u), machine.scores(u.log_softmax(1)), atol=1e-3), "A shift changed it."
    leaf = u.clone().requires_grad_(True)
    (grad,) = torch.autograd.grad(machine.scores(leaf).sum(), leaf)
    assert torch.isfinite(grad).all()
    assert grad.abs().max() > 0


def test_classes_without_adversarials_are_never_named() -> None:
    u = torch.randn(100, 4, generator=seeded(1))
    machine = fitted(u, torch.arange(100) % 2, "rbf")
    assert machine.scores(u).argmax(1).max() < 2
    alone = fitted(u, torch.ones(100, dtype=torch.int64), "rbf")
    assert (alone.scores(u).argmax(1) == 1).all()


def corrected(statistic: Literal["noise", "margin"] = "margin") -> tuple[Rectified, Defended]:
    model = Rectified(linear((1, 6, 6), 3))
    return model, LogitOddsSvm(statistic=statistic, false_alarm=0.2).fit(model, learnable(model, 800), seeded())


@pytest.mark.statistical
def test_the_machine_answers_where_the_detector_fires_and_the_model_elsewhere() -> None:
    model, defended = corrected()
    inner = instance(defended.model, Corrected)
    x = learnable(model, 300, seed=8).x
    fired = inner.detector.score(x) > inner.detector.threshold
    assert 0.1 < fired.float().mean() < 0.4
    answer = inner.logits(x)
    assert torch.equal(answer[~fired], model.logits(x)[~fired])
    assert torch.allclose(answer[fired], inner.scale * inner.machine.scores(model.logits(x))[fired], atol=1e-4)
    leaf = x.clone().requires_grad_(True)
    (through,) = torch.autograd.grad(inner.twin(leaf)[:, 0].sum(), leaf)
    (bare,) = torch.autograd.grad(model.twin(leaf)[:, 0].sum(), leaf)
    assert torch.allclose(through[~fired], bare[~fired], atol=1e-5)
    assert not torch.allclose(through[fired], bare[fired], atol=1e-3), "Flagged inputs go through the machine."


def test_the_corrector_is_random_where_its_detector_is() -> None:
    model, defended = corrected("noise")
    drawn = pickle.loads(pickle.dumps(defended)).draw(seeded(1))
    assert drawn.draw is None
    assert drawn.model.detector.seed != instance(sure(defended.draw)(seeded(2)).model, Corrected).detector.seed
    assert corrected()[1].draw is None
    with pytest.raises(RobustEvalError, match="no gradients"):
        LogitOddsSvm().fit(NoGradient(model), learnable(model), seeded())


def test_the_corrector_mends_some_and_yields_when_it_is_known(fashion: Trained) -> None:
    """It knows FGSM of the size that it learnt; an attack through the branch that answers goes past it."""
    x, y = fashion.samples.x, fashion.samples.y
    defense = LogitOddsSvm(statistic="margin", false_alarm=0.1)
    defended = defense.fit(fashion.model, fashion.fit[torch.arange(1500)], seeded())
    safe = safe_labels(y, 10)

    def right(attack: Attack, target: Any, judge: Any) -> float:
        found = attack.run(pose(target, x, safe, "linf", eps=0.1))
        return float((judge.logits(found).argmax(1) == y).float().mean())

    assert right(FGSM(), fashion.model, defended.model) > right(FGSM(), fashion.model, fashion.model) + 0.2
    assert right(PGD(steps=25), defended, defended.model) < 0.1
