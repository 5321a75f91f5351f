"""One unit, tried: made, stored, and whatever its plugin raises turned into the reason why its cell failed."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass, replace

from robusteval.engine.plan.plan import Planned
from robusteval.engine.schedule.pass_timing import applied
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.store import UnitStore
from robusteval.engine.units.unit import JudgedUnit, UnitResult, chunks, judge_unit, nearest_wins, run_unit
from robusteval.foreign import foreign, words


@dataclass(frozen=True)
class Task:
    """One unit to run."""

    planned: Planned
    chunk: int


@dataclass(frozen=True)
class Outcome:
    """How a unit ended. error: empty, or one line that says why it failed; detail: the traceback; seconds: what it took."""

    task: Task
    error: str = ""
    detail: str = ""
    seconds: float = 0.0


def attempt(context: Context, task: Task, store: UnitStore) -> Outcome:
    """Runs and stores one unit; whatever the plugin raises becomes the outcome's error."""
    started = time.perf_counter()
    with applied(context.tuning):
        outcome = _attempt(context, task, store)
    return replace(outcome, seconds=time.perf_counter() - started)


def _attempt(context: Context, task: Task, store: UnitStore) -> Outcome:
    try:
        with foreign():
            result = _made(context, task, store)
    except Exception as error:  # one plugin's fault must not end the run: it is recorded as a failed cell
        return Outcome(task, words(error), traceback.format_exc())
    if isinstance(result, str):
        return Outcome(task, result)
    store.save(
        task.planned.cell.id, task.chunk, result
    )  # what cannot be stored ends the run: all that follows would be lost
    return Outcome(task)


def _made(context: Context, task: Task, store: UnitStore) -> UnitResult | JudgedUnit | str:
    """The finished unit, or why there is nothing to make it from."""
    planned = task.planned
    rows = chunks(planned, len(context.samples))[task.chunk]
    if planned.source:
        unit = store.load(planned.source, task.chunk)
        if unit is None or unit.strengths is None:
            return f"the adversarials of {planned.source} are not there, as that cell failed"
        return judge_unit(context, planned, rows, unit.strengths)
    if planned.starts:
        units = [found for start in planned.starts if (found := store.load(start, task.chunk)) is not None]
        if not units:
            return "no adversarials of the bare model are there, as those cells failed"
        return run_unit(context, planned, rows, nearest_wins(units))
    return run_unit(context, planned, rows)
