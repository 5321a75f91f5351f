"""carlini-wagner in l0 and linf: the closed form on linear models, pixels and rounds, and a trained model."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.carlini_wagner import CarliniWagner
from robusteval_attacks.carlini_wagner import l0 as _cw_l0
from robusteval_attacks.deepfool import DeepFool
from robusteval_attacks.jsma import JSMA

from robusteval.api import Norm, margin
from robusteval.testing import safe_all_but
from tests.plugins.attacks.minimal import fewest, reach, trained
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("classes", "bounds"),
    [
        (2, (0.0, 1.0)),
        (4, (-1.0, 3.0)),
        pytest.param(2, (-1.0, 3.0), marks=pytest.mark.long),
        pytest.param(4, (0.0, 1.0), marks=pytest.mark.long),
    ],
)
def test_linf_is_near_the_smallest(classes: int, bounds: tuple[float, float]) -> None:
    model = linear((12,), classes, bounds)
    x = middling(model, 24)
    safe = untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, safe, "linf")
    found = CarliniWagner().run(problem)
    assert problem.won(found).all()
    # no line search to the clean samples here: it would hide how far tau has come
    ratio = problem.distance(found) / optimum(model, x, safe, "linf")
    assert (ratio >= 0.999).all()
    assert ratio.median() < 1.12


@pytest.mark.statistical
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("classes", [2, 4])
def test_l0_needs_hardly_more_values_than_the_closed_form(bounds: tuple[float, float], classes: int) -> None:
    model = linear((30,), classes, bounds)
    x = middling(model, 24, share=0.9)
    safe = untargeted(model, x)
    found, least = reach(CarliniWagner(), model, x, safe, "l0"), fewest(model, x, safe)
    assert (found >= least).all()
    assert (found - least).mean() < 1


@pytest.mark.statistical
def test_fewer_pixels_leave_after_a_failure() -> None:
    model = linear((30,), 2)
    x = middling(model, 12, share=0.9)
    safe = untargeted(model, x)
    found = reach(CarliniWagner(share=0.95), model, x, safe, "l0")
    assert (found - fewest(model, x, safe)).mean() < 1


def test_the_pixels_worth_least_leave_first() -> None:
    free = torch.ones(2, 10, dtype=torch.bool)
    worth = torch.stack([torch.arange(1.0, 11.0), torch.arange(-4.0, 6.0)])
    leaving = _cw_l0._leaving(worth, free, 0.2, torch.tensor([10, 10]))
    assert leaving.tolist() == [2, 5]  # a share; all that are worth nothing
    assert _cw_l0._leaving(worth, free, 0.2, torch.tensor([1, 1])).tolist() == [1, 1]
    assert _cw_l0._leaving(worth, free, 1.0, torch.tensor([10, 10])).tolist() == [9, 9]  # one must stay


def test_a_pixel_counts_once_whatever_its_channels() -> None:
    model = linear((3, 5, 5), 2)
    x = middling(model, 12)
    safe = untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, safe, "l0")
    found = CarliniWagner().run(problem)
    assert problem.won(found).all()
    # a free pixel moves in all its channels, so fewer pixels do than values would
    assert (problem.distance(found) <= fewest(model, x.flatten(1), safe)).all()
    assert (problem.distance(found) < (found != x).flatten(1).sum(1)).all()


@pytest.mark.parametrize("norm", ["l0", "linf"])
def test_confidence_is_kept(norm: Norm) -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    safe = untargeted(model, x)
    attack = CarliniWagner(confidence=0.5)
    problem = pose(attack, model, x, safe, norm)
    found = attack.run(problem)
    assert (margin(problem.scores(found), safe) >= 0.5 - 1e-4).all()


@pytest.mark.parametrize("norm", ["l0", "linf"])
def test_lost_samples_stay_for_one_pass(norm: Norm) -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    safe = ~untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, safe, norm)
    assert torch.equal(CarliniWagner().run(problem), x)
    assert problem.meter.forwards.max() == 1


@pytest.mark.parametrize("norm", ["l0", "linf"])
def test_answers_do_not_depend_on_the_batch(norm: Norm) -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    safe = untargeted(model, x)
    together = CarliniWagner().run(pose(CarliniWagner(), model, x, safe, norm))
    for row in (1, 4):
        only = torch.tensor([row])
        alone = CarliniWagner().run(pose(CarliniWagner(), model, x[only], safe[only], norm))
        assert torch.allclose(alone[0], together[row], atol=1e-4)


@pytest.mark.statistical
def test_fewer_pixels_than_the_greedy_jsma_on_a_trained_model() -> None:
    model, x, safe = trained("cnn", 12)
    found, other = (reach(attack, model, x, safe, "l0") for attack in (CarliniWagner(), JSMA()))
    assert torch.isfinite(found).all()
    assert found.mean() < 0.8 * other.mean()


@pytest.mark.statistical
def test_linf_is_as_near_as_deepfool_on_a_trained_model() -> None:
    model, x, safe = trained("cnn", 8)
    found, other = (reach(attack, model, x, safe, "linf") for attack in (CarliniWagner(), DeepFool()))
    assert torch.isfinite(found).all()
    assert found.median() < 1.1 * other.median()  # tau falls by tenths


@pytest.mark.statistical
@pytest.mark.parametrize("norm", ["l0", "linf"])
def test_a_target_is_reached(norm: Norm) -> None:
    model, x, _ = trained("cnn", 6)
    goal = model.logits(x).argsort(1)[:, -3]
    attack = CarliniWagner(steps=50)
    found = attack.run(pose(attack, model, x, safe_all_but(goal, 10), norm))
    assert (model.logits(found).argmax(1) == goal).float().mean() > 0.8
