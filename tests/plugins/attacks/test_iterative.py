"""bim, mim and least-likely against a linear model, whose worst case is known."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.bim import BIM
from robusteval_attacks.least_likely import LeastLikely
from robusteval_attacks.mim import MIM

from robusteval.api import Norm, margin
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.parametrize("kind", [BIM, MIM, LeastLikely])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_two_classes_are_lost_just_above_the_smallest_budget_and_not_below(
    kind: type[BIM | MIM | LeastLikely], norm: Norm
) -> None:
    model = linear((20,), 2)
    x = middling(model, 12)
    safe = untargeted(model, x)
    reach = optimum(model, x, safe, norm)
    for factor, expected in ((1.01, True), (0.98, False)):
        problem = pose(kind(), model, x, safe, norm, factor * reach)
        found = kind().run(problem)
        assert (problem.won(found) == expected).all()
        assert (problem.distance(found) <= factor * reach * 1.0001).all()


def test_the_best_iterate_counts_not_the_last() -> None:
    model = linear((20,), 4)
    x = middling(model, 12)
    safe = untargeted(model, x)
    problem = pose(BIM(), model, x, safe, "linf", 0.5 * optimum(model, x, safe, "linf"))
    found = BIM().run(problem)
    assert (margin(problem.scores(found), safe) > margin(problem.scores(x), safe)).all()


@pytest.mark.statistical
def test_least_likely_ends_in_the_last_class() -> None:
    model = linear((40,), 3)
    x = middling(model, 12)
    last = model.logits(x).argmin(1)
    safe = ~torch.nn.functional.one_hot(last, 3).bool()
    plain = untargeted(model, x)
    far = 50 * optimum(model, x, safe, "l2").clamp_max(0.1)
    targeted = pose(LeastLikely(), model, x, safe, "l2", far)
    assert targeted.won(LeastLikely().run(targeted)).float().mean() > 0.8
    any_win = pose(LeastLikely(), model, x, plain, "l2", far)
    assert any_win.won(LeastLikely().run(any_win)).float().mean() > 0.8


@pytest.mark.parametrize("kind", [BIM, MIM, LeastLikely])
def test_the_lost_leave_the_batch(kind: type[BIM | MIM | LeastLikely]) -> None:
    model = linear((20,), 3)
    x = middling(model, 6)
    problem = pose(kind(), model, x, untargeted(model, x), "linf", 10 * optimum(model, x, untargeted(model, x), "linf"))
    kind().run(problem)
    assert (problem.meter.backwards < kind().steps).all()
    assert torch.is_grad_enabled()


@pytest.mark.statistical
def test_bim_goes_on_past_the_boundary_where_it_is_told_to() -> None:
    """A detector that is tried against samples that stopped at the boundary is tried against the weakest only."""
    model = linear((20,), 3)
    x = middling(model, 6)
    safe = untargeted(model, x)
    eps = 3 * optimum(model, x, safe, "l2")
    problem = pose(BIM(), model, x, safe, "l2", eps)
    stopped, gone = BIM(steps=12).run(problem), BIM(steps=12, stop=False).run(problem)
    assert problem.won(stopped).all()
    assert (problem.distance(stopped) < 0.6 * eps).all()
    assert (problem.distance(gone) > 0.95 * eps).all()
    assert (margin(problem.scores(gone), safe) > margin(problem.scores(stopped), safe)).all()
    short = pose(BIM(), model, x, safe, "l2", eps)
    assert (short.distance(BIM(steps=2, step=0.1, stop=False).run(short)) < 0.21 * eps).all()
