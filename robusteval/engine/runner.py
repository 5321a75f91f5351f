"""The run: plan, fit, attack, judge, assemble, derive, save. One direction, each step a function of what came before."""

from __future__ import annotations

import dataclasses
import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

import robusteval
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.samples import Samples
from robusteval.contracts.tuning import Tuning
from robusteval.engine import (
    assemble,
    calibrate,
    clever,
    findings,
    gallery,
    noise_search,
    planted,
    references,
    targets,
    verdict,
    witnesses,
)
from robusteval.engine.catalogue import Catalogue
from robusteval.engine.chunk import Context
from robusteval.engine.environment import environment
from robusteval.engine.executors import Outcome, Task, execute, one_thread
from robusteval.engine.naming import attacks_sha256
from robusteval.engine.pipelines import Fitted, fit_all
from robusteval.engine.plan import Plan, make_plan
from robusteval.engine.suite import Suite
from robusteval.engine.unit_store import UnitStore
from robusteval.engine.units import chunks
from robusteval.errors import RecordError
from robusteval.record import document, store
from robusteval.record.reference_file import Source


@dataclass(frozen=True)
class Job:
    """All that a run needs; what the CLI and the Python API both make."""

    model: Classifier
    samples: Samples
    suite: Suite
    catalogue: Catalogue
    folder: Path
    fit: Samples | None = None
    model_file: str = ""
    data_source: str = ""
    range_note: str = ""
    command: str = ""
    seed: int = 0
    workers: int = 1
    target: str = "untargeted"
    labels_from_model: bool = False
    overwrite: bool = False
    preflight: tuple[document.Finding, ...] = ()
    references: tuple[
        Source, ...
    ] = ()  # known models to compare with, those that the user gave before the shipped ones


@dataclass(frozen=True)
class Progress:
    """Told to the listener after every unit. done of total units; error: why this one failed, or empty."""

    done: int
    total: int
    cell: str
    error: str = ""
    resumed: int = 0


Listener = Callable[[Progress], None]


def plan_of(job: Job) -> Plan:
    """The plan of a job; its hash decides which finished units may be used again."""
    identity = {
        "tool": robusteval.__version__,
        "model": job.model.info.sha256,
        "reading": repr(dataclasses.replace(job.model.info, parity={}, notes=())),
        "data": job.samples.sha256(),
        "fit": job.fit.sha256() if job.fit is not None else "",
        "seed": job.seed,
        "target": job.target,
        "defenses": [
            [spec.name, job.catalogue.get("defense", spec.plugin).info.version, spec.params]
            for spec in job.suite.defenses
        ],
    }
    return make_plan(job.suite, job.catalogue, job.model.info, job.target, identity)


def run(job: Job, listener: Listener = lambda progress: None) -> document.Record:
    """Runs a job to the end, saves record and witnesses in its folder, and returns the record.

    Raises RecordError when the folder cannot be used. A cell that fails is recorded with its error and the run goes on.
    """
    started = time.time()
    plan = plan_of(job)
    units = UnitStore(job.folder)
    units.prepare(plan.sha256, job.overwrite)
    with one_thread():
        fitted = fit_all(job.suite, job.catalogue, job.model, job.samples, job.fit, job.seed)
        calibration = calibrate.calibrate(job.model, job.samples.x)
    failures = _attack(job, plan, fitted, units, listener, calibration.tuning)
    with one_thread():
        record = _record(job, plan, fitted)
        record.environment["passes"] = calibrate.in_words(calibration.tuning)
        cells = assemble.cells(plan, job.samples, fitted, units, failures)
        record.cells, record.probes = cells.cells, cells.probes
        record.times.cells_s = cells.seconds
        record.times.fit_s = fitted.seconds
        bare = fitted.live["none"].defended.model
        record.estimates = clever.estimate(
            bare, job.samples, _right(job, fitted.rows[0]), job.suite.clever, job.suite.norms, job.seed
        )
        record.planted = planted.test(
            bare, job.samples, _right(job, fitted.rows[0]), job.suite, job.catalogue, job.seed
        )
        record.searches = noise_search.search(record, fitted.live["none"], job.samples, job.suite, job.seed)
        record.gallery = gallery.pictures(record, units, job.samples, fitted)
        record.witnesses = witnesses.write(record, units, job.samples, job.folder)
    record.references = references.compared(job.references, record)
    derive(record, job.catalogue, list(job.preflight), job.labels_from_model)
    record.times.started = _stamp(started)
    record.times.finished = _stamp(time.time())
    record.times.wall_s = time.time() - started
    store.save(record, job.folder)
    return record


def derive(
    record: document.Record, catalogue: Catalogue, preflight: list[document.Finding], labels_from_model: bool
) -> None:
    """Fills in what follows from the measured columns: checks, findings, results, verdict."""
    record.checks, found = findings.examine(record, labels_from_model)
    record.findings = preflight + found
    wanted = catalogue.of("metric")
    for entry in wanted:
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


def _attack(
    job: Job, plan: Plan, fitted: Fitted, units: UnitStore, listener: Listener, tuning: Tuning
) -> dict[str, str]:
    """Runs every unit that is not stored yet; returns the cells that failed, with their reasons."""
    failures: dict[str, str] = {}
    tasks: list[Task] = []
    judging: list[Task] = []
    transferred: list[Task] = []
    total, found = 0, 0
    for planned in (*plan.planned, *plan.probes):
        cell = planned.cell
        if cell.defense not in fitted.live:
            row = next(row for row in fitted.rows if row.defense == cell.defense)
            if row.status == "excluded":  # nothing crashed: there was nothing to learn from
                cell.status, cell.reason = "excluded", f"the defence was not fitted: {row.reason}"
            else:
                failures[cell.id] = f"the defence could not be fitted: {row.reason}"
            continue
        for chunk in range(len(chunks(planned, len(job.samples)))):
            total += 1
            stored = units.load_judged(cell.id, chunk) if planned.source else units.load(cell.id, chunk)
            if stored is not None:
                found += 1
            else:
                (judging if planned.source else transferred if planned.starts else tasks).append(Task(planned, chunk))
    counter = _Counter(found, total, found, job.folder, failures, listener)
    listener(Progress(found, total, "", "", found))
    attackable = {row.defense: _right(job, row) for row in fitted.rows if row.defense in fitted.live}
    least = targets.least_likely(job.model, job.samples) if job.target == targets.LEAST_LIKELY else None
    context = Context(fitted.live, job.samples, attackable, job.seed, least, job.suite.levels, tuning)
    # dear cells first, so that the last minutes are not one worker's alone
    execute(context, _dear_first(tasks), job.folder, job.workers, counter)
    # these look at the stored adversarials of the bare model, so they come after it
    execute(context, transferred, job.folder, job.workers, counter)
    execute(context, judging, job.folder, 1, counter)
    return failures


def _right(job: Job, row: document.Pipeline) -> Tensor:
    """bool [N]: which samples that pipeline gets right when clean."""
    right: Tensor = job.samples.y == job.samples.y.new_tensor(row.prediction)
    return right


def _dear_first(tasks: list[Task]) -> list[Task]:
    def cost(task: Task) -> int:
        cell = task.planned.cell
        return -(task.planned.draws if cell.knowledge == "adaptive" else 1) * (2 if cell.family == "fixed" else 1)

    return sorted(tasks, key=cost)


@dataclass
class _Counter:
    """Counts outcomes, keeps failures, and writes tracebacks beside the record."""

    done: int
    total: int
    resumed: int
    folder: Path
    failures: dict[str, str]
    listener: Listener
    seen: set[str] = field(default_factory=set)

    def __call__(self, outcome: Outcome) -> None:
        self.done += 1
        cell = outcome.task.planned.cell.id
        if outcome.error:
            self.failures.setdefault(cell, outcome.error)
            if outcome.detail and outcome.error not in self.seen:
                self.seen.add(outcome.error)
                with (self.folder / "errors.log").open("a", encoding="utf-8") as log:
                    log.write(f"{cell} chunk {outcome.task.chunk}\n{outcome.detail}\n")
        self.listener(Progress(self.done, self.total, cell, outcome.error, self.resumed))


def _record(job: Job, plan: Plan, fitted: Fitted) -> document.Record:
    info = job.model.info
    used = {("attack", name) for planned in plan.planned for name in planned.plugins()}
    used |= {("defense", spec.plugin) for spec in job.suite.defenses}
    used |= {("metric", entry.name) for entry in job.catalogue.of("metric")}
    facts = {
        field.name: getattr(info, field.name)
        for field in dataclasses.fields(document.Model)
        if hasattr(info, field.name)
    }
    facts = {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    return document.Record(
        tool={"name": "robusteval", "version": robusteval.__version__},
        command=job.command,
        seed=job.seed,
        environment=environment(info.provider),
        model=document.Model(**facts, file=Path(job.model_file).name, path=job.model_file),
        data=document.Data(
            name=job.samples.name,
            source=job.data_source,
            sha256=job.samples.sha256(),
            samples=len(job.samples),
            labels=[int(label) for label in job.samples.y],
            l2=[float(value) for value in job.samples.x.double().flatten(1).norm(dim=1)],
            range_note=job.range_note,
            fit_name=job.fit.name if job.fit is not None else "",
            fit_sha256=job.fit.sha256() if job.fit is not None else "",
            fit_samples=len(job.fit) if job.fit is not None else 0,
            hashes=job.samples.contents(),
        ),
        suite=document.Suite(
            job.suite.name,
            job.suite.version,
            job.suite.sha256,
            job.suite.summary,
            list(job.suite.norms),
            job.suite.levels,
            attacks_sha256(job.suite, job.catalogue, job.target),
        ),
        plan_sha256=plan.sha256,
        pipelines=fitted.rows,
        cells=[],
        plugins=[
            {"kind": entry.kind, "name": entry.name, "version": entry.version, "distribution": entry.distribution}
            for entry in job.catalogue.entries
            if (entry.kind, entry.name) in used and not entry.broken
        ],
    )


def _stamp(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")


def default_folder(root: Path, model_file: str, suite: str, plan: Plan) -> Path:
    """Where a run goes unless told: the same plan gives the same folder, so an interrupted run is found again."""
    stem = Path(model_file).stem or "model"
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in stem)[:60]
    return root / f"{safe}-{suite}-{plan.sha256[:8]}"


def check_folder(folder: Path, stranger: str = "") -> None:
    """Raises RecordError where nothing can be written, or where the file `stranger` tells of a run of another kind."""
    if stranger and (folder / stranger).exists():
        raise RecordError(
            f"The folder {folder} holds a {stranger}, so it is a run of another kind.", "Choose another with --out."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-test"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise RecordError(
            f"Cannot write to the folder {folder}: {error.strerror or error}.", "Choose another with --out."
        ) from None
