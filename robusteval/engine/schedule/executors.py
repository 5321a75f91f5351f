"""Hands units to an executor, checks what comes back as if a stranger had sent it, and stores it. The numbers are the
same wherever units are made.

Every unit runs on one thread (results must not depend on the number of threads, and two OpenMP pools on a loaded
machine can be a hundred times slower), and fails alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from robusteval.contracts.executors.executor import DIED, CannotStartError, Done, Executor, Unit, packed, unusable
from robusteval.contracts.params import make, params_schema
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.schedule.attempt import Hands, Outcome, Task, attempt, piece, seen_by
from robusteval.engine.schedule.limits import Limits
from robusteval.engine.schedule.local import Processes, Serial, travels
from robusteval.engine.threads import one_thread
from robusteval.engine.units.checked import fault
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.store import UnitStore
from robusteval.errors import PluginError, RobustEvalError
from robusteval.foreign import foreign, words
from robusteval.text import as_name, as_sentence, block

__all__ = ["Admit", "Listener", "Outcome", "Task", "attempt", "execute"]

Listener = Callable[[Outcome], None]
Admit = Callable[[Task], bool]


def execute(
    context: Context,
    tasks: Sequence[Task],
    store: UnitStore,
    workers: int,
    listener: Listener,
    admit: Admit,
    limits: Limits,
    apart: bool = False,
    executor: Executor | None = None,
) -> str:
    """Runs the tasks in order, on the executor, and tells the listener of each as it ends; without one in this process
    where workers is 1, unless apart. admit is asked just before a task would start; one that it turns down is left out.

    Returns why no process could be started, so that all ran in this one; else nothing. Raises RecordError where a unit
    cannot be stored, and PluginError where the executor that the user named cannot be used.
    """
    work = _Work(Hands(context, store.plan), store, workers, listener, admit, iter(tasks), limits)
    if executor is not None and not isinstance(executor, Serial | Processes):
        work.carry = True
        _foreign(executor, work)
        return ""
    reason = ""
    local = executor or (Processes() if apart or (workers > 1 and len(tasks) > 1) else Serial())
    if tasks and isinstance(local, Processes):
        try:
            work.taken_from(local)
        except CannotStartError as error:
            reason = str(error)
        else:
            return ""
    with one_thread():
        work.taken_from(Serial())
    return reason


def executor_of(said: str, address: str, catalogue: Catalogue) -> Executor | None:
    """The executor that a user names, with its parameters after a colon ("ray:gpus=1,memory=8"); None where none is
    named.

    Raises PluginError and SuiteError with one clear sentence.
    """
    name, _, rest = said.partition(":")
    if not name:
        if address:
            raise PluginError("--address says where an executor is, and none is named.", "Add --executor ray.")
        return None
    plugin = catalogue.get("executor", name)
    params: dict[str, Any] = {}
    for item in filter(None, rest.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise PluginError(f"{item[:40]!r} is no parameter of {name}.", f"Write {name}:NAME=VALUE,NAME=VALUE.")
        params[key.strip()] = _value(value.strip())
    if address:
        if "address" not in params_schema(plugin)["properties"]:
            raise PluginError(f"The executor {name} has no address.", "Leave --address out.")
        params["address"] = address
    made: Executor = make(plugin, params, name)
    return made


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _foreign(executor: Executor, work: _Work) -> None:
    """The same for code of others, which may raise anything and answer anything."""
    name = executor.info.name
    try:
        work.taken_from(executor)
    except CannotStartError as error:
        raise unusable(name, str(error)) from None


@dataclass
class _Work:
    """The units of one call, as an executor sees them; and what becomes of its answers."""

    hands: Hands
    store: UnitStore
    workers: int
    listener: Listener
    admit: Admit
    left: Iterator[Task]
    limits: Limits
    carry: bool = False  # units bring their samples along, as their workers may be on machines that have not the data
    out: dict[str, Task] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)  # cells that end the process they run in

    def __post_init__(self) -> None:
        self._units = self._handed_out()

    def units(self) -> Iterator[Unit]:
        """See contracts.executors.executor.Work."""
        return self._units

    def _handed_out(self) -> Iterator[Unit]:
        for task in self.left:
            if task.planned.cell.id in self.dead:
                self.listener(Outcome(task, DIED))
            elif self.admit(task):
                self.out[task.id] = task
                limit = self.limits.of(task)
                yield Unit(task.id, functools.partial(self._packed_unit, task, limit), limit)

    def _packed_unit(self, task: Task, limit: float) -> bytes:
        window = self.hands.window(task) if self.carry else None
        return piece(task, seen_by(task, self.store), window, limit)

    def attempt(self, unit: Unit) -> Done:
        """See contracts.executors.executor.Work."""
        task = self.out[unit.id]
        return attempt(self.hands, task, seen_by(task, self.store), unit.limit)

    def packed(self) -> bytes:
        """See contracts.executors.executor.Work."""
        content = packed(self.hands.without_data() if self.carry else self.hands)
        travels(content)
        return content

    def taken_from(self, executor: Executor) -> None:
        """Takes the executor's answers until there are no more; what it never answered has failed."""
        name = executor.info.name
        with contextlib.closing(_answers(executor, self)) as answers:
            for done in answers:
                self._take(done, name)
        for task in [*self.out.values()]:
            self._end(task, Outcome(task, f"the executor {name} ended without an answer for it"))
        for unit in self._units:
            task = self.out[unit.id]
            self._end(task, Outcome(task, f"the executor {name} ended without trying it"))

    def _take(self, done: object, name: str) -> None:
        """Checks and stores one answer. Raises PluginError where it is none, or none that was asked for, and DataError
        where the data cannot be read any more, or are others than they were."""
        if not _is_answer(done) or done.unit not in self.out:
            raise PluginError(
                f"The executor {name} gave an answer that nobody asked for.",
                "What was finished is kept: the same command goes on from there.",
            )
        task = self.out[done.unit]
        if done.died and self.limits.is_over():
            self._end(task, Outcome(task, skipped=True))
            return
        if done.died:
            self.dead.add(task.planned.cell.id)
        error = as_sentence(done.error) or (DIED if done.died else "")
        if error:
            self.hands.window(task)  # where the data are at fault, that ends the run, and not this cell alone
        if not error:
            reason = fault(self.hands.context, task.planned, task.chunk, self.store.plan, done.content)
            if reason:
                error = f"what the executor {name} brought back {reason}"
            else:
                self.store.put(task.planned.cell.id, task.chunk, done.content)
        detail = block(done.detail, 100_000)
        self._end(task, Outcome(task, error, detail, done.seconds, machine=as_name(done.machine)))

    def _end(self, task: Task, outcome: Outcome) -> None:
        del self.out[task.id]
        self.listener(outcome)


def _answers(executor: Executor, work: _Work) -> Generator[object, None, None]:
    """What an executor yields. Whatever a stranger's raises is a PluginError, but for RobustEvalError, CannotStartError
    and the user's own Ctrl-C."""
    if isinstance(executor, Serial | Processes):
        yield from executor.perform(work)
        return
    given: Any = None
    try:
        while True:
            with foreign():
                given = iter(executor.perform(work)) if given is None else given
                done = next(given, None)
            if done is None:
                return
            yield done
    except (RobustEvalError, CannotStartError):
        raise
    except Exception as error:
        raise PluginError(
            f"The executor {executor.info.name} failed: {words(error)}.",
            "What was finished is kept: the same command goes on from there.",
        ) from error
    finally:
        with contextlib.suppress(Exception), foreign():
            if hasattr(given, "close"):
                given.close()


def _is_answer(done: object) -> TypeGuard[Done]:
    """Whether it is a Done of plain values."""
    if not isinstance(done, Done) or not isinstance(done.seconds, int | float) or not isinstance(done.died, bool):
        return False
    texts = all(isinstance(item, str) for item in (done.unit, done.error, done.detail, done.machine))
    return texts and isinstance(done.content, bytes) and math.isfinite(done.seconds) and done.seconds >= 0
