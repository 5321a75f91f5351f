"""Workers x threads x rows at once: chosen by what passes were measured to take, told, kept by a run that goes on, and
no part of what is compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from robusteval.contracts.tuning import Tuning
from robusteval.engine.batched import batched, sizes_of
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.cores import ways as sharing
from robusteval.engine.cores.ways import Costs, fastest, measured, shared, ways_of
from robusteval.engine.plan.job import Job, Way
from robusteval.engine.run import prepare
from robusteval.engine.run.folder import settled_threads
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.runner import forecast_of, plan_of, run
from robusteval.engine.schedule import attempt as attempts
from robusteval.engine.schedule.memory import Need, Shares, shared_out
from robusteval.ops.batches import Sizes
from robusteval.record import store
from robusteval.record.run import Record
from tests.devices import DEVICE
from tests.engine import toys
from tests.engine.test_micro_batches import SUITE, Exact
from tests.sure import sure

pytestmark = pytest.mark.skipif(DEVICE.type != "cpu", reason="it is the processor's cores that are shared out here")
ROOMY = Shares(8, 1e9, Need(1.0, 1.0, 1.0), 1e10, (8e9, 4e9, 3e9, 2e9, 1.6e9, 1.3e9, 1.1e9, 1e9))


def way(workers: int, threads: int, rows: int | None = None) -> Way:
    return Way(workers, threads, 0.0, Sizes(rows, rows, rows))


def costs(serial: float, each: float = 0.0, threads: int = 8, rows: int = 32) -> Costs:
    """Of a pass of a second on one thread, of which `serial` is not shared; and `each` for a question."""

    def of(count: int, at_once: int) -> float:
        return serial + (1 - serial) / count + each / at_once

    return Costs(threads, rows, of(1, 1), of(1, rows), of(threads, 1), of(threads, rows))


def test_cores_are_shared_out_in_every_way_that_leaves_none_idle() -> None:
    assert [(item.workers, item.threads) for item in ways_of(ROOMY, 8, 8)] == [(8, 1), (4, 2), (2, 4), (1, 8)]
    assert [item.room for item in ways_of(ROOMY, 8, 8)] == [1e9, 2e9, 4e9, 8e9]
    assert [(item.workers, item.threads) for item in ways_of(ROOMY.among(3), 8, 8)] == [(3, 2), (2, 4), (1, 8)]
    assert [(item.workers, item.threads) for item in ways_of(ROOMY, 8, 2)] == [(8, 1), (4, 2)]  # torch was told of two
    assert [item.batches for item in ways_of(ROOMY, 8, 8)] == [""] * 4
    short = [item.batches for item in ways_of(ROOMY.among(3), 8, 8)]
    assert short == ["3 of 8 workers on 2 threads each, as more have no room", "", ""]
    assert ways_of(ROOMY, 8, 1) == ways_of(ROOMY.among(1), 1, 8) == ()  # nothing to choose


def test_what_memory_leaves_to_fewer_workers_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robusteval.engine.schedule.memory.resident", lambda: 3e8)
    x = torch.zeros(1, 1, 8, 8)
    for workers in (4, 2, 1):
        alone = shared_out(Need(1e6, 1e6, 5e6), x, 100, workers, 4e9)
        assert alone == shared_out(Need(1e6, 1e6, 5e6), x, 100, 4, 4e9).among(workers)


@pytest.mark.parametrize(("threads", "rows"), [(1, 1), (1, 32), (2, 4), (3, 32), (8, 1), (8, 32)])
def test_other_numbers_of_threads_and_rows_follow_from_four_measurements(threads: int, rows: int) -> None:
    expected = 0.25 + 0.75 / threads + 0.5 / rows
    assert costs(0.25, 0.5).of(threads, rows) == pytest.approx(expected)
    assert costs(0.25, 0.5).of(16, 256) == costs(0.25, 0.5).of(8, 32)  # nothing is known beyond


def test_small_models_take_many_workers_and_what_has_no_room_one_of_many_threads() -> None:
    roomy = [way(8, 1), way(4, 2), way(2, 4), way(1, 8)]
    assert fastest(roomy, costs(0.1)) == roomy[0]  # threads wait for each other, and memory is no matter
    assert fastest(roomy, costs(0.0)) == roomy[0]  # no gain
    assert fastest(roomy, None) == roomy[0]
    cut = [way(8, 1, 1), way(4, 2, 2), way(2, 4, 8), way(1, 8, 32)]
    assert fastest(cut, costs(0.0, 1.0)) == cut[3]  # a question costs as much as a row, and eight workers ask for one
    assert fastest(cut, costs(0.1, 1.0)) == cut[2]  # where threads wait for each other too, the best is between
    few = [way(5, 1), way(4, 2), way(2, 4), way(1, 8)]  # the first leaves three cores idle
    assert fastest(few, costs(0.02)) == few[1]
    assert fastest(few[:2], costs(0.5)) == few[0]


def test_a_tenth_is_needed_so_that_noise_chooses_nothing() -> None:
    ways = [way(2, 1), way(1, 2)]
    for gain, chosen in ((0.95, 0), (0.85, 1)):
        assert fastest(ways, Costs(2, 32, 1.0, 1.0, gain / 2, gain / 2)) == ways[chosen]


class Clock:
    """Time that passes only as a model answers: seconds by (threads, rows)."""

    def __init__(self, cost: Any) -> None:
        self.now, self.cost, self.asked = 0.0, cost, list[tuple[int, int]]()

    def spend(self, model: Any, x: torch.Tensor, tuning: Tuning) -> None:
        threads = torch.get_num_threads()
        self.asked.append((threads, len(x)))
        self.now += self.cost(threads, len(x))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Clock:
    made = Clock(lambda threads, rows: (0.1 + 0.9 / threads) * rows + 0.5)
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("robusteval.engine.cores.ways.time.perf_counter", lambda: made.now)
    monkeypatch.setattr(sharing, "gradient", made.spend)
    monkeypatch.setattr(sharing, "enough", lambda ask, x: x[:16])
    return made


def test_passes_are_timed_on_one_thread_and_on_all_once_a_machine(clock: Clock) -> None:
    model = batched(toys.linear(), Sizes(4, 4, 4))
    x, ways = torch.rand(40, *model.info.input_shape), [way(2, 1, 4), way(1, 2, 8)]
    before = torch.get_num_threads()
    found = measured(model, x, Tuning(), ways)
    assert found is not None
    assert dataclasses.astuple(found) == pytest.approx((2, 8, 1.5, 1.0625, 1.05, 0.6125)), "in seconds an image"
    assert set(clock.asked) == {(1, 1), (1, 8), (2, 1), (2, 8)}, "as many rows as one worker alone has room for"
    assert torch.get_num_threads() == before
    assert sizes_of(model) == Sizes(4, 4, 4)
    clock.asked.clear()
    assert measured(model, x, Tuning(), ways) == found
    assert clock.asked == []
    measured(model, x, Tuning(), [way(2, 1, 4), way(1, 2, 16)])
    assert clock.asked != [], "with more room it is another question"
    clock.asked.clear()
    measured(model, x[:20], Tuning(), ways)
    assert clock.asked != [], "and on fewer samples"


def test_a_pass_that_is_too_short_is_timed_once_and_chooses_nothing(clock: Clock) -> None:
    clock.cost = lambda threads, rows: 1e-4
    model, ways = batched(toys.linear()), [way(2, 1), way(1, 2)]
    x = torch.rand(4, *model.info.input_shape)
    assert measured(model, x, Tuning(), ways) is None
    assert {threads for threads, _ in clock.asked} == {1}
    clock.asked.clear()
    assert measured(model, x, Tuning(), ways) is None
    assert clock.asked == []


@pytest.mark.parametrize("content", ["", "[]", '{"threads": 2}', '{"threads": 2, "rows": 0, "single": 1, "batch": 1}'])
def test_a_broken_cache_is_measured_anew(clock: Clock, tmp_path: Path, content: str) -> None:
    model, ways = batched(toys.linear()), [way(2, 1), way(1, 2)]
    x = torch.rand(4, *model.info.input_shape)
    measured(model, x, Tuning(), ways)
    (path,) = (tmp_path / "cache" / "thread-timing").iterdir()
    path.write_text(content)
    clock.asked.clear()
    assert measured(model, x, Tuning(), ways) is not None
    assert clock.asked != []


@pytest.fixture
def two_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine of two cores, and a model whose passes are not worth any other choice by the clock."""
    monkeypatch.setenv("ROBUSTEVAL_CACHE", "off")
    monkeypatch.setattr("robusteval.engine.schedule.pass_timing.CHEAP_S", 1e9)
    monkeypatch.setattr(prepare, "cores", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def job_of(tmp_path: Path, workers: int | None, folder: str = "run", **more: Any) -> Job:
    suite = tmp_path / "cut.toml"
    suite.write_text(SUITE.split('[[attack]]\nplugin = "fmn"')[0])
    x = torch.rand((40, 1, 4, 4), generator=torch.Generator().manual_seed(3)).mul(64).round() / 64
    y = Exact().logits(x).argmax(1)
    job = prepare.prepare_job(
        Exact(), discover(), RunOptions(suite=str(suite), data=(x, y), seed=1, workers=workers, **more)
    )
    return dataclasses.replace(job, folder=tmp_path / folder)


def document(record: Record) -> str:
    """Without times, and without what was chosen."""
    made: dict[str, Any] = json.loads(store.to_json(record))
    made.pop("times")
    for name in ("batches", "threads"):
        made["environment"].pop(name, None)
    return json.dumps(made)


def chooses(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(sharing, "measured", lambda model, x, tuning, ways: Costs(2, 32, 1.0, 1.0, 0.4, 0.4))
    monkeypatch.setattr(sharing, "fastest", lambda ways, costs: ways[number])


def test_the_choice_is_told_and_kept_and_the_document_is_the_same_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    seen, notes = list[int](), list[str]()
    honest = attempts._attempt

    def watched(*given: Any) -> Any:
        seen.append(torch.get_num_threads())
        return honest(*given)

    monkeypatch.setattr(attempts, "_attempt", watched)
    plain = document(run(job_of(tmp_path, 1, "plain")))
    assert set(seen) == {1}
    seen.clear()
    chooses(monkeypatch, 1)
    record = run(job_of(tmp_path, None), lambda progress: notes.append(progress.note))
    assert set(seen) == {2}
    said = "1 worker of 2 threads, by measured passes, and not 2 workers of 1 thread"
    assert record.environment["threads"] == said
    assert f"{said}." in notes
    assert document(record) == plain
    kept = next((tmp_path / "run" / "units").glob("*.npz"))
    kept.unlink()
    seen.clear()
    chooses(monkeypatch, 0)  # another time the clock says otherwise, and the run goes on as it began
    again = run(job_of(tmp_path, None))
    assert seen == [2]
    assert again.environment["threads"] == said
    assert document(again) == plain
    assert kept.exists()


def test_stated_workers_and_executors_are_what_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    assert [(item.workers, item.threads) for item in job_of(tmp_path, None).ways] == [(2, 1), (1, 2)]
    for stated in (job_of(tmp_path, 2), job_of(tmp_path, 1), job_of(tmp_path, None, executor="serial")):
        assert stated.ways == ()
        assert shared(stated, Tuning()) == stated
    assert job_of(tmp_path, 2).workers == job_of(tmp_path, None, executor="serial").workers == 2
    torch.set_num_threads(1)  # as OMP_NUM_THREADS=1 does
    assert job_of(tmp_path, None).ways == ()


def test_a_job_on_its_way_asks_about_as_many_rows_as_that_has_room_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None
) -> None:
    job = job_of(tmp_path, None)
    job = dataclasses.replace(job, ways=(way(2, 1, 1), way(1, 2, 16)))
    chooses(monkeypatch, 1)
    chosen = shared(job, Tuning())
    assert (chosen.workers, chosen.threads) == (1, 2)
    assert chosen.faster == pytest.approx(2.5)
    assert sizes_of(job.model).gradient == 16
    full = sizes_of(job.model)
    full.gradient, full.halved = 2, 1  # memory ran out meanwhile
    assert shared(job, Tuning()).threads == 2
    assert full.gradient == 2
    assert shared(job, Tuning(), threads=1).workers == 2
    plain, planned = forecast_of(job), plan_of(job).planned[0]
    assert dataclasses.replace(plain, faster=2.0).unit(planned, 0) == sure(plain.unit(planned, 0)) / 2


@pytest.mark.parametrize("threads", ["2", True, None, -1, 1e9])
def test_a_mark_that_says_nothing_of_threads_is_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, two_threads: None, threads: object
) -> None:
    (tmp_path / "units").mkdir()
    (tmp_path / "units" / "plan.json").write_text(json.dumps({"plan": "p", "threads": threads}))
    job = job_of(tmp_path, None)
    chooses(monkeypatch, 0)
    assert settled_threads(tmp_path, lambda known: shared(job, Tuning(), known)).threads == 1
