"""newtonfool on a linear model, where its direction is exact for two classes."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.newtonfool import NewtonFool

from tests.plugins.attacks.minimal import reach, trained
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.statistical
def test_two_classes_end_just_past_the_boundary() -> None:
    model = linear((20,), 2, (-1.0, 3.0))
    x = middling(model, 12)
    safe = untargeted(model, x)
    problem = pose(NewtonFool(), model, x, safe, "l2")
    found = NewtonFool().run(problem)
    assert problem.won(found).float().mean() > 0.9
    longest = 0.01 * torch.linalg.vector_norm(x + 1, dim=1).clamp_min(4.0)
    assert (problem.distance(found) <= optimum(model, x, safe, "l2") + 1.01 * longest).all()


@pytest.mark.statistical
def test_all_classes_are_reached_and_the_lost_leave() -> None:
    model = linear((20,), 5)
    x = middling(model, 12)
    safe = untargeted(model, x)
    problem = pose(NewtonFool(), model, x, safe, "l2")
    found = NewtonFool().run(problem)
    assert problem.won(found).all()
    assert (problem.meter.backwards < 200).all()
    assert (problem.distance(found) >= 0.999 * optimum(model, x, safe, "l2")).all()


@pytest.mark.statistical
def test_longer_steps_leave_the_valleys_of_a_robust_model() -> None:
    model, x, safe = trained("robust", 24)
    constant, growing = (reach(NewtonFool(growth=growth), model, x, safe, "l2") for growth in (1.0, 1.03))
    assert torch.isfinite(growing).float().mean() >= 0.9
    assert torch.isfinite(constant).float().mean() < torch.isfinite(growing).float().mean() - 0.1
    # those that the paper's steps lose stay as near
    assert (growing <= 1.5 * constant).float().mean() > 0.9


def test_saturated_probabilities_do_not_stop_it() -> None:
    model = linear((20,), 3)
    model.net[1].weight.mul_(1000)
    model.net[1].bias.mul_(1000)
    x = middling(model, 12)
    safe = untargeted(model, x)
    problem = pose(NewtonFool(), model, x, safe, "l2")
    assert problem.won(NewtonFool().run(problem)).all()
