"""Executors: the same document wherever units are made; what a stranger's executor brings back is checked; and what it
breaks off is taken up again."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from robusteval.contracts.executors.executor import Executor
from robusteval.engine.catalogue.catalogue import Catalogue, Entry, discover
from robusteval.engine.plan.job import Job
from robusteval.engine.run.runner import run
from robusteval.engine.schedule import local
from robusteval.engine.schedule.executors import executor_of
from robusteval.engine.schedule.local import Processes, Serial
from robusteval.errors import PluginError, RobustEvalError
from robusteval.record.run import Record
from tests.engine import faulty, toys
from tests.engine.carriers import Carrier
from tests.engine.test_runner import make_job, text
from tests.sure import sure


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Python's own handler of a Ctrl-C, which a command in the background of a script lacks."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


SUITE = toys.SUITE.replace('norms = ["l2", "linf"]', 'norms = ["l2"]').replace('norms = ["linf"]', 'norms = ["l2"]')

Ran = tuple[Job, Record]


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Ran:
    """A job, and its record as made without an executor."""
    folder = tmp_path_factory.mktemp("serial")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTEVAL_CACHE", str(cache))
        job = make_job(folder, SUITE)
        return job, run(job)


def on(serial: Ran, tmp_path: Path, executor: Executor) -> Job:
    return dataclasses.replace(serial[0], folder=tmp_path / "run", executor=executor)


@pytest.mark.parametrize("executor", [Serial(), Processes(), Carrier()], ids=lambda item: item.info.name)
def test_the_document_is_the_same_wherever_units_are_made(
    serial: Ran, tmp_path: Path, executor: Serial | Processes | Carrier
) -> None:
    record = run(dataclasses.replace(on(serial, tmp_path, executor), workers=2))
    assert text(record) == text(serial[1])
    assert (tmp_path / "run" / "witnesses.safetensors").read_bytes() == (
        serial[0].folder / "witnesses.safetensors"
    ).read_bytes()


@pytest.fixture
def starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], Path]:
    """Has workers from one number to before another killed while they start; where their starts are counted."""
    (tmp_path / "started").mkdir()
    monkeypatch.setenv("STARTED", str(tmp_path / "started"))
    monkeypatch.setattr(local, "_start", faulty.killed_while_it_starts)

    def killed(first: int, last: int) -> Path:
        monkeypatch.setenv("FIRST", str(first))
        monkeypatch.setenv("LAST", str(last))
        return tmp_path / "started"

    return killed


ALONE = "All ran in one process: worker processes end as soon as they are started."


@pytest.mark.parametrize(("last", "said"), [(1, ""), (99, ALONE)])
def test_a_worker_that_is_killed_while_it_starts_is_started_again_once(
    serial: Ran, tmp_path: Path, starts: Callable[[int, int], Path], last: int, said: str
) -> None:
    place = starts(0, last)
    record = run(dataclasses.replace(on(serial, tmp_path, Processes()), workers=2))
    assert record.environment.pop("workers", "") == said
    assert len([*place.iterdir()]) >= 2
    assert text(record) == text(serial[1])


def test_where_no_worker_starts_any_more_nothing_that_may_end_one_is_tried_here(
    tmp_path: Path, starts: Callable[[int, int], Path]
) -> None:
    """What ended the first worker would end the command."""
    starts(1, 99)
    suite = toys.SUITE.replace(
        'plugin = "test.walk"\n', 'plugin = "test.walk"\nparams = { broken = "die" }\nnorms = ["l2"]\n', 1
    )
    record = run(dataclasses.replace(make_job(tmp_path, suite), executor=Processes(), workers=1))
    reasons = {cell.id: cell.reason for cell in record.cells if cell.status == "failed"}
    assert "the worker process died" in reasons["none/test.walk/l2"]
    assert "worker processes end as soon as they are started" in reasons["none/test.sign/linf"]
    assert "workers" not in record.environment
    assert sure(record.verdict).status == "inconclusive"


SPOILT = {  # what becomes of the unit that comes back so, in the reason of its cell
    "silent": "ended without an answer",
    "flipped": "was changed, or is not of this plan",
    "half": "was changed, or is not of this plan",
    "nothing": "was changed, or is not of this plan",
    "dead": "the worker process died",
    "stops": "ended without trying it",
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_unit_that_does_not_come_back_as_it_was_made_fails_its_cell(serial: Ran, tmp_path: Path, how: str) -> None:
    record = run(on(serial, tmp_path, Carrier(how=how)))
    failed = [cell for cell in record.cells if cell.status == "failed"]
    assert failed
    assert any(SPOILT[how] in cell.reason for cell in failed)
    assert sure(record.verdict).status == "inconclusive"
    assert text(run(on(serial, tmp_path, Carrier()))) == text(serial[1])  # and is made again the next time


def test_a_unit_in_place_of_another_is_not_taken(serial: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Carrier, "kept", next((serial[0].folder / "units").glob("none_noise_l2.0.npz")).read_bytes())
    record = run(on(serial, tmp_path, Carrier(how="another")))
    assert [cell.id for cell in record.cells if "not of this plan" in cell.reason]


@pytest.mark.parametrize("how", ["twice", "nobody's", "a dictionary", "none at all", "text", "nan", "number"])
def test_what_is_no_answer_ends_the_run_in_one_sentence_and_it_goes_on_from_there(
    serial: Ran, tmp_path: Path, how: str
) -> None:
    with pytest.raises(PluginError, match=r"test.carrier gave an answer that nobody asked for"):
        run(on(serial, tmp_path, Carrier(how=how)))
    assert not (tmp_path / "run" / "record.json").exists()
    goes_on(serial, tmp_path)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("raises", "test.carrier failed: ValueError: broken"),
        ("exits", r"test.carrier failed: SystemExit"),
        ("interrupts", r"test.carrier failed: KeyboardInterrupt"),
        ("cannot", "test.carrier cannot be used: there is nobody"),
        ("no start", "Nobody answers"),
        ("odd start", "test.carrier cannot be used: OSError: odd"),
    ],
)
def test_an_executor_that_fails_ends_the_run_in_one_sentence(serial: Ran, tmp_path: Path, how: str, said: str) -> None:
    with pytest.raises(RobustEvalError, match=said):
        run(on(serial, tmp_path, Carrier(how=how)))
    goes_on(serial, tmp_path, begun=how in ("raises", "exits", "interrupts"))


def test_an_interrupted_run_goes_on_from_there(serial: Ran, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(on(serial, tmp_path, Carrier(how="ctrl-c")))
    goes_on(serial, tmp_path)


def goes_on(serial: Ran, tmp_path: Path, begun: bool = True) -> None:
    """The same job on a good executor takes up what was stored."""
    resumed = []
    record = run(on(serial, tmp_path, Carrier()), lambda progress: resumed.append(progress.resumed))
    assert (resumed[0] > 0) == begun
    assert text(record) == text(serial[1])


def test_an_executor_that_cannot_stop_has_made_its_units(serial: Ran, tmp_path: Path) -> None:
    assert text(run(on(serial, tmp_path, Carrier(how="odd stop")))) == text(serial[1])


def test_units_that_another_processor_made_are_said_to_be(serial: Ran, tmp_path: Path) -> None:
    record = run(on(serial, tmp_path, Carrier(how="far")))
    assert record.environment.pop("nodes") == "Some units were made on a faster one"
    assert text(record) == text(serial[1])


@pytest.mark.parametrize("how", ["die0", "kill"])
def test_after_a_unit_that_ends_its_process_the_rest_of_its_cell_is_not_tried(tmp_path: Path, how: str) -> None:
    record = run(dataclasses.replace(faulty.job(tmp_path, faulty.attacks(how)), executor=Processes()))
    assert {cell.id: cell.status for cell in record.cells} == {
        "none/test.sign/linf": "done",
        f"none/bad-{how}/linf": "failed",
    }


INSTALLED = Catalogue((*discover().entries, Entry("executor", "test.carrier", "1", "test", "toys", Carrier)))


@pytest.mark.parametrize(
    ("said", "address", "message"),
    [
        ("rai", "", "There is no executor named 'rai'"),
        ("fgsm", "", "There is no executor named 'fgsm'"),
        ("", "auto", "--address says where an executor is, and none is named"),
        ("serial", "auto", "The executor serial has no address"),
        ("ray:gpu", "", "'gpu' is no parameter of ray"),
        ("ray:gpu=1", "", "gpu"),
        ("ray:gpus=-1", "", "gpus"),
        ("ray:gpus=many", "", "gpus"),
        ("ray:cpus=NaN", "", "cpus"),
    ],
)
def test_what_is_no_executor_is_one_sentence(said: str, address: str, message: str) -> None:
    with pytest.raises(RobustEvalError) as raised:
        executor_of(said, address, INSTALLED)
    assert message in raised.value.message
    assert "\n" not in raised.value.message


def test_an_executor_is_named_with_its_parameters() -> None:
    assert executor_of("", "", INSTALLED) is None
    assert executor_of("test.carrier:how=half", "host:1", INSTALLED) == Carrier(address="host:1", how="half")
    ray: Any = executor_of("ray:cpus=2, gpus=0.5,memory=8", "auto", INSTALLED)
    assert (ray.cpus, ray.gpus, ray.memory, ray.address) == (2, 0.5, 8, "auto")


def test_a_model_that_cannot_travel_is_refused_where_the_user_named_an_executor(serial: Ran, tmp_path: Path) -> None:
    job = on(serial, tmp_path, Carrier())
    stuck = copy.copy(job.model)
    object.__setattr__(stuck, "more", lambda: None)  # no pickle takes it
    with pytest.raises(PluginError, match=r"test\.carrier cannot be used: the model cannot be sent"):
        run(dataclasses.replace(job, model=stuck))
    shutil.rmtree(job.folder)
