from __future__ import annotations

import pytest
import torch
from robusteval_attacks._common.hyperplane_projection import cross
from robusteval_attacks.fab import FAB

from robusteval.api import Norm
from tests.plugins.attacks.minimal import excess, reach, trained
from tests.plugins.linear_models import linear, middling, pose, untargeted


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_the_projection_is_exact_within_the_box(norm: Norm) -> None:
    model = linear((6,), 3)
    x = middling(model, 40, share=0.9)
    problem = pose(FAB(), model, x, untargeted(model, x), norm)
    rng = torch.Generator().manual_seed(3)
    slope = torch.randn(x.shape, generator=rng)
    z = torch.rand(x.shape, generator=rng)  # some point of the box: the hyperplane through it can be reached
    gap = (slope * (z - x)).sum(1)
    move = cross(problem, x, slope, gap)
    assert torch.allclose((slope * move).sum(1), gap, atol=1e-5)
    assert (x + move >= -1e-6).all()
    assert (x + move <= 1 + 1e-6).all()
    order = {"l1": 1, "l2": 2, "linf": float("inf")}[norm]
    length = torch.linalg.vector_norm(move, ord=order, dim=1)
    # no other point of hyperplane and box is nearer: random ones, and mixtures of them with the projection
    for _ in range(200):
        other = torch.rand(x.shape, generator=rng)
        other = other + cross(problem, other, slope, gap - (slope * (other - x)).sum(1))
        other = x + move + torch.rand(1, generator=rng) * (other - x - move)
        valid = ((slope * (other - x)).sum(1) - gap).abs() < 1e-5
        assert (torch.linalg.vector_norm(other - x, ord=order, dim=1) >= length - 1e-4)[valid].all()


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
def test_finds_the_closed_form_on_a_linear_model(norm: Norm) -> None:
    found = excess(FAB(steps=20), norm, (-3.0, 5.0))
    assert found.min() > 0.999
    assert found.max() < 1.01


def test_targets_and_restarts_find_no_less() -> None:
    model, x, safe = trained("robust", 8)
    once, more = (pose(FAB(steps=10, restarts=n), model, x, safe, "linf") for n in (1, 2))
    first, best = FAB(steps=10).run(once), FAB(steps=10, restarts=2).run(more)
    assert (more.distance(best) <= once.distance(first)).all()
    assert (more.distance(best) < once.distance(first)).any()
    assert reach(FAB(steps=10, targets=9), model, x, safe, "linf").isfinite().all()


def test_going_further_finds_what_withstood() -> None:
    model, x, safe = trained("robust", 48)
    never = [
        int(reach(FAB(steps=40, candidates=3, growth=by), model, x, safe, "l2").isinf().sum()) for by in (1.0, 1.2)
    ]
    assert never[1] < never[0]
