"""The run: plan, fit, attack, judge, assemble, derive, save; each step a function of what came before."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from robusteval.assessment import results
from robusteval.assessment.derive import derive
from robusteval.contracts.executors.executor import DIED, ENDED, unusable
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.engine.batched import sizes_of
from robusteval.engine.carried import passes_on
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.certify import behind, stored_graph
from robusteval.engine.certify.certificates import CERTIFICATES
from robusteval.engine.cores.ways import shared, sized
from robusteval.engine.devices import exact, in_words
from robusteval.engine.fit.pipelines import Fitted, fit_all
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.references import match
from robusteval.engine.run import assemble, gallery, witnesses
from robusteval.engine.run.cut import in_words as cut_in_words
from robusteval.engine.run.folder import SHARD_FILE, claim, locked, settled, settled_threads
from robusteval.engine.run.lifecycle import followed
from robusteval.engine.run.new_record import record_of
from robusteval.engine.schedule import pass_timing
from robusteval.engine.schedule.cascade_forecast import survivors
from robusteval.engine.schedule.environment import machine
from robusteval.engine.schedule.forecast import Forecaster, forecaster
from robusteval.engine.schedule.schedule import ERRORS_LOG, WHOLE, Attacked, Listener, Part, Progress, attack, right
from robusteval.engine.schedule.time_budget import Clock
from robusteval.engine.selftest import clever, planted, random_search
from robusteval.engine.state import guest, put_back
from robusteval.engine.suite.suite import Suite
from robusteval.engine.threads import one_thread
from robusteval.engine.units.grown import may_grow
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RobustEvalError
from robusteval.foreign import foreign, heeding_ctrl_c, words
from robusteval.record import run as document
from robusteval.record import store

__all__ = ["Job", "Listener", "Progress", "forecast_of", "plan_of", "run"]


def run(job: Job, listener: Listener = lambda _: None) -> document.Record:
    """Runs a job to the end, or as far as its time budget goes; saves record and witnesses in its folder, and returns
    the record.

    Raises RecordError when the folder cannot be used, or when it is full or gone in the middle; what was finished is
    kept. A cell that fails is recorded with its error and the run goes on.
    """
    with heeding_ctrl_c(), exact(job.samples.x.device), locked(job.folder), started(job) as ready:
        begun = begin(ready, grows=True)
        (job.folder / SHARD_FILE).unlink(missing_ok=True)  # what was a shard's folder is a whole run's now
        return followed(begun.job, begun.plan, listener, lambda told: finish(begun, told))


@contextlib.contextmanager
def started(job: Job) -> Iterator[Job]:
    """The job with its executor made ready, and so many workers as that has; the executor is let go in the end. Raises
    PluginError where it cannot be used."""
    executor = job.executor
    if executor is None:
        yield job
        return
    try:
        with foreign():
            width = int(executor.start(job.workers))
    except RobustEvalError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise unusable(executor.info.name, words(error)) from error
    try:
        yield dataclasses.replace(job, workers=max(width, 1))
    finally:
        with contextlib.suppress(Exception), foreign():  # whatever it says now, the run is over
            executor.stop()


@dataclass(frozen=True)
class Begun:
    """A job with its folder claimed, its defences fitted, its passes timed and its cores shared out. since: seconds
    since 1970."""

    job: Job
    plan: Plan
    units: UnitStore
    fitted: Fitted
    timing: pass_timing.PassTiming
    costs: Forecaster
    clock: Clock
    since: float

    @property
    def passes(self) -> str:
        """How passes are done, in words."""
        return pass_timing.in_words(self.timing.tuning)


def begin(job: Job, defenses: Collection[str] | None = None, grows: bool = False) -> Begun:
    """Whatever comes before the attacks, in a folder that is locked, with the executor started. defenses: of a part of
    a run, which is not tested either; only these are fitted. grows: the folder may hold the run on fewer samples."""
    since, clock = time.time(), Clock(job.time_budget)
    plan = plan_of(job)
    claim(job.folder, plan.sha256, job.overwrite, lambda: grows and may_grow(job.folder, plan, job.samples.hashes()))
    (job.folder / ERRORS_LOG).unlink(missing_ok=True)  # what failed is tried again, and would be told twice
    units = UnitStore(job.folder, plan.sha256)
    suite = job.suite
    if defenses is not None:
        fitting = tuple(spec for spec in suite.defenses if spec.name in defenses)
        suite = dataclasses.replace(suite.untested(), defenses=fitting)
    with one_thread(), guest("what comes before the attacks", suite.cell_timeout):
        fitted = fit_all(suite, job.catalogue, job.model, job.samples, job.fit, job.seed)
        timing = pass_timing.timed(job.model, pass_timing.some(job.samples), job.precision)
        # units that are there already were made in that way
        timing = dataclasses.replace(timing, tuning=settled(job.folder, timing.tuning))
        job = settled_threads(job.folder, functools.partial(shared, job, timing.tuning))
        fitted.by_defense = sized(job, fitted.by_defense)
        costs = _costs(dataclasses.replace(job, suite=suite), plan, fitted, timing)
    return Begun(job, plan, units, fitted, timing, costs, clock, since)


def attack_part(begun: Begun, listener: Listener, part: Part) -> Attacked:
    """Runs the units of a part that are not stored yet."""
    plan, fitted, tuning = begun.plan, begun.fitted, begun.timing.tuning
    return attack(begun.job, plan, fitted, begun.units, listener, tuning, begun.costs, begun.clock, part)


def finish(
    begun: Begun, listener: Listener, part: Part = WHOLE, facts: Mapping[str, str] | None = None
) -> document.Record:
    """Attacks, and all that follows, up to the saved record. facts: more for its environment."""
    job, plan, units, fitted, costs = begun.job, begun.plan, begun.units, begun.fitted, begun.costs
    done = attack_part(begun, listener, part)
    with one_thread():
        record = _assembled(job, plan, fitted, units, done, costs)
        record.environment |= {"passes": begun.passes, match.PRECISION: begun.timing.tuning.precision, **(facts or {})}
        findings = _test(record, begun)
        record.gallery = gallery.pictures(record, units, job.samples, fitted, plan.chunk)
        record.witnesses = witnesses.write(record, units, job.samples, job.folder, plan.chunk)
    record.references = match.compared(job.references, record)
    if done.alone:
        record.environment["workers"] = done.alone
    if elsewhere := sorted(done.machines - {machine()}):
        record.environment["nodes"] = f"Some units were made on {' and '.join(elsewhere)}"[:1000]
    derive(
        record,
        lambda partial: _figures(job.catalogue, partial),
        [*job.preflight, *findings],
        job.labels_from_model,
        job.looked,
        job.asked_gates,
    )
    record.times.foretold_s, record.times.budget_s = done.foretold_s, job.time_budget
    record.times.started = _stamp(begun.since)
    record.times.finished = _stamp(time.time())
    record.times.wall_s = time.time() - begun.since
    store.save(record, job.folder)
    return record


def forecast_of(job: Job) -> Forecaster:
    """What a job will cost, before anything is fitted: every sample counts as attacked, and passes through a defence as
    dear as those of the bare model."""
    with one_thread():
        bare = {"none": Pipeline(Defended(job.model))}
        left = survivors(_all(plan_of(job)), bare, job.samples, {}, job.suite.levels)
        timing = pass_timing.timed(job.model, pass_timing.some(job.samples), job.precision)
        return forecaster(job, {"none": timing}, {}, left=left)


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
        cells = [planned for planned in _all(plan) if planned.cell.defense == name]
        with contextlib.suppress(Exception), foreign():  # a guess is not worth a run: without one, all samples count
            left |= survivors(cells, fitted.by_defense, job.samples, initially_correct, job.suite.levels)
    return forecaster(job, speeds, initially_correct, random, left, 1 + behind.covered(fitted.by_defense))


def _behind(job: Job, pipeline: Pipeline, bare: pass_timing.PassTiming) -> pass_timing.PassTiming:
    """The cost of passes through a defence; that of the bare model where the defence fails, as its cells will then
    say."""
    try:
        with foreign():
            return pass_timing.behind(pipeline, pass_timing.some(job.samples), bare.tuning.full())
    except Exception:  # noqa: BLE001 - a defence may raise anything
        return bare


def _assembled(
    job: Job, plan: Plan, fitted: Fitted, units: UnitStore, done: Attacked, costs: Forecaster
) -> document.Record:
    """The record with the columns of every cell."""
    record = record_of(job, plan, fitted)
    said = {"batches": job.batches, "threads": job.shared}
    record.environment |= {name: text for name, text in said.items() if text} | cut_in_words(plan.chunk, job)
    if halved := sizes_of(job.model).halved:
        record.environment["memory"] = f"ran out {halved} times beside the attacks, and batches were halved"
    if (there := passes_on(job.model, job.samples.x.device)).type != "cpu":
        record.environment["device"] = in_words(there)
    cells = assemble.cells(plan, len(job.samples), units, done.failures, done.skipped)
    record.cells, record.probes = cells.cells, cells.probes
    for planned in (*plan.planned, *plan.probes):
        work = costs.work(planned)
        planned.cell.foretold = None if work is None else work.metered.total
    record.times.cells_s, record.times.fit_s = cells.seconds, fitted.seconds
    return record


def _test(record: document.Record, begun: Begun) -> list[document.Finding]:
    """The tests of the evaluation itself, each as far as there is time left for it; a finding for each that failed."""
    findings = []
    for name, (_, seconds) in begun.costs.tests().items():
        if not begun.clock.fits(seconds):
            record.skipped.append(name)
            continue
        try:
            with foreign(), guest(f"the test of the evaluation by {name}"):
                _one_test(name, record, begun)
        except Exception as error:  # noqa: BLE001
            # a model may fail at a batch of another size: the attacks' figures stay
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


def _one_test(name: str, record: document.Record, begun: Begun) -> None:
    job, fitted, right_of = begun.job, begun.fitted, begun.costs.initially_correct
    pipeline, suite = fitted.by_defense["none"], _survivable(job.suite, record)
    bare, initially_correct = pipeline.defended.model, right(job, fitted.rows[0].prediction)
    if name == "planted adversarials":
        record.planted = planted.test(bare, job.samples, initially_correct, suite, job.catalogue, job.seed)
    elif name == "noise draws":
        record.searches = random_search.search(record, pipeline, job.samples, suite, job.seed, job.target)
    elif name == CERTIFICATES:
        behind.certify(record, fitted.by_defense, right_of, job.samples, suite, job.catalogue, begun.units)
        record.proofs = stored_graph.write(record, bare, job.samples, job.catalogue, job.folder)
    else:
        record.estimates = clever.estimate(bare, job.samples, initially_correct, suite.clever, suite.norms, job.seed)


def _survivable(suite: Suite, record: document.Record) -> Suite:
    """The suite without the attacks that ended a worker process: in this one they would end the run."""
    died = [cell for cell in record.cells if cell.reason.startswith((DIED, ENDED))]
    dead = {cell.plugin if cell.family == "cascade" else cell.attack for cell in died}
    attacks = tuple(spec for spec in suite.attacks if spec.name not in dead)
    return dataclasses.replace(
        suite, attacks=attacks, cascades=tuple(cascade for cascade in suite.cascades if cascade.name not in dead)
    )


def _figures(catalogue: Catalogue, record: document.Record) -> tuple[list[document.Result], list[document.Finding]]:
    """The results of the suite's metrics, and a finding for each that failed."""
    asked = record.suite.metrics
    with put_back():
        return results.derived((row for row in catalogue.of("metric") if not asked or row.name in asked), record)


def _stamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
