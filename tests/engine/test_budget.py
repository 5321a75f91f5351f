"""The time budget: what goes first, when nothing more is started, and how such a run is told of and taken up again."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robusteval.assessment.gates.every_norm import gate_met
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.plan.plan import Plan
from robusteval.engine.run.runner import run
from robusteval.engine.schedule import time_budget as budget
from robusteval.engine.schedule.executors import Outcome, Task
from robusteval.engine.schedule.time_budget import Clock, Gate, informative_first, roles_of
from robusteval.engine.suite.suite import names, parse, read, text
from robusteval.record import store
from robusteval.record.run import Record
from tests.engine import toys
from tests.engine.test_runner import make_job
from tests.sure import sure

SUITE = """
name = "order"
version = "1"
norms = ["l2", "linf"]
[[attack]]
plugin = "noise"
[[attack]]
plugin = "square"
[[attack]]
plugin = "fgsm"
[[attack]]
plugin = "pgd"
priority = 2
[[attack]]
plugin = "ddn"
priority = 1
[[cascade]]
name = "late"
eps = { linf = [0.1] }
[[cascade.member]]
plugin = "pgd"
[[cascade]]
name = "early"
eps = { linf = [0.1] }
priority = 1
[[cascade.member]]
plugin = "pgd"
[[defense]]
plugin = "bit-depth"
oblivious = ["pgd"]
adaptive = ["square", "pgd", "early"]
"""


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is set."""
    time = [0.0]
    # its own `time` alone: everybody's would stop for what else waits by the clock
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: time[0]))
    return time


def tasks_of(job: Job, chunks: int = 1) -> tuple[Plan, list[Task]]:
    plan = plan_of(job)
    chosen = [planned for planned in (*plan.planned, *plan.probes) if not (planned.source or planned.starts)]
    return plan, [Task(planned, chunk) for chunk in range(chunks) for planned in chosen]


def test_the_order_is_the_rule(tmp_path: Path) -> None:
    job = make_job(tmp_path, SUITE)
    plan, tasks = tasks_of(job, chunks=2)
    costs = {"noise": 3.0, "square": 9.0, "fgsm": 1.0, "pgd": 5.0, "ddn": 2.0}
    ordered = informative_first(tasks, plan, job.suite, lambda task: costs.get(task.planned.cell.attack))
    ids = [task.planned.cell.id for task in ordered]
    assert ids[::2] == ids[1::2]  # the two chunks of a cell follow each other
    assert ids[::2][:14] == [
        "none/pgd/linf", "none/ddn/l2",  # the strongest of each norm
        "none/early@0.1/linf", "none/late@0.1/linf",
        "bit-depth/pgd/l2/adaptive", "bit-depth/pgd/linf/adaptive",
        "none/pgd/l2",  # it has a priority
        "none/fgsm/l2", "none/fgsm/linf", "none/noise/l2", "none/noise/linf", "none/square/l2", "none/square/linf",
        "bit-depth/early@0.1/linf/adaptive",
    ]  # fmt: skip
    assert all(name.startswith("probe/") for name in ids[-4:])


def test_without_priorities_gradients_go_before_scores_and_decisions(tmp_path: Path) -> None:
    job = make_job(tmp_path, SUITE.replace("priority = 2\n", "").replace("priority = 1\n", ""))
    plan, tasks = tasks_of(job)
    first = [task.planned.cell.id for task in informative_first(tasks, plan, job.suite, lambda task: 1.0)][:2]
    assert first == ["none/fgsm/l2", "none/fgsm/linf"]


def test_priorities_are_no_part_of_what_was_measured() -> None:
    plain = SUITE.replace("priority = 2\n", "").replace("priority = 1\n", "")
    assert parse(SUITE, "x", discover()).sha256 == parse(plain, "x", discover()).sha256
    other = SUITE.replace('plugin = "square"', 'plugin = "square"\nsearch = 2', 1)
    assert parse(SUITE, "x", discover()).sha256 != parse(other, "x", discover()).sha256
    with_priorities = [name for name in names(discover()) if "priority" in text(name, discover())]
    assert "standard" in with_priorities
    assert min(spec.priority for spec in read("standard", discover()).attacks) == 1


def test_a_cell_is_begun_only_where_all_of_it_fits_and_a_begun_one_goes_on(tmp_path: Path, now: list[float]) -> None:
    _, tasks = tasks_of(make_job(tmp_path, SUITE), chunks=3)
    first = [task for task in tasks if task.planned.cell.id == "none/pgd/linf"]
    second = [task for task in tasks if task.planned.cell.id == "none/ddn/l2"]
    gate = Gate(Clock(100.0), lambda task: 20.0, workers=1)
    gate.expected([*first, *second])
    assert gate(first[0])  # three units of 20 s in 100 s
    now[0] = 45
    assert not gate(second[0])  # three more in 55 s
    assert not gate(second[1])  # nor any of its units, though one would fit
    assert gate(first[1])
    now[0] = 85
    assert not gate(first[2])
    assert gate.skipped == {"none/pgd/linf", "none/ddn/l2"}
    for keep, enough in ((0.0, True), (85.0, False)):
        gate = Gate(Clock(100.0), lambda task: 20.0, workers=3, keep=keep)
        gate.expected(first)  # at once, by three workers
        assert gate(first[0]) is enough
    assert Gate(Clock(None), lambda task: 1e9, workers=1)(first[0])


def test_what_was_measured_corrects_what_was_foretold(tmp_path: Path, now: list[float]) -> None:
    _, tasks = tasks_of(make_job(tmp_path, SUITE), chunks=2)
    one, other = [
        next(task for task in tasks if task.planned.cell.id == name) for name in ("none/pgd/linf", "none/ddn/l2")
    ]
    gate = Gate(Clock(100.0), lambda task: 20.0, workers=1)
    gate.expected([one, other])
    assert gate(one)
    gate.learn(Outcome(one, seconds=83.0))
    assert gate.clock.factor == pytest.approx(84 / 21)
    now[0] = 30
    assert not gate(other)  # 20 s foretold are 80 s by experience
    gate = Gate(Clock(100.0), lambda task: None, workers=1)
    gate.expected([one])
    assert gate(one)  # what is not foretold may start while there is time
    now[0] = 131
    assert not gate(one)
    assert Clock(100.0, started=0).keeps(1e6) == 30.0


def test_a_weak_attack_does_not_stand_for_a_strong_one_that_did_not_fit(tmp_path: Path, now: list[float]) -> None:
    job = make_job(tmp_path, SUITE)
    plan, tasks = tasks_of(job)
    costs = {"ddn": 500.0, "pgd": 200.0}
    ordered = informative_first(tasks, plan, job.suite, lambda task: costs.get(task.planned.cell.attack, 1.0))

    def begun(limit: float, led: tuple[str, ...] = ()) -> set[str]:
        gate = Gate(Clock(limit), lambda task: costs.get(task.planned.cell.attack, 1.0), workers=1)
        gate.roles, gate.led = roles_of(plan, job.suite), set(led)
        left = gate.expected([task for task in ordered if task.planned.cell.id not in led])
        return {task.planned.cell.id for task in left if gate(task)}

    assert not [name for name in begun(50.0) if "@" not in name and not name.startswith("probe/")]  # cascades alone
    # ddn does not fit, pgd does, which the suite gives a priority
    assert {"none/pgd/l2", "none/fgsm/l2", "none/square/linf"} <= begun(300.0)
    assert "none/ddn/l2" not in begun(300.0)
    found = begun(50.0, led=("none/pgd/linf",))  # of an earlier run
    assert "none/fgsm/linf" in found
    assert "none/fgsm/l2" not in found


def document(record: Record) -> Any:
    data = json.loads(store.to_json(record))
    data.pop("times")
    return data


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A run of the same plan that took its time."""
    return run(make_job(tmp_path_factory.mktemp("whole")))


def test_no_time_at_all_is_inconclusive_and_the_next_run_goes_on_as_if_nothing_had_been(
    tmp_path: Path, whole: Record
) -> None:
    job = make_job(tmp_path)
    hurried = run(dataclasses.replace(job, time_budget=1e-6))
    assert {cell.status for cell in hurried.cells} == {"skipped"}
    assert (sure(hurried.verdict).status, sure(hurried.verdict).grade) == ("inconclusive", "F")
    assert not gate_met(hurried, 0.0)
    assert hurried.plan_sha256 == whole.plan_sha256
    assert document(run(job)) == document(whole)


def test_a_run_out_of_time_keeps_what_it_had_and_says_what_is_missing(
    tmp_path: Path, whole: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = make_job(tmp_path)
    asked = []

    def three(gate: Gate, task: Task) -> bool:
        """The first cell whole and the first of the two units of the second one."""
        asked.append(task)
        if len(asked) > 3:
            gate.skipped.add(task.planned.cell.id)
        return len(asked) <= 3

    monkeypatch.setattr(Gate, "__call__", three)
    record = run(dataclasses.replace(job, time_budget=1000.0, workers=2))
    status = {cell.id: cell.status for cell in record.cells}
    assert set(status.values()) == {"done", "skipped"}
    assert status["none/test.walk/l2"] == "done"
    partly = next(cell for cell in record.cells if "1 of its 2 units" in cell.reason)
    assert partly.status == "skipped"
    assert partly.distance == []
    finding = next(finding for finding in record.findings if finding.code == "time-budget-ended")
    assert finding.severity == "warning"
    assert set(finding.cells) == {name for name, outcome in status.items() if outcome == "skipped"}
    assert sure(record.verdict).grade != "A"
    assert any(sentence.startswith("For want of time") for sentence in sure(record.verdict).sentences)
    assert "cells-failed" not in {finding.code for finding in record.findings}
    store.load(job.folder)
    monkeypatch.undo()
    resumed = []
    assert document(run(job, lambda progress: resumed.append(progress.resumed))) == document(whole)
    assert resumed[0] == 3


def test_tests_of_the_evaluation_are_left_out_and_told_of(
    tmp_path: Path, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = toys.SUITE.replace("[[attack]]", "planted = { samples = 4, inner = 20 }\n[[attack]]", 1)
    job = make_job(tmp_path, suite)
    run(job)  # all units are there; only the test is left
    monkeypatch.setattr(Clock, "fits", lambda clock, seconds, keep=0.0: False)
    record = run(dataclasses.replace(job, time_budget=100.0))
    assert {cell.status for cell in record.cells} == {"done"}
    assert record.skipped == ["planted adversarials"]
    assert record.planted == []
    finding = next(finding for finding in record.findings if finding.code == "time-budget-ended")
    assert "before the test by planted adversarials were done" in finding.sentence
