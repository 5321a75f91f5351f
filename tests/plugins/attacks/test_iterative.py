"""bim, mim and least-likely against a linear model, whose worst case is known."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.bim import BIM
from robusteval_attacks.least_likely import LeastLikely
from robusteval_attacks.mim import MIM

from robusteval.api import margin
from tests.plugins.conftest import linear, middling, optimum, pose, untargeted


@pytest.mark.parametrize("kind", [BIM, MIM])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_two_classes_are_lost_just_above_the_smallest_budget_and_not_below(kind, norm) -> None:
    model = linear((20,), 2)
    x = middling(model, 12)
    keep = untargeted(model, x)
    reach = optimum(model, x, keep, norm)
    for factor, expected in ((1.01, True), (0.98, False)):
        problem = pose(kind(), model, x, keep, norm, factor * reach)
        found = kind().run(problem)
        assert (problem.won(found) == expected).all()
        assert (problem.distance(found) <= factor * reach * 1.0001).all()


def test_the_best_iterate_counts_not_the_last() -> None:
    model = linear((20,), 4)
    x = middling(model, 12)
    keep = untargeted(model, x)
    problem = pose(BIM(), model, x, keep, "linf", 0.5 * optimum(model, x, keep, "linf"))
    found = BIM().run(problem)
    assert (margin(problem.scores(found), keep) > margin(problem.scores(x), keep)).all()


def test_least_likely_goes_for_the_last_class_and_takes_any_win() -> None:
    model = linear((40,), 5)
    x = middling(model, 12)
    scores = model.logits(x)
    keep = untargeted(model, x)
    short = pose(LeastLikely(), model, x, keep, "l2", 0.3 * optimum(model, x, keep, "l2"))
    last = scores.argmin(1, keepdim=True)
    gap = (scores.max(1).values - scores.gather(1, last)[:, 0]) - (lambda s: s.max(1).values - s.gather(1, last)[:, 0])(
        model.logits(LeastLikely().run(short))
    )
    assert (gap > 0).all()
    far = pose(LeastLikely(), model, x, keep, "l2", 100 * optimum(model, x, keep, "l2"))
    assert far.won(LeastLikely().run(far)).float().mean() > 0.8


@pytest.mark.parametrize("kind", [BIM, MIM, LeastLikely])
def test_the_lost_leave_the_batch(kind) -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    problem = pose(kind(), model, x, untargeted(model, x), "linf", 10 * optimum(model, x, untargeted(model, x), "linf"))
    kind().run(problem)
    assert (problem.meter.backwards < kind().steps).all()
    assert torch.is_grad_enabled()
