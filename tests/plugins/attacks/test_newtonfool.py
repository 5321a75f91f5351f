"""newtonfool on a linear model, where its direction is exact for two classes."""

from __future__ import annotations

import torch
from robusteval_attacks.newtonfool import NewtonFool

from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


def test_two_classes_end_just_past_the_boundary() -> None:
    model = linear((20,), 2, (-1.0, 3.0))
    x = middling(model, 12)
    keep = untargeted(model, x)
    problem = pose(NewtonFool(), model, x, keep, "l2")
    found = NewtonFool().run(problem)
    assert problem.won(found).float().mean() > 0.9
    longest = 0.01 * torch.linalg.vector_norm(x + 1, dim=1).clamp_min(4.0)
    assert (problem.distance(found) <= optimum(model, x, keep, "l2") + 1.01 * longest).all()


def test_all_classes_are_reached_and_the_lost_leave() -> None:
    model = linear((20,), 5)
    x = middling(model, 12)
    keep = untargeted(model, x)
    problem = pose(NewtonFool(), model, x, keep, "l2")
    found = NewtonFool().run(problem)
    assert problem.won(found).all()
    assert (problem.meter.backwards < 200).all()
    assert (problem.distance(found) >= 0.999 * optimum(model, x, keep, "l2")).all()
