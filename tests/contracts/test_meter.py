"""What is counted at the pipeline, number by number."""

from __future__ import annotations

import math

import pytest
import torch

from robusteval.api import Norm
from robusteval.contracts.meter import Meter, Trace, Watch


def rows(*places: int) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.int64)


def test_a_new_meter_stands_at_zero_for_every_sample() -> None:
    meter = Meter(3)
    for name in ("forwards", "backwards", "zero_gradients", "bad_gradients"):
        column = getattr(meter, name)
        assert column.tolist() == [0, 0, 0]
        assert column.dtype == torch.int64


def test_passes_are_counted_for_the_rows_that_made_them() -> None:
    meter = Meter(4)
    meter.forward(rows(0, 2))
    meter.forward(rows(2, 2, 3), 5)
    meter.backward(rows(1))
    meter.backward(rows(1, 3), 7)
    assert meter.forwards.tolist() == [1, 0, 11, 5]
    assert meter.backwards.tolist() == [0, 8, 0, 7]
    assert meter.zero_gradients.tolist() == meter.bad_gradients.tolist() == [0] * 4


def test_gradients_are_zero_bad_or_good() -> None:
    meter = Meter(5)
    grad = torch.tensor([[0.0, 0.0], [0.0, 1e-30], [0.0, 0.0], [3.0, 4.0], [0.0, -0.0]])
    bad = torch.tensor([False, False, True, True, False])  # what was not finite came back as zero
    meter.gradients(grad, bad, rows(0, 1, 2, 3, 0), 3)
    assert meter.zero_gradients.tolist() == [6, 0, 0, 0, 0]  # three passes each
    assert meter.bad_gradients.tolist() == [0, 0, 3, 3, 0]
    assert meter.backwards.tolist() == [6, 3, 3, 3, 0]
    assert meter.forwards.tolist() == [0] * 5
    meter.gradients(torch.zeros(1, 2, 2, 2), torch.tensor([False]), rows(4), 1)
    assert meter.zero_gradients.tolist() == [6, 0, 0, 0, 1]


def test_a_trace_is_the_mean_of_what_is_finite() -> None:
    trace = Trace()
    values = torch.tensor([1.0, math.inf, 3.0, math.nan], requires_grad=True)
    trace.add(rows(0, 1, 2, 5), {"distance": values, "step": 0.5, "never": torch.full((4,), math.inf)})
    assert trace.points == [{"samples": 4.0, "distance": 2.0, "step": 0.5}]
    trace.run = 2
    trace.add(rows(0), {})
    assert trace.points[1] == {"samples": 1.0, "run": 2.0}
    trace.add(rows(), {"a": torch.tensor([0.1, 0.2], dtype=torch.float64)})
    assert trace.points[2] == {"samples": 0.0, "run": 2.0, "a": pytest.approx(0.15, abs=1e-15)}
    assert all(isinstance(value, float) for point in trace.points for value in point.values())


def watch(eps: list[float] | None = None, bounds: tuple[float, float] = (0.0, 1.0), norm: Norm = "linf") -> Watch:
    """Samples 4, 1 and 2 of five, at 0, .1 and .2 in two dimensions; class 0 is kept."""
    x0 = torch.tensor([[0.0, 0.0], [0.1, 0.1], [0.2, 0.2]], dtype=torch.float64)
    safe = torch.tensor([[True, False]] * 3)
    budget = None if eps is None else torch.tensor(eps, dtype=torch.float64)
    return Watch(5, rows(4, 1, 2), x0, safe, norm, budget, bounds)


LOST, KEPT = [0.0, 1.0], [1.0, 0.0]


def test_a_win_on_the_way_is_seen_where_it_happened() -> None:
    one = watch()
    assert one.met.tolist() == [False] * 3
    assert one.met.dtype == torch.bool
    one.see(rows(1, 4), torch.full((2, 2), 0.5), torch.tensor([LOST, KEPT]))
    assert one.met.tolist() == [False, True, False]
    one.see(rows(2, 1, 4), torch.full((3, 2), 0.5), torch.tensor([KEPT, KEPT, LOST]))
    assert one.met.tolist() == [True, True, False]  # and is never forgotten
    one.see(rows(2), torch.full((1, 2), 0.5), torch.tensor([[math.nan, 1.0]]))
    assert one.met.tolist() == [True, True, False]


def test_queries_of_another_kind_are_not_looked_at() -> None:
    one = watch()
    one.see(rows(), torch.zeros(0, 2), torch.zeros(0, 2))
    one.see(rows(4), torch.full((1, 2), 0.5), torch.tensor([[0.0, 1.0, 0.0]]))  # more classes
    one.see(rows(4), torch.full((1, 2), 0.5), torch.tensor([1.0]))
    assert one.met.tolist() == [False] * 3


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 0.5)])
def test_only_points_of_the_box_are_wins(bounds: tuple[float, float]) -> None:
    low, high = bounds
    for value, met in ((low, True), (high, True), (low - 1e-6, False), (high + 1e-6, False), (math.nan, False)):
        one = watch(bounds=bounds)
        x = torch.tensor([[0.3, value]], dtype=torch.float64)
        one.see(rows(1), x, torch.tensor([LOST]))
        assert one.met.tolist() == [False, met, False], value


@pytest.mark.parametrize(("over", "met"), [(-0.1, True), (0.0, True), (5e-7, True), (2e-6, False), (0.05, False)])
def test_only_points_within_the_sample_s_own_budget_are_wins(over: float, met: bool) -> None:
    one = watch(eps=[0.9, 0.25, 0.9])
    x = torch.tensor([[0.1 + 0.25 * (1 + over), 0.1], [0.95, 0.2]], dtype=torch.float64, requires_grad=True)
    one.see(rows(1, 2), x, torch.tensor([LOST, LOST]))
    assert one.met.tolist() == [False, met, True]
    one = watch(eps=[0.9, 0.25, 0.9], norm="l1")
    one.see(rows(1), torch.tensor([[0.3, 0.1], [0.0, 0.0]])[:1].double(), torch.tensor([LOST]))
    assert one.met[1]
    one.see(rows(2), torch.tensor([[1.0, 1.0]]).double(), torch.tensor([LOST]))
    assert not one.met[2]


def test_a_first_unlawful_win_does_not_hide_a_later_lawful_one() -> None:
    one = watch(eps=[0.2] * 3)
    one.see(rows(4), torch.tensor([[0.9, 0.0]]).double(), torch.tensor([LOST]))
    assert one.met.tolist() == [False] * 3
    one.see(rows(4), torch.tensor([[0.1, 0.0]]).double(), torch.tensor([LOST]))
    assert one.met.tolist() == [True, False, False]
    assert one.is_feasible(rows(0, 2), torch.tensor([[0.2, 0.0], [0.5, 0.2]]).double()).tolist() == [True, False]
    assert watch().is_feasible(rows(0, 1), torch.tensor([[0.2, 1.5], [0.5, 0.2]]).double()).tolist() == [False, True]
