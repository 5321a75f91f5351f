"""Units that never end are ended; their cells have failed, or were left out for want of time, and the others are
done."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from robusteval.engine.run.runner import run
from robusteval.engine.schedule.limits import Limits
from robusteval.engine.schedule.time_budget import Clock
from robusteval.record.run import Record
from tests.cage import plugins
from tests.engine import toys
from tests.sure import sure


def outcome(record: Record) -> dict[str, str]:
    return {cell.attack: cell.status for cell in record.cells}


@pytest.mark.parametrize(("workers", "how"), [(1, "sleep"), (2, "spin")])
def test_a_plugin_that_hangs_fails_its_own_cell(tmp_path: Path, workers: int, how: str) -> None:
    record = run(plugins.job(tmp_path, (how,), "cell_timeout = 1.5", workers=workers))
    assert outcome(record) == {"test.sign": "done", f"bad-{how}": "failed"}
    (cell,) = [cell for cell in record.cells if cell.status == "failed"]
    assert cell.reason == "the worker process was ended, as a unit of it took more than 1.5 s"
    assert sure(record.verdict).status == "inconclusive"


def test_units_beside_one_that_hangs_are_made_again_and_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    good = run(plugins.job(tmp_path / "good", (), workers=1))
    found = run(plugins.job(tmp_path, ("sleep", "spin", "none"), "cell_timeout = 1.5", workers=2))
    assert outcome(found) == {
        "test.sign": "done",
        "bad-sleep": "failed",
        "bad-spin": "failed",
        "bad-none": "done",
    }
    assert found.cells[0].distance == good.cells[0].distance


def test_threads_that_a_plugin_leaves_and_what_it_prints(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    record = run(plugins.job(tmp_path, ("leaves", "prints"), workers=1))
    assert set(outcome(record).values()) == {"done"}
    said = capfd.readouterr()
    assert "\\x1b[2J" in said.err
    assert "\x1b" not in said.err + said.out
    assert said.out == ""


def test_a_model_that_hangs_when_it_is_attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTEVAL_TEST_FLOOR", "1")  # as worker processes have it
    plain = toys.linear()
    record = run(plugins.job(tmp_path, (), model=plugins.Patient(plain.weight, plain.bias)))
    (cell,) = record.cells
    assert cell.status == "failed"
    assert cell.reason.startswith("the worker process was ended, as the answer of the classifier to ")
    assert cell.reason.endswith("inputs took more than 1 s")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_time_budget_ends_what_hangs_and_its_cell_is_left_out(tmp_path: Path, workers: int) -> None:
    job = plugins.job(tmp_path, ("sleep",), workers=workers)
    record = run(dataclasses.replace(job, time_budget=12.0))
    assert outcome(record) == {"test.sign": "done", "bad-sleep": "skipped"}
    assert record.times.wall_s < 60.0  # the sleep is an hour
    reasons = [cell.reason for cell in record.cells if cell.status == "skipped"]
    assert reasons == ["the time budget ended; 0 of its 1 units are done and kept"]
    assert "time-budget-ended" in {finding.code for finding in record.findings}


def test_the_limit_of_a_unit() -> None:
    forecasts: dict[str, float | None] = {"cheap": 1.0, "dear": 10.0, "unknown": None}

    def limit(name: str, stated: float = 0.0, clock: Clock | None = None) -> float:
        return Limits(lambda _: forecasts[name], stated, clock or Clock()).of(None)  # type: ignore[arg-type]

    assert limit("cheap") == 300.0  # five minutes at least
    assert limit("dear") == 500.0
    assert limit("unknown") == 3600.0
    assert limit("cheap", stated=2.0) == 2.0
    assert limit("dear", clock=Clock(100.0)) == pytest.approx(105.0, abs=0.5)
    assert limit("dear", clock=Clock(1000.0)) == 500.0
    assert limit("unknown", clock=Clock(1000.0)) == pytest.approx(1090.0, abs=0.5)
    assert limit("dear", stated=2.0, clock=Clock(100.0)) == 2.0
    late = Clock(10.0)
    assert not Limits(lambda _: 1.0, 0.0, late).is_over()
    late.started -= 10.4
    assert not Limits(lambda _: 1.0, 0.0, late).is_over()
    late.started -= 0.2
    assert Limits(lambda _: 1.0, 0.0, late).is_over()
    assert limit("cheap", clock=late) == 1e-3
    assert not Limits(lambda _: 1.0, 0.0, Clock()).is_over()
