"""Runs written to MLflow, by a stand-in for it that takes what MLflow takes: only what was measured is a metric."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from robusteval.api import CellFinished, RunStarted, api_version, figures
from robusteval.engine.catalogue.catalogue import Catalogue, Entry
from robusteval.engine.run.runner import run
from robusteval.record import store
from robusteval.record.run import Gate, Record
from robusteval.testing import full_record
from tests.adapters.test_adapters import FOLDER
from tests.engine import toys
from tests.engine.test_runner import make_job
from tests.finished.made import version


class Client:
    """As much of mlflow.MlflowClient as the listener asks for."""

    away = False
    made: list[Client]

    def __init__(self) -> None:
        Client.made.append(self)
        self.calls = 0
        self.experiment = self.status = ""
        self.params: dict[str, str] = {}
        self.metrics: dict[str, float] = {}
        self.tags: dict[str, str] = {}
        self.files: dict[str, bytes] = {}

    def _asked(self, run_id: str, *names: str) -> None:
        """MLflow's rule for names, mlflow.utils.validation."""
        self.calls += 1
        assert run_id == "7"
        assert [name for name in names if not re.fullmatch(r"[/\w.\- ]{1,250}", name)] == []

    def get_experiment_by_name(self, name: str) -> Any:
        self.calls += 1
        if Client.away:
            raise ConnectionError("the server is away")
        return SimpleNamespace(experiment_id="3") if name == "known" else None

    def create_experiment(self, name: str) -> str:
        self.experiment = name
        return "4"

    def create_run(self, experiment_id: str, run_name: str) -> Any:
        self.experiment = self.experiment or experiment_id
        return SimpleNamespace(info=SimpleNamespace(run_id="7"))

    def log_param(self, run_id: str, key: str, value: str) -> None:
        self._asked(run_id, key)
        assert len(value) <= 500
        self.params[key] = value

    def log_metric(self, run_id: str, key: str, value: float) -> None:
        self._asked(run_id, key)
        self.metrics[key] = value

    def set_tag(self, run_id: str, key: str, value: str) -> None:
        self._asked(run_id, key)
        assert len(value) <= 500
        self.tags[key] = value

    def log_artifact(self, run_id: str, local_path: str) -> None:
        self._asked(run_id)
        self.files[Path(local_path).name] = Path(local_path).read_bytes()

    def log_text(self, run_id: str, text: str, artifact_file: str) -> None:
        self._asked(run_id)
        self.files[artifact_file] = text.encode()

    def set_terminated(self, run_id: str, status: str) -> None:
        self._asked(run_id)
        self.status = status


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The listener's class, over the stand-in, with a server named."""
    library = ModuleType("mlflow")
    library.MlflowClient = Client  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", library)
    monkeypatch.syspath_prepend(str(FOLDER / "mlflow"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://nowhere.invalid")
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setattr(Client, "away", False)
    Client.made = []
    yield importlib.import_module("robusteval_mlflow").ToMlflow
    sys.modules.pop("robusteval_mlflow")


def written(listener: Any, record: Record, folder: Path, *cells: CellFinished) -> Client:
    """What is there after a run that was told of."""
    store.save(record, folder)
    told = listener()
    told.run_started(RunStarted(str(folder), "net", "quick", 4, ("a", "b")))
    for cell in cells:
        told.cell_finished(cell)
    told.run_finished(record)
    (client,) = Client.made
    return client


def test_a_real_run_is_written(listener: Any, tmp_path: Path) -> None:
    job = make_job(tmp_path, toys.SUITE)
    row = Entry("listener", listener.info.name, "1", "test", "t", listener)
    record = run(dataclasses.replace(job, catalogue=Catalogue((*job.catalogue.entries, row))))
    (client,) = Client.made
    assert client.status == "FINISHED"
    assert client.experiment == "robusteval"
    assert client.params["model sha256"] == record.model.sha256
    assert client.params["plan sha256"] == record.plan_sha256
    assert set(client.files) == {"record.json", "samples.parquet", "report.html"}
    assert client.files["record.json"] == (job.folder / "record.json").read_bytes()
    assert client.files["report.html"].lstrip().startswith(b"<!DOCTYPE html>")
    count = len(record.cells)
    assert client.tags["robusteval/cells"] == f"{count} of {count} done"
    assert record.verdict is not None
    assert client.tags["robusteval/verdict"] == record.verdict.status


def test_metrics_are_the_measured_figures_with_their_intervals(listener: Any, tmp_path: Path) -> None:
    record = version(1)
    client = written(listener, record, tmp_path)
    wanted = {}
    for figure in figures(record):
        for part, value in (("", figure.value), (" low", figure.low), (" high", figure.high)):
            if value is not None:
                wanted[figure.id.replace("@", " ") + part] = value
    assert client.metrics == wanted
    assert client.metrics["robust-accuracy/linf 8/255 low"] < client.metrics["robust-accuracy/linf 8/255"] < 1


def test_what_was_not_measured_is_no_metric_and_says_why(listener: Any, tmp_path: Path) -> None:
    record = full_record()
    unmeasured = [figure for figure in figures(record) if figure.value is None]
    assert unmeasured
    client = written(listener, record, tmp_path)
    for figure in unmeasured:
        name = figure.id.replace("@", " ")
        assert name not in client.metrics
        assert client.tags[f"robusteval/not measured/{name}"] == figure.reason[:500]


def test_an_inconclusive_run_has_no_metric(listener: Any, tmp_path: Path) -> None:
    record = version(1)
    assert record.verdict is not None
    record.verdict.status, record.verdict.grade = "inconclusive", "D"
    client = written(listener, record, tmp_path)
    assert client.metrics == {}
    assert client.tags["robusteval/verdict"] == "inconclusive"
    assert client.status == "FINISHED", "the run is; what it says is another question"


def test_failed_cells_and_gates_are_said(listener: Any, tmp_path: Path) -> None:
    record = version(1)
    record.gates = [Gate("linf@8/255>=0.4", "interval", "met"), Gate("l2.median>=9", "interval", "not met")]
    cells = CellFinished("a"), CellFinished("b @(c)", "it broke " * 100)
    client = written(listener, record, tmp_path, *cells)
    assert client.tags["robusteval/failed"].startswith("b @(c): it broke it broke")
    assert client.tags["robusteval/gates"] == "linf@8/255>=0.4: met; l2.median>=9: not met"


def test_an_experiment_that_is_there_is_taken(listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "known")
    assert written(listener, version(1), tmp_path).experiment == "3"


def test_without_a_server_nothing_is_written(listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    told = listener()
    told.run_started(RunStarted(str(tmp_path), "net", "quick", 4, ("a",)))
    told.cell_finished(CellFinished("a"))
    told.run_finished(version(1))
    assert Client.made == []


def test_a_server_that_is_away_costs_a_line_and_is_asked_once(
    listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "away", True)
    job = make_job(tmp_path, toys.SUITE)
    row = Entry("listener", listener.info.name, "1", "test", "t", listener)
    notes: list[str] = []
    record = run(
        dataclasses.replace(job, catalogue=Catalogue((*job.catalogue.entries, row))),
        lambda progress: notes.append(progress.note),
    )
    assert all(cell.status == "done" for cell in record.cells)
    assert [note for note in notes if "mlflow.tracking" in note] == [
        "The listener mlflow.tracking failed: ConnectionError: the server is away."
    ]
    assert [client.calls for client in Client.made] == [1]


def test_it_needs_the_interface_that_has_figures() -> None:
    assert tuple(map(int, api_version.split("."))) >= (1, 1)
    text = (FOLDER / "mlflow" / "robusteval_mlflow.py").read_text(encoding="utf-8")
    assert 'robusteval_api_version = "1.1"' in text
