"""lbfgs: the closed form on linear models, a target, and a trained model."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.lbfgs import LBFGS

from robusteval.testing import safe_all_but
from tests.plugins.attacks.minimal import excess, reach, trained
from tests.plugins.linear_models import linear, middling, pose, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("classes", "near", "bounds"),  # cross-entropy pulls towards all other classes
    [
        (2, 1.02, (0.0, 1.0)),
        (4, 1.25, (-1.0, 3.0)),
        pytest.param(2, 1.02, (-1.0, 3.0), marks=pytest.mark.long),
        pytest.param(4, 1.25, (0.0, 1.0), marks=pytest.mark.long),
    ],
)
def test_near_the_smallest_distance_of_linear_models(bounds: tuple[float, float], classes: int, near: float) -> None:
    ratio = excess(LBFGS(), "l2", bounds, classes)
    assert (ratio >= 0.999).all()
    assert ratio.median() < near


def test_a_sample_alone_gets_the_same_answer() -> None:
    model = linear((20,), 3)
    x = middling(model, 5)
    safe = untargeted(model, x)
    problem = pose(LBFGS(), model, x, safe, "l2")
    together = LBFGS().run(problem)
    for row in range(len(x)):
        only = torch.tensor([row])
        alone = LBFGS().run(pose(LBFGS(), model, x[only], safe[only], "l2"))
        assert torch.allclose(alone[0], together[row], atol=1e-5)


@pytest.mark.statistical
def test_lost_samples_stay_and_cost_little() -> None:
    model = linear((20,), 3)
    x = middling(model, 5)
    safe = ~untargeted(model, x)
    problem = pose(LBFGS(), model, x, safe, "l2")
    assert torch.equal(LBFGS().run(problem), x)
    assert problem.meter.backwards.max() <= 2 * 20


@pytest.mark.statistical
def test_passes_are_bounded() -> None:
    model, x, safe = trained("cnn", 4)
    attack = LBFGS(maxiter=5, searches=3)
    problem = pose(attack, model, x, safe, "l2")
    attack.run(problem)
    assert problem.meter.backwards.max() <= 3 * (2 * 5 + 20)  # a line search that has begun may end


@pytest.mark.statistical
def test_as_near_as_ddn_on_a_trained_model() -> None:
    model, x, safe = trained("cnn", 8)
    found, other = (reach(attack, model, x, safe, "l2") for attack in (LBFGS(), DDN()))
    assert torch.isfinite(found).all()
    assert found.median() < 1.1 * other.median()


@pytest.mark.statistical
def test_a_target_is_reached() -> None:
    model, x, _ = trained("cnn", 8)
    goal = model.logits(x).argsort(1)[:, -3]
    attack = LBFGS(maxiter=10, searches=6)
    found = attack.run(pose(attack, model, x, safe_all_but(goal, 10), "l2"))
    assert (model.logits(found).argmax(1) == goal).float().mean() > 0.9
