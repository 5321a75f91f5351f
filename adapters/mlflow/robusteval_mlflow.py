"""A listener that writes runs to MLflow: parameters, what was measured, and the report and its record as artifacts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import mlflow

from robusteval.api import CellFinished, ListenerInfo, Record, RunListener, RunStarted, figures, hookimpl, report_html

robusteval_api_version = "1.1"  # the first that has figures and report_html
_WHERE = "MLFLOW_TRACKING_URI"  # of MLflow; without it nothing is written anywhere
_EXPERIMENT = "MLFLOW_EXPERIMENT_NAME"  # the same
_LONGEST = 500  # characters of a parameter or tag that every version of MLflow takes
_FILES = ("record.json", "samples.parquet")  # of a run's folder, which belong together


class ToMlflow:
    """One MLflow run for each run, by MLflow's client, so that a run that is active in this process is left alone.

    A figure that was not measured is no metric: a tag says why. A run that ends without a record stays RUNNING.
    """

    info: ClassVar[ListenerInfo] = ListenerInfo(
        name="mlflow.tracking",
        version="1",
        summary=f"Writes parameters, measured figures, report and record to the MLflow server that {_WHERE} names.",
    )

    def __init__(self) -> None:
        self._client = mlflow.MlflowClient() if os.environ.get(_WHERE) else None
        self._run = ""  # MLflow's id; empty while nothing was begun there
        self._folder, self._cells, self._done = Path(), 0, 0
        self._failed: list[str] = []

    def run_started(self, run: RunStarted) -> None:
        """Begins a run there. Whatever fails here, such as a server that is away, is one line, and nothing more is
        tried."""
        if self._client is None:
            return
        self._folder, self._cells = Path(run.folder), len(run.cells)
        name = os.environ.get(_EXPERIMENT, "robusteval")
        found = self._client.get_experiment_by_name(name)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(name)
        begun = self._client.create_run(experiment, run_name=f"{run.model}, {run.suite}")
        self._run = begun.info.run_id

    def cell_finished(self, cell: CellFinished) -> None:
        """How far the run is, and which cells failed, as tags: counts are no figures of the model."""
        self._done += 1
        self._tag("cells", f"{self._done} of {self._cells} done")
        if cell.error:
            self._failed.append(f"{cell.cell}: {cell.error}")
            self._tag("failed", "; ".join(self._failed))

    def run_finished(self, record: Record) -> None:
        """What the run was about, what was measured, the verdict, and the files that prove it."""
        if self._client is None or not self._run:
            return
        for name, fact in _about(record):
            self._client.log_param(self._run, name, fact[:_LONGEST])
        for figure in figures(record):
            name = figure.id.replace("@", " ")  # which MLflow takes in no name
            if figure.value is None:
                self._tag(f"not measured/{name}", figure.reason)
                continue
            for part, value in (("", figure.value), (" low", figure.low), (" high", figure.high)):
                if value is not None:
                    self._client.log_metric(self._run, f"{name}{part}", value)
        if record.verdict is not None:
            self._tag("verdict", record.verdict.status)
            self._tag("evaluation quality", record.verdict.grade)
        if record.gates:
            self._tag("gates", "; ".join(f"{gate.asked}: {gate.outcome}" for gate in record.gates))
        for file in _FILES:
            self._client.log_artifact(self._run, str(self._folder / file))
        self._client.log_text(self._run, report_html(record), "report.html")
        self._client.set_terminated(self._run, "FINISHED")

    def _tag(self, name: str, value: str) -> None:
        if self._client is not None and self._run:
            self._client.set_tag(self._run, f"robusteval/{name}", value[:_LONGEST])


def _about(record: Record) -> Iterator[tuple[str, str]]:
    """What tells this run from others."""
    yield from (
        ("model", record.model.name),
        ("model sha256", record.model.sha256),
        ("data", record.data.name),
        ("data sha256", record.data.sha256),
        ("samples", str(record.data.samples)),
        ("suite", f"{record.suite.name} {record.suite.version}"),
        ("seed", str(record.seed)),
        ("plan sha256", record.plan_sha256),
        ("robusteval", record.tool.get("version", "")),
    )


@hookimpl
def robusteval_listeners() -> list[type[RunListener]]:
    """The listener of this module."""
    return [ToMlflow]
