"""The run: plan, fit, attack, judge, assemble, derive, save. One direction, each step a function of what came before."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import time

from robusteval.assessment import results
from robusteval.assessment.derive import derive
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.tuning import Tuning
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.fit.pipelines import Fitted, fit_all
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.references import match
from robusteval.engine.run import assemble, gallery, witnesses
from robusteval.engine.run.folder import claim, locked
from robusteval.engine.run.new_record import record_of
from robusteval.engine.schedule import pass_timing
from robusteval.engine.schedule.cascade_forecast import survivors
from robusteval.engine.schedule.forecast import Forecaster, forecaster
from robusteval.engine.schedule.processes import DIED
from robusteval.engine.schedule.schedule import ERRORS_LOG, Attacked, Listener, Progress, attack, right
from robusteval.engine.schedule.time_budget import Clock
from robusteval.engine.selftest import clever, planted, random_search
from robusteval.engine.suite.suite import Suite
from robusteval.engine.threads import one_thread
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RobustEvalError
from robusteval.foreign import foreign, heeding_ctrl_c, words
from robusteval.record import run as document
from robusteval.record import store

__all__ = ["Job", "Listener", "Progress", "forecast_of", "plan_of", "run"]


def run(job: Job, listener: Listener = lambda progress: None) -> document.Record:
    """Runs a job to the end, or as far as its time budget goes; saves record and witnesses in its folder, and returns the
    record.

    Raises RecordError when the folder cannot be used, or when it is full or gone in the middle; what was finished is kept. A
    cell that fails is recorded with its error and the run goes on.
    """
    with heeding_ctrl_c(), locked(job.folder):
        return _run(job, listener)


def _run(job: Job, listener: Listener) -> document.Record:
    started, clock = time.time(), Clock(job.time_budget)
    plan = plan_of(job)
    claim(job.folder, plan.sha256, job.overwrite)
    (job.folder / ERRORS_LOG).unlink(missing_ok=True)  # what failed is tried again, and would be told twice
    units = UnitStore(job.folder, plan.sha256)
    with one_thread():
        fitted = fit_all(job.suite, job.catalogue, job.model, job.samples, job.fit, job.seed)
        timing = pass_timing.timed(job.model, job.samples.x)
        costs = _costs(job, plan, fitted, timing)
    done = attack(job, plan, fitted, units, listener, timing.tuning, costs, clock)
    with one_thread():
        record = _assembled(job, plan, fitted, units, done, costs, timing.tuning)
        findings = _test(record, job, fitted, costs, clock)
        record.gallery = gallery.pictures(record, units, job.samples, fitted)
        record.witnesses = witnesses.write(record, units, job.samples, job.folder)
    record.references = match.compared(job.references, record)
    if done.alone:
        record.environment["workers"] = done.alone
    derive(
        record,
        lambda partial: _figures(job.catalogue, partial),
        [*job.preflight, *findings],
        job.labels_from_model,
        job.looked,
    )
    record.times.foretold_s = done.foretold_s
    record.times.budget_s = job.time_budget
    record.times.started = _stamp(started)
    record.times.finished = _stamp(time.time())
    record.times.wall_s = time.time() - started
    store.save(record, job.folder)
    return record


def forecast_of(job: Job) -> Forecaster:
    """What a job will cost, before anything is fitted: every sample counts as attacked, and passes through a defence as dear
    as those of the bare model."""
    with one_thread():
        bare = {"none": Pipeline(Defended(job.model))}
        left = survivors(_all(plan_of(job)), bare, job.samples, {}, job.suite.levels)
        return forecaster(job, {"none": pass_timing.timed(job.model, job.samples.x)}, {}, left=left)


def _all(plan: Plan) -> list[Planned]:
    return [*plan.planned, *plan.probes]


def _costs(job: Job, plan: Plan, fitted: Fitted, timing: pass_timing.PassTiming) -> Forecaster:
    """The forecaster of a job whose pipelines are fitted."""
    speeds = {
        name: timing if name == "none" else _behind(job, pipeline, timing)
        for name, pipeline in fitted.by_defense.items()
    }
    initially_correct = {
        row.defense: right(job, row.prediction) for row in fitted.rows if row.defense in fitted.by_defense
    }
    random = {name: pipeline.stochastic for name, pipeline in fitted.by_defense.items()}
    left: dict[str, float] = {}
    for name in fitted.by_defense:
        behind = [planned for planned in _all(plan) if planned.cell.defense == name]
        with contextlib.suppress(Exception), foreign():  # a guess is not worth a run: without one, all samples count
            left |= survivors(behind, fitted.by_defense, job.samples, initially_correct, job.suite.levels)
    return forecaster(job, speeds, initially_correct, random, left)


def _behind(job: Job, pipeline: Pipeline, bare: pass_timing.PassTiming) -> pass_timing.PassTiming:
    """The cost of passes through a defence; that of the bare model where the defence fails, as its cells will then say."""
    try:
        with foreign():
            return pass_timing.behind(pipeline, job.samples.x, bare.tuning)
    except Exception:  # a defence may raise anything
        return bare


def _assembled(
    job: Job, plan: Plan, fitted: Fitted, units: UnitStore, done: Attacked, costs: Forecaster, tuning: Tuning
) -> document.Record:
    """The record with the columns of every cell."""
    record = record_of(job, plan, fitted)
    record.environment["passes"] = pass_timing.in_words(tuning)
    cells = assemble.cells(plan, job.samples, fitted, units, done.failures, done.skipped)
    record.cells, record.probes = cells.cells, cells.probes
    for planned in (*plan.planned, *plan.probes):
        work = costs.work(planned)
        planned.cell.foretold = None if work is None else work.metered.total
    record.times.cells_s, record.times.fit_s = cells.seconds, fitted.seconds
    return record


def _test(record: document.Record, job: Job, fitted: Fitted, costs: Forecaster, clock: Clock) -> list[document.Finding]:
    """The tests of the evaluation itself, each as far as there is time left for it; a finding for each that failed."""
    findings = []
    for name, (_, seconds) in costs.tests().items():
        if not clock.fits(seconds):
            record.skipped.append(name)
            continue
        try:
            with foreign():
                _one_test(name, record, job, fitted)
        except Exception as error:  # a model may fail at a batch of another size: the attacks' figures stay
            reason = error.message if isinstance(error, RobustEvalError) else words(error)[:500]
            findings.append(
                document.Finding(
                    "test-failed",
                    "warning",
                    f"The test of the evaluation by {name} failed: {reason}",
                    {"test": name, "error": reason},
                    "Mend the model; what this test would have shown is not known.",
                )
            )
    return findings


def _one_test(name: str, record: document.Record, job: Job, fitted: Fitted) -> None:
    pipeline, suite = fitted.by_defense["none"], _survivable(job.suite, record)
    bare, initially_correct = pipeline.defended.model, right(job, fitted.rows[0].prediction)
    if name == "planted adversarials":
        record.planted = planted.test(bare, job.samples, initially_correct, suite, job.catalogue, job.seed)
    elif name == "noise draws":
        record.searches = random_search.search(record, pipeline, job.samples, suite, job.seed, job.target)
    else:
        record.estimates = clever.estimate(bare, job.samples, initially_correct, suite.clever, suite.norms, job.seed)


def _survivable(suite: Suite, record: document.Record) -> Suite:
    """The suite without the attacks that ended a worker process: in this one they would end the run."""
    died = [cell for cell in record.cells if cell.reason == DIED]
    dead = {cell.plugin if cell.family == "cascade" else cell.attack for cell in died}
    attacks = tuple(spec for spec in suite.attacks if spec.name not in dead)
    return dataclasses.replace(
        suite, attacks=attacks, cascades=tuple(cascade for cascade in suite.cascades if cascade.name not in dead)
    )


def _figures(catalogue: Catalogue, record: document.Record) -> tuple[list[document.Result], list[document.Finding]]:
    """The results of the suite's metrics, and a finding for each that failed."""
    asked = record.suite.metrics
    return results.derived((metric for metric in catalogue.of("metric") if not asked or metric.name in asked), record)


def _stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
