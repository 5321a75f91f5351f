"""One unit, tried: made where all that it looks at was sent along, and whatever its plugin raises turned into the
reason why its cell failed."""

from __future__ import annotations

import math
import pickle
import time
import traceback
from dataclasses import dataclass, replace

from torch import Tensor

from robusteval.cage.page import Limited
from robusteval.contracts.executors.executor import Done
from robusteval.contracts.samples import Samples
from robusteval.engine.devices import exact
from robusteval.engine.plan.plan import Planned
from robusteval.engine.schedule.environment import machine
from robusteval.engine.schedule.pass_timing import applied
from robusteval.engine.source import Window
from robusteval.engine.state import put_back
from robusteval.engine.threads import on_threads
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.kept_candidates import Strengths
from robusteval.engine.units.store import UnitStore, sealed_unit
from robusteval.engine.units.unit import JudgedUnit, UnitResult, chunk_rows, judge_unit, nearest_wins, run_unit
from robusteval.foreign import foreign, words


@dataclass(frozen=True)
class Task:
    """One unit to run."""

    planned: Planned
    chunk: int

    @property
    def id(self) -> str:
        """No other unit of the run has it."""
        return f"{self.planned.cell.id}#{self.chunk}"


@dataclass(frozen=True)
class Outcome:
    """How a unit ended. error: empty, or one line that says why it failed; detail: the traceback; seconds: what it
    took; skipped: it was ended as the time budget was over; machine: the processor that made it."""

    task: Task
    error: str = ""
    detail: str = ""
    seconds: float = 0.0
    skipped: bool = False
    machine: str = ""


Seen = (
    Strengths | Tensor | str | None
)  # what a unit looks at: candidates, starting points, or why there is nothing to look at


@dataclass(frozen=True)
class Hands:
    """What makes the units of a run, here or elsewhere. plan: its hash, which every unit carries."""

    context: Context
    plan: str

    def attempt(self, unit: bytes) -> Done:
        """Makes a unit that was packed by `piece`."""
        task, seen, window, limit = pickle.loads(unit)  # noqa: S301 - what this very run has packed
        hands = self if window is None else replace(self, context=replace(self.context, samples=window))
        return attempt(hands, task, seen, limit)

    def without_data(self) -> Hands:
        """For machines that cannot reach the data: units bring their own samples along."""
        none: Samples = self.context.samples[0:0]
        return replace(self, context=replace(self.context, samples=none))

    def window(self, task: Task) -> Window:
        """The samples of one unit. Raises DataError where they cannot be read."""
        samples = self.context.samples
        rows = chunk_rows(task.planned, len(samples), task.chunk)
        return Window(samples[rows], rows.start, len(samples))


def piece(task: Task, seen: Seen, window: Window | None = None, limit: float = math.inf) -> bytes:
    """A unit as it travels. window: its samples, where it goes to a machine that cannot reach the data; limit: seconds
    that it may take."""
    return pickle.dumps((task, seen, window, limit))


def seen_by(task: Task, store: UnitStore) -> Seen:
    """What a unit looks at, of the units that are stored."""
    planned = task.planned
    if planned.source:
        unit = store.load(planned.source, task.chunk)
        if unit is None or unit.strengths is None:
            return f"the adversarials of {planned.source} are not there, as that cell failed"
        return unit.strengths
    if planned.starts:
        units = [found for start in planned.starts if (found := store.load(start, task.chunk)) is not None]
        return nearest_wins(units) if units else "no adversarials of the bare model are there, as those cells failed"
    return None


def attempt(hands: Hands, task: Task, seen: Seen, limit: float = math.inf) -> Done:
    """Makes one unit, mostly on one thread; whatever the plugin raises becomes the answer's error, and what it sets for
    all is put back. limit: seconds, for whoever watches this process."""
    started = time.perf_counter()
    context = hands.context
    with (
        Limited("a unit of it", limit),
        put_back(),
        on_threads(context.threads),
        applied(context.tuning),
        exact(context.samples.x.device),
    ):
        done = _attempt(hands, task, seen)
    return replace(done, seconds=time.perf_counter() - started, machine=machine())


def _attempt(hands: Hands, task: Task, seen: Seen) -> Done:
    if isinstance(seen, str):
        return Done(task.id, error=seen)
    try:
        with foreign():
            result = _made(hands.context, task, seen)
            content = sealed_unit(hands.plan, task.planned.cell.id, task.chunk, result)
    except Exception as error:  # noqa: BLE001 - one plugin's fault must not end the run: it is a failed cell
        return Done(task.id, error=words(error), detail=traceback.format_exc())
    return Done(task.id, content)


def _made(context: Context, task: Task, seen: Strengths | Tensor | None) -> UnitResult | JudgedUnit:
    planned = task.planned
    rows = chunk_rows(planned, len(context.samples), task.chunk)
    if isinstance(seen, Strengths):
        return judge_unit(context, planned, rows, seen)
    return run_unit(context, planned, rows, seen)
