"""Runs: the same document after a kill, in processes, and in any order; failed cells stay alone."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from robusteval.contracts.executors.executor import Done
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import plan_of, run
from robusteval.engine.schedule import attempt as attempts
from robusteval.engine.schedule import executors
from robusteval.engine.schedule.attempt import Hands, Seen, Task
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RecordError, RobustEvalError
from robusteval.record import store
from robusteval.record.run import Record
from tests.engine import toys
from tests.sure import sure


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return make_job(tmp_path)


def make_job(tmp_path: Path, suite: str = toys.SUITE, seed: int = 0) -> Job:
    (tmp_path / "toy.toml").write_text(suite)
    model = toys.linear()
    data = toys.samples(model, count=200)
    job = prepare_job(
        model,
        toys.catalogue(*toys.TOYS),
        RunOptions(suite=str(tmp_path / "toy.toml"), data=(data.x, data.y), seed=seed),
    )
    return dataclasses.replace(job, folder=tmp_path / "run")


def text(record: Record) -> str:
    """The document without its times."""
    data = json.loads(store.to_json(record))
    data.pop("times")
    return json.dumps(data, indent=1)


def test_a_run_ends_in_a_valid_document(job: Job) -> None:
    record = run(job)
    assert {cell.status for cell in record.cells} == {"done"}
    assert store.load(job.folder).plan_sha256 == record.plan_sha256
    for cell in record.done(knowledge="none"):
        assert len(cell.distance) == 200
    walk = next(cell for cell in record.cells if cell.id == "none/test.walk/l2")
    assert all(value is not None and value > 0 for value in walk.distance)


def test_only_the_metrics_that_the_suite_names_are_computed(tmp_path: Path) -> None:
    record = run(make_job(tmp_path, 'metrics = ["cost", "accuracy-curve"]\n' + toys.SUITE))
    assert {result.metric for result in record.results} == {"cost", "accuracy-curve"}
    assert record.suite.metrics == ["cost", "accuracy-curve"]
    assert {plugin["name"] for plugin in record.plugins if plugin["kind"] == "metric"} == {"cost", "accuracy-curve"}
    with pytest.raises(RobustEvalError, match="no-such-metric"):
        make_job(tmp_path, 'metrics = ["no-such-metric"]\n' + toys.SUITE)


def test_processes_give_the_numbers_of_serial(job: Job, tmp_path: Path) -> None:
    serial = run(job)
    parallel = run(dataclasses.replace(job, folder=tmp_path / "parallel", workers=2))
    assert text(serial) == text(parallel)


@pytest.mark.parametrize("kept", [1, 5])
def test_a_killed_run_goes_on_to_the_same_document(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    whole = run(job)

    class KilledError(BaseException):
        pass

    done: list[Any] = []
    honest = executors.attempt

    def dying(hands: Hands, task: Task, seen: Seen, limit: float) -> Any:
        if len(done) == kept:
            raise KilledError
        done.append(task)
        return honest(hands, task, seen, limit)

    second = dataclasses.replace(job, folder=tmp_path / "second")
    monkeypatch.setattr(executors, "attempt", dying)
    with pytest.raises(KilledError):
        run(second)
    monkeypatch.setattr(executors, "attempt", honest)
    resumed = []
    record = run(second, lambda progress: resumed.append(progress.resumed))
    assert resumed[0] == kept
    assert text(record) == text(whole)


def test_half_written_units_are_done_again(job: Job) -> None:
    whole = run(job)
    victim = UnitStore(job.folder, "").path("none/test.walk/l2", 0)
    victim.write_bytes(victim.read_bytes()[:100])
    assert text(run(job)) == text(whole)


def test_what_was_made_of_the_wins_of_others_is_made_again_when_one_of_them_had_failed(
    job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(job)
    honest = executors.attempt

    def failing(hands: Hands, task: Task, seen: Seen, limit: float) -> Any:
        failed = task.planned.cell.id == "none/test.walk/l2"
        return Done(task.id, error="it broke") if failed else honest(hands, task, seen, limit)

    second = dataclasses.replace(job, folder=tmp_path / "second")
    monkeypatch.setattr(executors, "attempt", failing)
    broken = run(second)
    assert "failed" in {cell.status for cell in broken.cells}
    monkeypatch.setattr(executors, "attempt", honest)
    assert text(run(second)) == text(whole)


def test_another_plan_does_not_overwrite(job: Job, tmp_path: Path) -> None:
    run(job)
    other = dataclasses.replace(make_job(tmp_path, seed=1), folder=job.folder)
    with pytest.raises(RecordError, match="another run"):
        run(other)
    run(dataclasses.replace(other, overwrite=True))


def test_the_plan_depends_on_all_that_matters(job: Job, tmp_path: Path) -> None:
    base = plan_of(job).sha256
    assert plan_of(make_job(tmp_path)).sha256 == base
    assert plan_of(make_job(tmp_path, seed=1)).sha256 != base
    assert plan_of(make_job(tmp_path, toys.SUITE.replace("search = 8", "search = 7"))).sha256 != base


@pytest.mark.parametrize("broken", ["raise", "nan", "outside", "input", "shape"])
def test_a_bad_plugin_never_makes_a_model_look_robust(tmp_path: Path, broken: str) -> None:
    suite = toys.SUITE.replace(
        'plugin = "test.walk"\n', f'plugin = "test.walk"\nparams = {{ broken = "{broken}" }}\n', 1
    )
    record = run(make_job(tmp_path, suite))
    cell = next(cell for cell in record.cells if cell.id == "none/test.walk/l2")
    codes = {finding.code for finding in record.findings}
    if broken in ("raise", "shape"):
        assert cell.status == "failed"
        assert "cells-failed" in codes
        assert "oblivious" in {c.knowledge for c in record.cells if c.status == "failed"}
        assert (tmp_path / "run" / "errors.log").exists()
    else:
        assert cell.status == "done"
        assert all(value is None for value in cell.distance)
        assert sum(cell.rejected.values()) == 200
        assert "unbounded-not-zero" in codes
    assert sure(record.verdict).status == "inconclusive"
    assert next(cell for cell in record.cells if cell.id == "none/test.sign/linf").status == "done"


def test_a_worker_that_dies_fails_its_own_cell_only(tmp_path: Path) -> None:
    suite = toys.SUITE.replace(
        'plugin = "test.walk"\n', 'plugin = "test.walk"\nparams = { broken = "die" }\nnorms = ["l2"]\n', 1
    )
    record = run(dataclasses.replace(make_job(tmp_path, suite), workers=2))
    status = {cell.id: cell.status for cell in record.cells}
    assert status["none/test.walk/l2"] == "failed"
    assert status["none/test.sign/linf"] == "done"
    assert status["none/noise/l2"] == "done"


def test_asking_for_more_than_declared_fails_the_cell(tmp_path: Path) -> None:
    suite = toys.SUITE + '[[attack]]\nplugin = "test.greedy"\n'
    suite = suite.replace("[[defense]]", "[[attack]]\nplugin = 'test.greedy'\n[[defense]]", 1).rsplit("[[attack]]", 1)[
        0
    ]
    record = run(make_job(tmp_path, suite))
    cell = next(cell for cell in record.cells if cell.attack == "test.greedy")
    assert cell.status == "failed"
    assert "AccessError" in cell.reason


def test_a_defence_that_cannot_be_fitted_fails_alone(tmp_path: Path) -> None:
    suite = toys.SUITE.replace('plugin = "test.nothing"\n', 'plugin = "test.nothing"\nparams = { broken = true }\n')
    record = run(make_job(tmp_path, suite))
    assert record.pipeline("test.nothing").status == "failed"
    assert {cell.status for cell in record.cells if cell.defense == "test.nothing"} == {"failed"}
    assert {cell.status for cell in record.cells if cell.defense == "none"} == {"done"}


def test_a_defence_without_samples_to_learn_from_is_left_out_and_crashed_nothing(tmp_path: Path) -> None:
    record = run(make_job(tmp_path, toys.SUITE + '[[defense]]\nplugin = "confidence"\n'))
    assert record.pipeline("confidence").status == "excluded"
    left_out = [cell for cell in record.cells if cell.defense == "confidence"]
    assert {cell.status for cell in left_out} == {"excluded"}
    assert all("learns from samples" in cell.reason for cell in left_out)
    checks = {check.id: check.outcome for check in record.checks}
    assert (checks["attacks-completed"], checks["attacks-excluded"]) == ("pass", "pass")
    assert "The defence confidence was not measured" in " ".join(sure(record.verdict).sentences)


def test_a_defence_that_does_nothing_is_worth_nothing(job: Job) -> None:
    record = run(job)
    bare = next(cell for cell in record.cells if cell.id == "none/test.walk/l2")
    adaptive = next(cell for cell in record.cells if cell.id == "test.nothing/test.walk/l2/adaptive")
    assert adaptive.distance == bare.distance
    oblivious = next(cell for cell in record.cells if cell.id == "test.nothing/test.walk/l2/oblivious")
    assert all(oblivious.strengths[0].fools_model)
    assert not any(a == b for a, b in zip(oblivious.strengths[0].prediction, record.data.labels, strict=True))


def test_results_do_not_depend_on_what_else_is_in_the_suite(job: Job, tmp_path: Path) -> None:
    alone = toys.SUITE.split('[[attack]]\nplugin = "test.sign"')[0]
    (tmp_path / "alone").mkdir()
    one = run(make_job(tmp_path / "alone", alone))
    both = run(job)
    pick = [next(cell for cell in record.cells if cell.id == "none/test.walk/l2") for record in (one, both)]
    assert pick[0].distance == pick[1].distance


def test_global_random_state_is_left_alone(job: Job) -> None:
    import torch

    torch.manual_seed(5)
    before = torch.get_rng_state()
    run(job)
    assert torch.equal(before, torch.get_rng_state())


def test_wrong_when_clean_is_distance_0_and_not_attacked(job: Job) -> None:
    labels = job.samples.y.clone()
    labels[:10] = (labels[:10] + 1) % 4
    shutil.rmtree(job.folder, ignore_errors=True)
    record = run(dataclasses.replace(job, samples=dataclasses.replace(job.samples.copy(), y=labels)))
    cell = next(cell for cell in record.cells if cell.id == "none/test.walk/l2")
    assert cell.distance[:10] == [0.0] * 10
    assert cell.forwards[:10] == [0] * 10


def test_where_memory_has_room_for_one_worker_it_computes_on_the_threads_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    job = dataclasses.replace(make_job(tmp_path), threads=2)
    honest = attempts._attempt

    def watched(*given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return honest(*given)

    monkeypatch.setattr(attempts, "_attempt", watched)
    before = torch.get_num_threads()
    run(job)
    assert set(seen) == {2}
    assert torch.get_num_threads() == before
