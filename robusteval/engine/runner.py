"""The run: plan, fit, attack, judge, assemble, derive, save. One direction, each step a function of what came before."""

from __future__ import annotations

import datetime
import time

from robusteval.assessment import findings, verdict
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.tuning import Tuning
from robusteval.engine import (
    assemble,
    calibrate,
    clever,
    gallery,
    noise_search,
    planted,
    references,
    witnesses,
)
from robusteval.engine.budget import Clock
from robusteval.engine.catalogue import Catalogue
from robusteval.engine.describe import record_of
from robusteval.engine.executors import one_thread
from robusteval.engine.forecast import Forecaster, forecaster
from robusteval.engine.job import Job, plan_of
from robusteval.engine.pipelines import Fitted, fit_all
from robusteval.engine.plan import Plan, Planned
from robusteval.engine.schedule import Attacked, Listener, Progress, attack, right
from robusteval.engine.survivors import survivors
from robusteval.engine.unit_store import UnitStore
from robusteval.record import document, store

__all__ = ["Job", "Listener", "Progress", "derive", "foretell", "plan_of", "run"]


def run(job: Job, listener: Listener = lambda progress: None) -> document.Record:
    """Runs a job to the end, or as far as its time budget goes; saves record and witnesses in its folder, and returns the
    record.

    Raises RecordError when the folder cannot be used. A cell that fails is recorded with its error and the run goes on.
    """
    started, clock = time.time(), Clock(job.time_budget)
    plan = plan_of(job)
    units = UnitStore(job.folder)
    units.prepare(plan.sha256, job.overwrite)
    with one_thread():
        fitted = fit_all(job.suite, job.catalogue, job.model, job.samples, job.fit, job.seed)
        calibration = calibrate.calibrate(job.model, job.samples.x)
        costs = _costs(job, plan, fitted, calibration)
    done = attack(job, plan, fitted, units, listener, calibration.tuning, costs, clock)
    with one_thread():
        record = _assembled(job, plan, fitted, units, done, costs, calibration.tuning)
        _test(record, job, fitted, costs, clock)
        record.gallery = gallery.pictures(record, units, job.samples, fitted)
        record.witnesses = witnesses.write(record, units, job.samples, job.folder)
    record.references = references.compared(job.references, record)
    derive(record, job.catalogue, list(job.preflight), job.labels_from_model, list(job.looked))
    record.times.foretold_s = done.foretold_s
    record.times.budget_s = job.time_budget
    record.times.started = _stamp(started)
    record.times.finished = _stamp(time.time())
    record.times.wall_s = time.time() - started
    store.save(record, job.folder)
    return record


def foretell(job: Job) -> Forecaster:
    """What a job will cost, before anything is fitted: every sample counts as attacked, and passes through a defence as dear
    as those of the bare model."""
    with one_thread():
        bare = {"none": Pipeline(Defended(job.model))}
        left = survivors(_all(plan_of(job)), bare, job.samples, {}, job.suite.levels)
        return forecaster(job, {"none": calibrate.calibrate(job.model, job.samples.x)}, {}, left=left)


def _all(plan: Plan) -> list[Planned]:
    return [*plan.planned, *plan.probes]


def _costs(job: Job, plan: Plan, fitted: Fitted, calibration: calibrate.Calibration) -> Forecaster:
    """The forecaster of a job whose pipelines are fitted."""
    speeds = {
        name: calibration if name == "none" else calibrate.behind(pipeline, job.samples.x, calibration.tuning)
        for name, pipeline in fitted.live.items()
    }
    live = {row.defense: right(job, row.prediction) for row in fitted.rows if row.defense in fitted.live}
    random = {name: pipeline.stochastic for name, pipeline in fitted.live.items()}
    left = survivors(_all(plan), fitted.live, job.samples, live, job.suite.levels)
    return forecaster(job, speeds, live, random, left)


def _assembled(
    job: Job, plan: Plan, fitted: Fitted, units: UnitStore, done: Attacked, costs: Forecaster, tuning: Tuning
) -> document.Record:
    """The record with the columns of every cell."""
    record = record_of(job, plan, fitted)
    record.environment["passes"] = calibrate.in_words(tuning)
    cells = assemble.cells(plan, job.samples, fitted, units, done.failures, done.skipped)
    record.cells, record.probes = cells.cells, cells.probes
    for one in (*plan.planned, *plan.probes):
        work = costs.work(one)
        one.cell.foretold = None if work is None else work.metered.total
    record.times.cells_s, record.times.fit_s = cells.seconds, fitted.seconds
    return record


def _test(record: document.Record, job: Job, fitted: Fitted, costs: Forecaster, clock: Clock) -> None:
    """The tests of the evaluation itself, each as far as there is time left for it."""
    pipeline, suite = fitted.live["none"], job.suite
    bare, alive = pipeline.defended.model, right(job, fitted.rows[0].prediction)
    for name, (_, seconds) in costs.tests().items():
        if not clock.fits(seconds):
            record.skipped.append(name)
        elif name == "planted adversarials":
            record.planted = planted.test(bare, job.samples, alive, suite, job.catalogue, job.seed)
        elif name == "noise draws":
            record.searches = noise_search.search(record, pipeline, job.samples, suite, job.seed, job.target)
        else:
            record.estimates = clever.estimate(bare, job.samples, alive, suite.clever, suite.norms, job.seed)


def derive(
    record: document.Record,
    catalogue: Catalogue,
    preflight: list[document.Finding],
    labels_from_model: bool,
    looked: list[document.Check],
) -> None:
    """Fills in what follows from the measured columns: checks, findings, results of the suite's metrics, verdict."""
    checks, found = findings.examine(record, labels_from_model)
    record.checks = looked + checks
    record.findings = preflight + found
    wanted = record.suite.metrics
    for entry in [one for one in catalogue.of("metric") if not wanted or one.name in wanted]:
        try:
            record.results += list(entry.plugin().compute(record))
        except Exception as error:  # a third party's metric must not lose the run
            record.findings.append(
                document.Finding(
                    "metric-failed",
                    "warning",
                    f"The metric {entry.name} failed, so its figures are missing.",
                    {"metric": entry.name, "error": f"{type(error).__name__}: {error}"},
                    "Tell its author; `robusteval plugins list` shows the distribution.",
                )
            )
    record.verdict = verdict.judge(record)


def _stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
