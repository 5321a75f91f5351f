"""carlini-wagner: the closed form on linear models, and what confidence asks for."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.carlini_wagner import CarliniWagner

from robusteval.api import margin
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("classes", [2, 4])
def test_near_the_smallest_distance(bounds, classes) -> None:
    model = linear((20,), classes, bounds)
    x = middling(model, 8, share=0.4)
    keep = untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, keep, "l2")
    found = CarliniWagner().run(problem)
    assert problem.won(found).all()
    ratio = problem.distance(found) / optimum(model, x, keep, "l2")
    assert (ratio >= 0.999).all()
    assert ratio.median() < 1.1


def test_confidence_is_kept() -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    keep = untargeted(model, x)
    attack = CarliniWagner(confidence=0.5)
    problem = pose(attack, model, x, keep, "l2")
    found = attack.run(problem)
    assert (margin(problem.scores(found), keep) >= 0.5 - 1e-4).all()


def test_stalled_samples_leave_the_batch() -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    keep = untargeted(model, x)
    problem = pose(CarliniWagner(), model, x, keep, "l2")
    CarliniWagner().run(problem)
    assert problem.meter.backwards.float().mean() < 9 * 200
    assert torch.isfinite(problem.x).all()
