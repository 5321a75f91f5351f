"""The attacks of a run: which units are left, in which order they go to the workers, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from robusteval.cage.page import watched
from robusteval.contracts.tuning import Tuning
from robusteval.engine.catalogue.catalogue import OURS
from robusteval.engine.fit.pipelines import Fitted
from robusteval.engine.plan.job import Job
from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.plan.shards import Shard
from robusteval.engine.schedule.executors import Outcome, Task, execute
from robusteval.engine.schedule.forecast import Forecaster
from robusteval.engine.schedule.limits import Limits
from robusteval.engine.schedule.rest import Rest
from robusteval.engine.schedule.time_budget import Clock, Gate, informative_first, roles_of
from robusteval.engine.suite import goals
from robusteval.engine.units.checked import fault
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.grown import grow, seen_samples
from robusteval.engine.units.store import UnitStore
from robusteval.engine.units.unit import chunk_count
from robusteval.errors import RecordError

ERRORS_LOG = "errors.log"  # in the run folder: tracebacks of what failed


@dataclass(frozen=True)
class Progress:
    """Told to the listener after every unit. done of total units; error: why this one failed, or empty; note: something
    to say once; left_s: about how long the rest takes by the clock, from what was foretold of it and how far that was
    off so far, None where nothing is known."""

    done: int
    total: int
    cell: str
    error: str = ""
    resumed: int = 0
    note: str = ""
    left_s: float | None = None
    cell_left: int = 0  # units of this cell that are still to come


Listener = Callable[[Progress], None]


@dataclass(frozen=True)
class Part:
    """Which of a run's units are tried. shard: of the attacks' units only these, and nothing that looks at what attacks
    found; failed: by cell, reasons of chunks that were tried elsewhere, and are not tried again."""

    shard: Shard | None = None
    failed: Mapping[str, Mapping[int, str]] = field(default_factory=dict)


WHOLE = Part()


@dataclass
class Attacked:
    """What did not end well: failed cells with their reasons, and those that the time budget left undone. units: the
    reasons by cell and chunk."""

    failures: dict[str, str] = field(default_factory=dict)
    units: dict[str, dict[int, str]] = field(default_factory=dict)
    total: int = 0  # units, done or not
    machines: set[str] = field(default_factory=set)  # processors that made units now
    skipped: set[str] = field(default_factory=set)
    foretold_s: float = 0.0  # of what was left to do, by the clock on the wall
    alone: str = ""  # why one process did it all, though there were to be several

    def fail(self, cell: str, chunk: int, reason: str) -> None:
        """Takes in that a unit failed, and with it its cell."""
        self.failures.setdefault(cell, reason)
        self.units.setdefault(cell, {})[chunk] = reason


@dataclass
class _Todo:
    """Units that are not stored yet; the later kinds look at what the earlier ones stored."""

    attacks: list[Task] = field(default_factory=list)
    transferred: list[Task] = field(default_factory=list)
    judging: list[Task] = field(default_factory=list)
    total: int = 0
    found: int = 0

    def tasks(self) -> list[Task]:
        """All of them."""
        return [*self.attacks, *self.transferred, *self.judging]

    def chunks_left(self) -> dict[str, list[int]]:
        """By cell."""
        left: dict[str, list[int]] = {}
        for task in self.tasks():
            left.setdefault(task.planned.cell.id, []).append(task.chunk)
        return left


def right(job: Job, prediction: list[int]) -> Tensor:
    """bool [N]: which samples a pipeline with these clean answers gets right."""
    found: Tensor = job.samples.y == job.samples.y.new_tensor(prediction)
    return found


def attack(
    job: Job,
    plan: Plan,
    fitted: Fitted,
    units: UnitStore,
    listener: Listener,
    tuning: Tuning,
    costs: Forecaster,
    clock: Clock,
    part: Part = WHOLE,
) -> Attacked:
    """Runs every unit of the part that is not stored yet, as far as the time goes."""
    done = Attacked()
    initially_correct = {
        row.defense: right(job, row.prediction) for row in fitted.rows if row.defense in fitted.by_defense
    }
    least = goals.least_likely(job.model, job.samples) if job.target == goals.LEAST_LIKELY else None
    context = Context(
        fitted.by_defense, job.samples, initially_correct, job.seed, least, job.suite.levels, tuning, job.threads
    )
    if part == WHOLE:
        grow(units, plan, seen_samples(plan, context, job.samples.hashes()))
    todo = _todo(context, plan, fitted, units, done, part)
    done.total = todo.total
    left_of = {cell: len(chunks) for cell, chunks in todo.chunks_left().items()}
    counter = _Counter(todo.found, todo.total, todo.found, job.folder, done, listener, left_of)
    listener(Progress(todo.found, todo.total, "", "", todo.found))
    coming = costs.forecast(plan, todo.chunks_left())
    done.foretold_s = coming.wall(job.workers)
    listener(Progress(todo.found, todo.total, "", note=coming.sentence(job.workers)))
    if job.shared:
        listener(Progress(todo.found, todo.total, "", note=f"{job.shared}."))

    def seconds(task: Task) -> float | None:
        return costs.unit(task.planned, task.chunk)

    later = sum(seconds(task) or 0.0 for task in todo.transferred) / max(job.workers, 1)
    later += sum(seconds(task) or 0.0 for task in todo.judging)
    tests = sum(spent for _, spent in costs.tests().values())
    counter.rest = Rest([seconds(task) for task in todo.tasks()], tests, job.workers, coming.slower(job.workers))
    gate = Gate(clock, seconds, job.workers, clock.keeps(later + tests), done.skipped)
    counter.gate = gate
    if clock.budget is None:
        tasks = _dear_first(todo.attacks, seconds)
    else:
        tasks = informative_first(todo.attacks, plan, job.suite, seconds)
        left = {task.planned.cell.id for task in tasks}
        gate.roles = roles_of(plan, job.suite)
        gate.led = set(gate.roles.leads - left - set(done.failures))
    limits = Limits(seconds, job.suite.cell_timeout, clock)
    foreign = job.apart and _outside(job, plan)

    def go(some: list[Task], workers: int, apart: bool) -> None:
        asked = gate.expected(some)
        reason = execute(context, asked, units, workers, counter, gate, limits, apart, job.executor)
        if reason and not done.alone and (job.workers > 1 or foreign):
            done.alone = f"All ran in one process: {reason}."
            listener(Progress(counter.done, todo.total, "", note=done.alone))

    caged = foreign or (job.apart and watched())
    go(tasks, job.workers, caged)
    gate.keep = 0.0  # what follows is cheap, and was counted in what was kept; the tests take what it leaves
    # these look at the stored adversarials of the bare model, so they come after it; where some of those are still to
    # come they would be others than those of the whole run
    go(_complete(todo.transferred, done), job.workers, caged)
    # judging asks the model what attacks have asked it before, and is not worth the start of a process
    go(_complete(todo.judging, done), job.workers if job.executor is not None else 1, foreign)
    return done


def _outside(job: Job, plan: Plan) -> bool:
    """Whether code runs that did not come with robusteval, which may end the process that it runs in."""
    used = {("attack", name) for planned in (*plan.planned, *plan.probes) for name in planned.plugins()}
    used |= {("defense", spec.plugin) for spec in job.suite.defenses}
    return any((row.kind, row.name) in used and row.distribution != OURS for row in job.catalogue.entries)


def attacked_alone(planned: Planned) -> bool:
    """Whether a cell's units look at nothing that other cells found; only such ones go round the shards."""
    return not (planned.source or planned.starts)


def _todo(context: Context, plan: Plan, fitted: Fitted, units: UnitStore, done: Attacked, part: Part) -> _Todo:
    """What is still to be made. A stored unit counts where it is one that this run could have made: a stranger may have
    filled the folder."""
    todo, shard, absent = _Todo(), part.shard, set[tuple[str, int]]()
    for planned in (*plan.planned, *plan.probes):
        cell = planned.cell
        wanted = [
            chunk
            for chunk in range(chunk_count(planned, len(context.samples)))
            if shard is None or (attacked_alone(planned) and shard.holds(cell.id, chunk))
        ]
        if not wanted:
            continue
        if cell.defense not in fitted.by_defense:
            row = next(row for row in fitted.rows if row.defense == cell.defense)
            if row.status == "excluded":  # nothing crashed: there was nothing to learn from
                cell.status, cell.reason = "excluded", f"the defence was not fitted: {row.reason}"
            else:
                done.failures[cell.id] = f"the defence could not be fitted: {row.reason}"
            continue
        for chunk in wanted:
            todo.total += 1
            stored = units.content(cell.id, chunk)
            if stored is None:
                absent.add((cell.id, chunk))
            # what was made of wins while an attack had failed lacks the wins of that one
            whole = absent.isdisjoint((start, chunk) for start in planned.starts)
            if stored is not None and whole and not fault(context, planned, chunk, units.plan, stored):
                todo.found += 1
            elif chunk in part.failed.get(cell.id, {}):
                todo.found += 1
                done.fail(cell.id, chunk, part.failed[cell.id][chunk])
            else:
                kind = todo.judging if planned.source else todo.transferred if planned.starts else todo.attacks
                kind.append(Task(planned, chunk))
    return todo


def _complete(tasks: list[Task], done: Attacked) -> list[Task]:
    """Those that look at nothing that was skipped; the cells of the others are skipped too."""
    columns = []
    for task in tasks:
        if done.skipped.isdisjoint({task.planned.source, *task.planned.starts}):
            columns.append(task)
        else:
            done.skipped.add(task.planned.cell.id)
    return columns


def _dear_first(tasks: list[Task], seconds: Callable[[Task], float | None]) -> list[Task]:
    """So that the last minutes are not one worker's alone; what is not foretold may be dear."""

    def cost(task: Task) -> float:
        forecast = seconds(task)
        return -float("inf") if forecast is None else -forecast

    return sorted(tasks, key=cost)


@dataclass
class _Counter:
    """Counts outcomes, keeps failures, and writes tracebacks beside the record."""

    done: int
    total: int
    resumed: int
    folder: Path
    attacked: Attacked
    listener: Listener
    left_of: dict[str, int]
    seen: set[str] = field(default_factory=set)
    gate: Gate | None = None
    rest: Rest | None = None

    def __call__(self, outcome: Outcome) -> None:
        self.done += 1
        cell = outcome.task.planned.cell.id
        if self.gate is not None and not outcome.skipped:
            self.gate.learn(outcome)
            if self.rest is not None:
                self.rest.learn(self.gate.seconds(outcome.task), outcome.seconds)
        if outcome.machine:
            self.attacked.machines.add(outcome.machine)
        if outcome.skipped:
            self.attacked.skipped.add(cell)
        if outcome.error:
            self.attacked.fail(cell, outcome.task.chunk, outcome.error)
            if outcome.detail and outcome.error not in self.seen:
                self.seen.add(outcome.error)
                self._log(f"{cell} chunk {outcome.task.chunk}\n{outcome.detail}\n")
        self.left_of[cell] -= 1
        left = None if self.rest is None else self.rest.seconds()
        self.listener(Progress(self.done, self.total, cell, outcome.error, self.resumed, "", left, self.left_of[cell]))

    def _log(self, text: str) -> None:
        try:
            with (self.folder / ERRORS_LOG).open("a", encoding="utf-8", errors="replace") as log:
                log.write(text)
        except OSError as error:
            raise RecordError(
                f"Cannot write {self.folder / ERRORS_LOG}: {error.strerror or error}.",
                "What was finished is kept: once there is a place to write to, the same command goes on from there.",
            ) from None
