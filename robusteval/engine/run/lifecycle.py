"""Installed listeners, told of a run as it goes. They change nothing, and what they raise costs nothing but a line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from robusteval.cage.page import calling
from robusteval.contracts.plugins import CellFinished, RunStarted
from robusteval.engine.plan.job import Job
from robusteval.engine.plan.plan import Plan
from robusteval.engine.schedule.schedule import Listener, Progress
from robusteval.engine.state import put_back
from robusteval.foreign import foreign, words
from robusteval.record.run import Record


class _Told:
    """The listeners of one run. listener: the command's own, which comes first and hears what went wrong here."""

    def __init__(self, job: Job, listener: Listener) -> None:
        self._listener, self._last = listener, Progress(0, 0, "")
        self._errors: dict[str, str] = {}
        self._made: list[tuple[str, Any]] = []
        for entry in job.catalogue.of("listener"):
            self._call(entry.name, lambda entry=entry: self._made.append((entry.name, entry.plugin())))  # type: ignore[misc]

    def progress(self, progress: Progress) -> None:
        """A unit is done, or there is something to say."""
        self._last = progress
        self._listener(progress)
        if not progress.cell:
            return
        if progress.error:
            self._errors.setdefault(progress.cell, progress.error)
        if progress.cell_left == 0:
            self.tell("cell_finished", CellFinished(progress.cell, self._errors.get(progress.cell, "")))

    def ended(self, record: Record) -> None:
        """Each gets a copy, so that nobody changes what is rendered and returned."""
        if self._made:
            self.tell("run_finished", copy.deepcopy(record))

    def tell(self, event: str, about: object) -> None:
        """Each listener that has a method for the event is told."""
        for name, listener in self._made:
            if hasattr(listener, event):
                self._call(name, lambda listener=listener: getattr(listener, event)(about))  # type: ignore[misc]

    def _call(self, name: str, call: Callable[[], None]) -> None:
        try:
            with put_back(), foreign(), calling(f"the listener {name}"):
                call()
        except Exception as error:  # noqa: BLE001 - others' code; a run is not lost because somebody cannot listen
            note = f"The listener {name} failed: {words(error)}."
            self._listener(Progress(self._last.done, self._last.total, "", note=note))


def followed(job: Job, plan: Plan, listener: Listener, work: Callable[[Listener], Record]) -> Record:
    """Does the work, with the installed listeners told of its beginning, its cells and its end."""
    told = _Told(job, listener)
    cells = tuple(planned.cell.id for planned in (*plan.planned, *plan.probes))
    told.tell("run_started", RunStarted(str(job.folder), job.model.info.name, job.suite.name, len(job.samples), cells))
    record = work(told.progress)
    told.ended(record)
    return record
