"""The time budget's arithmetic, on plans that are written down here."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from robusteval.engine.schedule import time_budget
from robusteval.engine.schedule.executors import Outcome, Task
from robusteval.engine.schedule.time_budget import Clock, Gate, roles_of
from robusteval.engine.suite.suite import PRIORITY
from tests.engine.plans import plan, planned, suite


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is set."""
    time = [1000.0]
    monkeypatch.setattr(time_budget, "time", SimpleNamespace(monotonic=lambda: time[0]))
    return time


# The clock


def test_what_is_left_of_the_budget(now: list[float]) -> None:
    clock = Clock(100.0)
    assert clock.left == 100.0
    now[0] += 30
    assert clock.left == 70.0
    now[0] += 80
    assert clock.left == -10.0
    assert Clock().left == math.inf
    assert (Clock().forecast, Clock().took) == (0.0, 0.0)


def test_foretold_times_are_corrected_by_those_measured(now: list[float]) -> None:
    clock = Clock(100.0)
    assert clock.factor == 1.0
    clock.learn(3.0, 7.0)
    assert clock.factor == 8 / 4
    clock.learn(6.0, 2.0)
    assert (clock.forecast, clock.took) == (9.0, 9.0)
    assert clock.factor == 1.0


def test_what_fits(now: list[float]) -> None:
    clock = Clock(100.0)
    assert clock.fits(100.0)
    assert not clock.fits(100.1)
    assert clock.fits(60.0, 40.0)
    assert not clock.fits(60.1, 40.0)
    clock.learn(1.0, 3.0)  # twice as long as foretold
    assert clock.fits(50.0)
    assert not clock.fits(50.1)
    now[0] += 99.5
    assert clock.fits(0.25)
    assert clock.fits(0.0)
    now[0] += 0.5
    assert not clock.fits(0.0)  # nothing is left
    assert not clock.fits(0.0, -10.0)
    assert Clock().fits(1e9, 1e9)


def test_what_is_kept_for_later(now: list[float]) -> None:
    clock = Clock(100.0)
    assert clock.keeps(20.0) == 20.0
    assert clock.keeps(40.0) == 30.0  # at most three tenths
    clock.learn(1.0, 2.0)
    assert clock.keeps(18.0) == 27.0
    assert Clock().keeps(20.0) == 0.0


# Roles


def test_the_strongest_of_each_pipeline_and_norm() -> None:
    one = plan(
        planned("noise", needs="decision"),
        planned("square", needs="scores"),
        planned("fgsm"),
        planned("pgd"),
        planned("noise", "linf", needs="decision"),
        planned("square", "linf", needs="scores"),
        planned("pgd", defense="d"),
        planned("bare", defense="d", starts=("x",)),
        planned("pgd", defense="e", source="none/pgd/l2"),
        planned("all_of", members=("x",), family="cascade"),
    )
    roles = roles_of(one, suite(square=PRIORITY - 1))
    assert roles.first == {"none/square/l2", "none/square/linf", "d/pgd/l2"}
    assert roles.leads == roles.first
    roles = roles_of(one, suite())
    assert roles.first == {"none/fgsm/l2", "none/square/linf", "d/pgd/l2"}
    assert set(roles.group) == {
        "none/noise/l2", "none/square/l2", "none/fgsm/l2", "none/pgd/l2", "none/noise/linf", "none/square/linf",
        "d/pgd/l2",
    }  # fmt: skip
    assert roles.group["d/pgd/l2"] == ("d", "l2")
    assert roles.group["none/noise/linf"] == ("none", "linf")
    roles = roles_of(one, suite(pgd=1, noise=2, fgsm=PRIORITY))
    assert roles.first == {"none/pgd/l2", "none/noise/linf", "d/pgd/l2"}
    assert roles.leads == roles.first | {"none/noise/l2"}  # fgsm has no priority


# The gate


def gate(limit: float | None = 100.0, foretold: float | None = 10.0, workers: int = 1, **more: Any) -> Gate:
    return Gate(Clock(limit), lambda task: foretold if isinstance(task, Task) else -1.0, workers, **more)


def tasks(one: Any, count: int) -> list[Task]:
    return [Task(one, chunk) for chunk in range(count)]


@pytest.mark.parametrize(
    ("count", "workers", "foretold", "fits"),
    [(10, 1, 10.0, True), (11, 1, 10.0, False), (10, 2, 20.0, True), (11, 2, 20.0, False), (10, 0, 10.0, True),
     (11, 0, 10.0, False), (1, 4, 100.0, True), (1, 4, 100.1, False), (5, 1, None, True)],
)  # fmt: skip
def test_a_cell_is_begun_where_all_its_rounds_fit(
    now: list[float], count: int, workers: int, foretold: float | None, fits: bool
) -> None:
    one = gate(foretold=foretold, workers=workers)
    units = tasks(planned("pgd"), count)
    assert one.expected(units) is units
    assert one(units[0]) is fits
    assert one.skipped == (set() if fits else {"none/pgd/l2"})
    assert one.led == ({"none/pgd/l2"} if fits else set())


def test_a_begun_cell_goes_on_unit_by_unit(now: list[float]) -> None:
    one = gate()
    units, others = tasks(planned("pgd"), 4), tasks(planned("ddn"), 6)
    one.expected(units + others)
    assert one(units[0])
    now[0] += 65
    assert not one(others[0])  # 60 s in 35
    assert one(units[1])
    now[0] += 25
    assert one(units[2])  # 10 s in 10
    now[0] += 1
    assert not one(units[3])
    assert one.led == set()
    assert one.skipped == {"none/ddn/l2", "none/pgd/l2"}
    now[0] -= 91
    assert not one(units[3])  # what was skipped stays so


def test_units_that_were_let_in_are_no_more_left(now: list[float]) -> None:
    """Of three units one went; a second gate that takes the same cell up again counts two."""
    one = gate()
    units = tasks(planned("pgd"), 3)
    one.expected(units)
    one(units[0])
    assert one._left == {"none/pgd/l2": 2}


def test_some_time_is_kept(now: list[float]) -> None:
    units = tasks(planned("pgd"), 3)
    for keep, fits in ((70.0, True), (70.5, False)):
        one = gate(keep=keep)
        one.expected(units)
        assert one(units[0]) is fits
    one = gate(keep=70.0)
    one.expected(units)
    one.learn(Outcome(units[0], seconds=10.0))
    assert one(units[0])
    one = gate(keep=70.5)
    one.expected(units)
    one.learn(Outcome(units[0], seconds=10.0))
    assert not one(units[0])


def test_a_unit_s_own_measured_time_counts_more_than_what_was_foretold(now: list[float]) -> None:
    units = tasks(planned("pgd"), 4)
    for seconds, fits in (((20.0, 30.0), True), ((20.0, 31.0), False)):  # 4 rounds of the mean in 100 s
        one = gate(foretold=1e9)
        one.expected(units)
        for unit, took in zip(units, seconds, strict=False):
            one.learn(Outcome(unit, seconds=took))
        assert one(units[0]) is fits


def test_failures_teach_nothing(now: list[float]) -> None:
    one = gate()
    unit = tasks(planned("pgd"), 1)[0]
    one.learn(Outcome(unit, error="MemoryError", seconds=1.0))
    assert one.clock.took == 0.0
    assert not one._known
    one.learn(Outcome(unit, seconds=4.0))
    assert (one.clock.forecast, one.clock.took) == (10.0, 4.0)
    one = gate(foretold=None)
    one.learn(Outcome(unit, seconds=4.0))  # nothing was foretold, so nothing is corrected
    assert (one.clock.forecast, one.clock.took) == (0.0, 0.0)
    assert one._known == {"none/pgd/l2": [4.0]}


def test_without_a_budget_all_goes(now: list[float]) -> None:
    one = gate(None, 1e9)
    unit = tasks(planned("pgd"), 1)[0]
    one.skipped.add("none/pgd/l2")
    assert one(unit)
    assert one.led == set()


def test_a_follower_waits_for_a_lead_of_its_own_group(now: list[float]) -> None:
    lead, other, follower = planned("pgd"), planned("pgd", "linf"), planned("fgsm")
    cascade = planned("all_of", members=("x",))
    roles = roles_of(plan(lead, other, follower, cascade), suite(pgd=1))
    one = gate(foretold=1.0, roles=roles)
    one.expected([*tasks(lead, 1), *tasks(other, 1), *tasks(follower, 1), *tasks(cascade, 1)])
    assert one(tasks(cascade, 1)[0])  # it has no role
    assert one(tasks(other, 1)[0])
    assert not one(tasks(follower, 1)[0])
    assert one.skipped == {"none/fgsm/l2"}
    one = gate(foretold=1.0, roles=roles)
    one.expected([*tasks(lead, 1), *tasks(follower, 1)])
    assert one(tasks(lead, 1)[0])
    assert one(tasks(follower, 1)[0])


def test_a_follower_that_was_begun_leads_nobody(now: list[float]) -> None:
    lead, follower, last = planned("pgd"), planned("fgsm"), planned("noise", needs="decision")
    roles = roles_of(plan(lead, follower, last), suite(pgd=1))
    one = gate(foretold=1.0, roles=roles, led={"none/fgsm/l2"})
    one.expected(tasks(last, 1))
    assert not one(tasks(last, 1)[0])


def test_what_is_not_foretold_takes_no_time(now: list[float]) -> None:
    units = tasks(planned("pgd"), 1)
    one = gate(0.5, None)
    one.expected(units)
    assert one(units[0])
