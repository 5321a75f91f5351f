"""What a run with a time budget does first."""

from __future__ import annotations

from robusteval.engine.schedule.executors import Task
from robusteval.engine.schedule.time_budget import informative_first
from tests.engine.plans import plan, planned, suite


def test_an_unknown_cost_is_none() -> None:
    ones = [planned("first"), planned("cheap"), planned("unknown")]
    costs = {"first": 9.0, "cheap": 0.5}
    ordered = informative_first(
        [Task(planned, 0) for planned in ones], plan(*ones), suite(), lambda task: costs.get(task.planned.cell.attack)
    )
    assert [task.planned.cell.attack for task in ordered] == ["first", "unknown", "cheap"]


def test_a_defence_s_strongest_goes_before_other_leads_on_the_bare_model() -> None:
    ones = [planned("pgd"), planned("apgd"), planned("pgd", defense="d")]
    ordered = informative_first(
        [Task(planned, 0) for planned in ones], plan(*ones), suite(pgd=1, apgd=2), lambda task: None
    )
    assert [task.planned.cell.id for task in ordered] == ["none/pgd/l2", "d/pgd/l2", "none/apgd/l2"]


def test_the_order_of_the_stages() -> None:
    ones = [
        planned("noise", needs="decision"),
        planned("pgd"),
        planned("fgsm"),
        planned("late_one", members=("x",), family="cascade"),
        planned("early_one", members=("x",), family="cascade"),
        planned("plain_one", members=("x",), family="cascade"),
        planned("pgd", defense="d"),
        planned("fgsm", defense="d"),
        planned("all_d", defense="d", members=("x",), family="cascade", id="d/cascade"),
        planned("ddn", "linf"),
    ]
    probe = planned("pgd", id="probe/x")
    one = plan(*ones, probes=(probe,))
    costs = {"noise": 1.0, "fgsm": 2.0, "ddn": 50.0, "late_one": 0.1}
    priorities = suite(pgd=1, early_one=1, late_one=2)
    units = [Task(each, chunk) for chunk in (1, 0) for each in (probe, *reversed(ones))]
    ordered = informative_first(units, one, priorities, lambda task: costs.get(task.planned.cell.attack))
    assert [(task.planned.cell.id, task.chunk) for task in ordered] == [
        (name, chunk)
        for name in (
            "none/pgd/l2", "none/ddn/linf",  # the strongest, in the plan's order, whatever they cost
            "none/early_one/l2", "none/late_one/l2", "none/plain_one/l2",
            "d/pgd/l2",
            "none/noise/l2", "none/fgsm/l2",  # the cheapest first
            "d/cascade", "d/fgsm/l2",
            "probe/x",
        )
        for chunk in (0, 1)
    ]  # fmt: skip


def test_attacks_with_a_priority_go_before_cheaper_ones() -> None:
    ones = [planned("fgsm"), planned("noise", needs="decision"), planned("apgd"), planned("pgd")]
    costs = {"fgsm": 1.0, "noise": 3.0, "apgd": 5.0, "pgd": 9.0}
    ordered = informative_first(
        [Task(planned, 0) for planned in ones],
        plan(*ones),
        suite(apgd=1, pgd=2),
        lambda task: costs[task.planned.cell.attack],
    )
    assert [task.planned.cell.attack for task in ordered] == ["apgd", "pgd", "fgsm", "noise"]


def test_what_a_cell_costs_is_the_sum_of_its_units() -> None:
    ones = [planned("first"), planned("wide"), planned("deep")]
    units = [Task(ones[0], 0), Task(ones[1], 0), Task(ones[1], 1), Task(ones[2], 0)]
    costs = {"first": 1.0, "wide": 2.0, "deep": 3.0}
    ordered = informative_first(units, plan(*ones), suite(), lambda task: costs[task.planned.cell.attack])
    assert [task.planned.cell.attack for task in ordered] == ["first", "deep", "wide", "wide"]


def test_a_probe_is_last_even_of_an_attack_that_is_first() -> None:
    one = planned("pgd", id="same")
    probe = planned("ddn", id="probe")
    follower = planned("fgsm", defense="d")
    first = planned("pgd", defense="d")
    found = plan(one, first, follower, probes=(probe,))
    ordered = informative_first(
        [Task(each, 0) for each in (probe, follower, one, first)], found, suite(pgd=1), lambda task: None
    )
    assert [task.planned.cell.id for task in ordered] == ["same", "d/pgd/l2", "d/fgsm/l2", "probe"]
