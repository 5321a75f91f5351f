"""DDN step by step, beside the algorithm written down a second time.

The module is taken by its path in this repository, so that `make mutants` reaches it.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any, Literal

import pytest
import torch
from robusteval_attacks._common.linearisation import aim_passes, nearest_class
from torch import Tensor

from robusteval.api import Passes
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.problem import Problem
from tests.plugins.linear_models import linear, middling, pose, untargeted
from tests.sure import sure

if TYPE_CHECKING:  # a module has one name for mypy
    from robusteval_attacks import ddn
    from robusteval_attacks.ddn import DDN
else:
    from plugins.robusteval_attacks import ddn
    from plugins.robusteval_attacks.ddn import DDN


def again(
    problem: Problem, steps: int, radius: float, gamma: float, last_gamma: float, loss: str = "ce"
) -> tuple[Tensor, list[Any]]:
    """Rony et al.'s algorithm 1 with a first radius from the linearisation, for one sample at a time in float32."""
    low, high = problem.bounds
    x0 = problem.x
    most = radius * (high - low)
    x, radii = x0.clone(), []
    best, shortest = x0.clone(), torch.full((len(x0),), math.inf)
    for step in range(steps):
        grad, _, scores, won = problem.grad(x, loss)
        length = grad.flatten(1).norm(dim=1)
        if step == 0:
            outside = scores.masked_fill(problem.safe, -math.inf).amax(1)
            inside = scores.masked_fill(~problem.safe, -math.inf).amax(1)
            reach = (inside - outside) / length
            first = torch.where(reach > 1e-4 * most, reach.clamp(max=most), torch.tensor(most))
            now = first.clone()
        away = (x - x0).flatten(1).norm(dim=1)
        for row in range(len(x0)):
            if won[row] and away[row] < shortest[row]:
                best[row], shortest[row] = x[row], away[row]
        radii.append(now.tolist())
        pace = first * (0.01 + 0.99 * (1 + math.cos(math.pi * step / steps)) / 2)
        shape = (-1, *[1] * (x0.dim() - 1))
        delta = x - x0 + pace.view(shape) * grad / length.view(shape)
        share = last_gamma + (gamma - last_gamma) * (1 + math.cos(math.pi * step / steps)) / 2
        now = torch.where(won, now * (1 - share), now * (1 + share))
        delta = delta * (now / delta.flatten(1).norm(dim=1)).view(shape)
        x = (x0 + delta).clamp(low, high)
    away = (x - x0).flatten(1).norm(dim=1)
    won = problem.won(x)
    for row in range(len(x0)):
        if (won[row] and away[row] < shortest[row]) or shortest[row] == math.inf:
            best[row] = x[row]
    return best, radii


def both(attack: DDN, model: Classifier, x: Tensor, safe: Tensor) -> tuple[Tensor, list[Any], Tensor, list[Any]]:
    posed = pose(attack, model, x, safe, "l2", trace=True)
    found = attack.run(posed)
    expected, radii = again(
        pose(attack, model, x, safe, "l2"), attack.steps, attack.radius, attack.gamma, attack.last_gamma, attack.loss
    )
    return found, sure(posed.trace).points, expected, radii


@pytest.mark.parametrize("loss", ["ce", "margin"])
@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_every_step_is_that_of_the_algorithm(steps: int, loss: Literal["ce", "margin", "dlr", "nearest"]) -> None:
    model = linear((1, 4, 4), 5, seed=3)
    x = middling(model, 6, share=1.0)
    attack = DDN(steps=steps, loss=loss)
    found, points, expected, radii = both(attack, model, x, untargeted(model, x))
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)
    assert [point["radius"] for point in points] == pytest.approx([sum(row) / 6 for row in radii], rel=1e-4)
    assert all({"loss", "radius", "won"} <= set(point) for point in points)
    assert 0 <= points[-1]["won"] <= 1


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("radius", [0.001, 0.1, 1.0])
def test_the_first_radius_is_in_units_of_the_range(bounds: tuple[float, float], radius: float) -> None:
    model = linear((8,), 3, bounds, seed=1)
    x = middling(model, 5, share=0.8)
    found, points, expected, radii = both(DDN(steps=6, radius=radius), model, x, untargeted(model, x))
    torch.testing.assert_close(found, expected, atol=2e-5 * (bounds[1] - bounds[0]), rtol=1e-4)
    assert points[0]["radius"] == pytest.approx(sum(radii[0]) / 5, rel=1e-4)
    assert max(radii[0]) <= radius * (bounds[1] - bounds[0]) * (1 + 1e-6)


def test_the_nearest_win_of_the_way_is_returned_and_the_last_point_where_there_was_none() -> None:
    model = linear((8,), 2, seed=2)
    x = middling(model, 4, share=0.5)
    safe = untargeted(model, x)
    safe[2:] = True  # nothing counts as a win of the last two
    attack = DDN(steps=40)
    found, _, expected, _ = both(attack, model, x, untargeted(model, x))
    part = pose(attack, model, x, safe, "l2")
    answer = attack.run(part)
    torch.testing.assert_close(answer[:2], found[:2], atol=1e-5, rtol=1e-4)
    assert part.won(answer).tolist() == [True, True, False, False]
    assert (answer[2:] != x[2:]).any(1).all()
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize(("steps", "free"), [(5, 3), (4, 2), (1, 1)])
def test_nearest_aims_in_the_second_half_at_the_class_that_is_nearest(
    monkeypatch: pytest.MonkeyPatch, steps: int, free: int
) -> None:
    model = linear((8,), 4, seed=4)
    x = middling(model, 3, share=0.5)
    attack = DDN(steps=steps, loss="nearest")
    posed = pose(attack, model, x, untargeted(model, x), "l2")
    kinds: list[Any] = []
    plain = type(posed).grad

    def grad(self: Problem, point: Tensor, kind: Any = "margin") -> Any:
        kinds.append(kind)
        return plain(self, point, kind)

    monkeypatch.setattr(type(posed), "grad", grad)
    attack.run(posed)
    assert kinds[:free] == ["ce"] * free  # 0, 1 and 2 of 5
    assert len(kinds) == steps
    assert all(callable(kind) for kind in kinds[free:])
    scores = posed.scores(x)
    aim = nearest_class(posed)
    expected = scores.gather(1, aim[:, None]).squeeze(1) - scores.masked_fill(~posed.safe, -1e30).amax(1)
    if steps > 1:
        torch.testing.assert_close(kinds[-1](scores), expected)


def test_gradients_may_be_rounded_by_the_share_of_steps_that_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    model = linear((8,), 4, seed=4)
    x = middling(model, 3, share=0.5)
    posed = pose(DDN(), model, x, untargeted(model, x), "l2")
    shares: list[float] = []

    def roughly(self: Problem, done: float) -> Problem:
        shares.append(done)
        return self

    monkeypatch.setattr(type(posed), "roughly", roughly)
    DDN(steps=4).run(posed)
    assert shares == [0.0, 0.25, 0.5, 0.75]


def test_what_it_costs() -> None:
    assert DDN(steps=9).passes("l2", 10) == Passes(10, 9)
    assert DDN(steps=9, loss="margin").passes("l2", 10) == Passes(10, 9)
    assert DDN(steps=9, loss="nearest").passes("l2", 4) == Passes(10, 9) + aim_passes(4)
    model = linear((8,), 4)
    x = middling(model, 3)
    for attack in (DDN(steps=7), DDN(steps=7, loss="nearest")):
        posed = pose(attack, model, x, untargeted(model, x), "l2")
        attack.run(posed)
        said = attack.passes("l2", 4)
        assert posed.meter.forwards.tolist() == [said.forward] * 3
        assert posed.meter.backwards.tolist() == [said.backward] * 3


def test_the_first_radius_where_the_gradient_says_nothing() -> None:
    gap = torch.tensor([1.0, 1.0, 1e-3, 1e-5, 50.0, -1.0])
    grad = torch.zeros(6, 2)
    grad[:, 0] = torch.tensor([2.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    most = torch.full((6,), 3.0)
    # half a unit; no gradient; near but not too near; nearer than a ten thousandth; beyond the most; lost already
    assert ddn._first_radius(gap, grad, most).tolist() == pytest.approx([0.5, 3.0, 1e-3, 3.0, 3.0, 3.0])
    assert ddn._first_radius(1e-4 * most[:1], grad[2:3], most[:1]).item() == 3.0
    assert ddn._first_radius(torch.tensor([1.0]), torch.tensor([[0.3, 0.4]]), most[:1]).item() == pytest.approx(2.0)
    tall = ddn._first_radius(torch.tensor([5.0]), torch.tensor([[3.0, 4.0]]), torch.tensor([9.0]))
    assert tall.item() == pytest.approx(1.0)


def test_only_rows_without_a_gradient_are_given_a_random_one() -> None:
    model = linear((3,), 2)
    posed = pose(DDN(), model, torch.zeros(3, 3), torch.ones(3, 2).bool(), "l2", seed=5)
    grad = torch.tensor([[0.0, 0.0, 0.0], [0.0, 1e-30, 0.0], [1.0, 2.0, 3.0]])
    filled = ddn._nonzero(grad, posed)
    noise = torch.randn(3, 3, generator=torch.Generator().manual_seed(5))
    assert filled.tolist() == [noise[0].tolist(), *grad[1:].tolist()]
    before = posed.rng.get_state()
    assert ddn._nonzero(grad[1:], posed) is not None
    assert ddn._nonzero(grad[1:], posed).tolist() == grad[1:].tolist()
    assert posed.rng.get_state().equal(before)  # nothing was drawn
    assert ddn._nonzero(torch.zeros(1, 3, dtype=torch.float64), posed).dtype == torch.float64


def test_a_flat_model_is_walked_on_at_random_and_stays_finite() -> None:
    model = linear((6,), 3, zero=True)
    x = middling(model, 2)
    safe = torch.tensor([[True, False, False]] * 2)
    found = DDN(steps=4).run(pose(DDN(), model, x, safe, "l2"))
    assert found.isfinite().all()
    assert (found != x).any(1).all()


def test_the_plugin_is_offered() -> None:
    assert ddn.robusteval_attacks() == [DDN]
    assert dataclasses.asdict(DDN()) == {"steps": 60, "radius": 1.0, "loss": "ce", "gamma": 0.15, "last_gamma": 0.02}
