"""carlini-wagner: the closed form on linear models, and what confidence asks for."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks._common.weight_search import balancing_weight, nearest_around
from robusteval_attacks.carlini_wagner import CarliniWagner

from robusteval.api import margin
from robusteval.contracts.problem import Problem
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("classes", [2, 4])
def test_near_the_smallest_distance(bounds: tuple[float, float], classes: int) -> None:
    model = linear((20,), classes, bounds)
    x = middling(model, 8, share=0.4)
    safe = untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, safe, "l2")
    found = CarliniWagner().run(problem)
    assert problem.won(found).all()
    ratio = problem.distance(found) / optimum(model, x, safe, "l2")
    assert (ratio >= 0.999).all()
    assert ratio.median() < 1.1


def test_confidence_is_kept() -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    safe = untargeted(model, x)
    attack = CarliniWagner(confidence=0.5)
    problem = pose(attack, model, x, safe, "l2")
    found = attack.run(problem)
    assert (margin(problem.scores(found), safe) >= 0.5 - 1e-4).all()


@pytest.mark.statistical
def test_stalled_samples_leave_the_batch() -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    safe = untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, safe, "l2")
    CarliniWagner().run(problem)
    assert problem.meter.backwards.float().mean() < 9 * 200
    assert torch.isfinite(problem.x).all()


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
def test_the_guessed_weight_is_the_one_at_which_a_linear_model_falls(bounds: tuple[float, float]) -> None:
    model = linear((20,), 2, bounds)
    x = middling(model, 8, share=0.2)
    safe = untargeted(model, x)
    for guess, falls in ((0.5, False), (2.0, True)):
        attack = CarliniWagner(searches=1, guess=guess, rate=0.001, abort_early=False)
        problem = pose(attack, model, x, safe, "l2")
        assert (problem.won(attack.run(problem)) == falls).all()


def test_without_a_guess_the_first_weight_is_the_papers() -> None:
    model = linear((20,), 2)
    x = middling(model, 4, share=0.2)
    safe = untargeted(model, x)
    low, high = (CarliniWagner(searches=1, guess=0.0, c=c, rate=0.001) for c in (1e-6, 1e3))
    problem = pose(low, model, x, safe, "l2")
    assert not problem.won(low.run(problem)).any()
    assert problem.won(high.run(problem)).all()


def test_a_flat_start_falls_back_on_the_given_weight() -> None:
    model = linear((20,), 3, zero=True)
    x = middling(model, 3)
    safe = torch.tensor([[True, False, False]]).expand(3, 3)
    assert balancing_weight(pose(CarliniWagner(), model, x, safe, "l2"), 0.0, 0.25).tolist() == [0.25] * 3


@pytest.mark.statistical
def test_the_guess_spares_searches() -> None:
    """Six searches from the guess come as near as nine from the paper's first weight."""
    model = linear((20,), 4)
    x = middling(model, 16, share=0.4)
    safe = untargeted(model, x)
    lengths = []
    for attack in (CarliniWagner(), CarliniWagner(searches=9, guess=0.0)):
        problem = pose(attack, model, x, safe, "l2")
        lengths.append(problem.distance(attack.run(problem)).mean())
    assert lengths[0] < 1.01 * lengths[1]


def test_the_weights_go_up_in_pairs_and_close_in_on_the_nearest_win() -> None:
    """Distances that fall and rise again with c, as on robust models, from another c for each sample."""
    model = linear((20,), 3)
    x = middling(model, 3)
    problem = pose(CarliniWagner(), model, x, untargeted(model, x), "l2")
    nearest, tried = torch.tensor([2.0, 11.0, 1e9]), []

    def run(part: Problem, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        goal = nearest.repeat(2)[: len(c)]
        tried.append(c.reshape(2, 3))
        length = torch.where(c > goal / 3, 1 + (c / goal).log().abs(), torch.inf)
        return part.x + torch.where(length < torch.inf, length, 0.0)[:, None], length

    found = nearest_around(problem, torch.ones(3), 8, run)
    weights = torch.stack(tried)
    assert torch.allclose(weights[:2, :, 2], torch.tensor([[1.0, 3.0], [30.0, 300.0]]))
    assert torch.allclose(weights[1, :, 0], torch.tensor([3.0 / 3**0.5, 3.0 * 3**0.5]))
    best = 1 + (weights[:, :, :2] / nearest[:2]).log().abs().amin((0, 1))
    assert torch.allclose((found - x).amax(1)[:2], best, atol=1e-5)
    assert (best < 1.2).all()
    assert (found[2] == x[2]).all()


def test_an_odd_number_of_weights_is_kept_to() -> None:
    model = linear((20,), 3)
    x = middling(model, 4)
    problem = pose(CarliniWagner(), model, x, untargeted(model, x), "l2")
    count = 0

    def run(part: Problem, c: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        nonlocal count
        count += len(c)
        return part.x, torch.ones_like(c)

    nearest_around(problem, torch.ones(4), 3, run)
    assert count == 12
