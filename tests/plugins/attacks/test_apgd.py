"""apgd: closed form on linear models, and the l1 projection it needs."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from robusteval_attacks.apgd import APGD

from robusteval.api import Norm, project_l1_box, size
from tests.plugins.attacks.minimal import trained
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("loss", ["ce", "dlr", "targeted-dlr"])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_lost_just_above_the_smallest_budget_and_not_below(
    norm: Norm, loss: Literal["ce", "margin", "dlr", "targeted-dlr"], classes: int
) -> None:
    model = linear((20,), classes, (-1.0, 3.0))
    x = middling(model, 10)
    safe = untargeted(model, x)
    reach = optimum(model, x, safe, norm)
    attack = APGD(loss=loss)
    # cross-entropy pulls towards all other classes at once, so it needs a little more room
    room = 3.0 if loss == "ce" else 1.3 if norm == "l1" else 1.1
    above = pose(attack, model, x, safe, norm, room * reach)
    found = attack.run(above)
    assert above.won(found).float().mean() >= 0.9
    assert (above.distance(found) <= above.budget * 1.0001).all()
    below = pose(attack, model, x, safe, norm, 0.98 * reach)
    assert not below.won(attack.run(below)).any()


@pytest.mark.parametrize("seed", range(8))
def test_the_l1_projection_is_the_nearest_point_of_ball_and_box(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    x0 = torch.rand(5, 12, generator=rng) * 2 - 1
    x = x0 + torch.randn(5, 12, generator=rng) * (seed + 1) / 3
    eps = torch.rand(5, generator=rng) * 3
    found = project_l1_box(x0, x, eps, (-1.0, 1.0))
    assert (found.abs() <= 1).all()
    assert (size(found - x0, "l1") <= eps * 1.00001).all()
    assert torch.allclose(project_l1_box(x0, found, eps, (-1.0, 1.0)), found, atol=1e-5)
    # nearest: <x - found, other - found> <= 0 for every other point of the convex set
    for _ in range(200):
        step = torch.randn(5, 12, generator=rng) * (torch.rand(5, 12, generator=rng) < 0.3)
        other = (x0 + step * (eps / size(step, "l1").clamp_min(1e-9))[:, None]).clamp(-1, 1)
        assert (((x - found) * (other - found)).sum(1) <= 1e-4).all()


@pytest.mark.statistical
def test_wider_balls_first_lose_more_of_a_robust_model_in_l1() -> None:
    model, x, safe = trained("robust", 32)
    won = []
    for radii in (False, True):
        attack = APGD(steps=50, loss="ce", radii=radii)
        problem = pose(attack, model, x, safe, "l1", 12.0)
        found = attack.run(problem)
        assert (problem.distance(found) <= 12.0 * 1.0001).all()
        won.append(int(problem.won(found).sum()))
    assert won[1] > won[0]


def test_the_second_start_runs_on_the_survivors_only() -> None:
    model, x, safe = trained("robust", 32)
    once, twice = (pose(APGD(), model, x, safe, "linf", 0.12) for _ in range(2))
    found = APGD(steps=20, restarts=1).run(once)
    APGD(steps=20, restarts=2).run(twice)
    extra = twice.meter.forwards - once.meter.forwards
    lost = once.won(found)
    assert lost.any()
    assert (extra[lost] == 0).all()
    assert (extra[~lost] > 0).all()
