"""A pool's worker processes, each with a page that says what it is at; one that is past a limit is ended, and known."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from multiprocessing.context import SpawnContext
from typing import Any

from robusteval.cage.page import SLOT, beat, open_page, own_page
from robusteval.cage.watch import GLANCE_S, Watch, in_seconds, kill
from robusteval.contracts.executors.executor import ENDED, Unit


@dataclass(frozen=True)
class Seats:
    """Travels to each worker: the pages, and how many are taken."""

    memory: Any
    taken: Any


def seat(seats: Seats) -> None:
    """In a worker: takes the next page."""
    with seats.taken.get_lock():
        number = seats.taken.value
        seats.taken.value += 1
    open_page(seats.memory, number)


class Watched:
    """The pages of a pool. culprits: why workers were ended, by the id of the unit that each was at."""

    def __init__(self, spawn: SpawnContext, workers: int) -> None:
        self.seats = Seats(spawn.RawArray("B", SLOT * workers), spawn.Value("i", 0))
        self.culprits: dict[str, str] = {}
        self._watch = Watch(self.seats.memory, workers)
        self._units: list[tuple[Unit | None, float]] = [(None, 0.0)]  # with the time of day; number 0 is none
        self._looked = time.monotonic()

    def number(self, unit: Unit) -> int:
        """By which a worker's page names a unit that is handed out now."""
        self._units.append((unit, time.monotonic()))
        return len(self._units) - 1

    def ended(self, running: Collection[Future[Any]]) -> set[Future[Any]]:
        """Those that are done, after a glance of time at most; nothing where none is. Ends what is past its limit."""
        if not running:
            return set()
        done = wait(running, GLANCE_S, return_when=FIRST_COMPLETED).done
        beat()
        if not self.culprits and time.monotonic() - self._looked >= GLANCE_S:
            self._looked = time.monotonic()
            self._look()
        return done

    def _look(self) -> None:
        page = own_page()
        ended = self._watch.look(page.allowed if page is not None else 0.0, [os.getpid()])
        if ended is None:
            return
        unit, _ = self._units[ended.unit]
        self.culprits["" if unit is None else unit.id] = f"{ENDED}{ended.why}"
        for process in self._watch.processes():  # the others are lost with the pool, and may heed no gentler signal
            kill(process)

    def guilty(self, under_way: list[Unit]) -> list[Unit]:
        """Those of the units that were ended, and those that were about to be, as several are when a time budget is
        over."""
        now = time.monotonic()
        begun = {unit.id: since for unit, since in self._units if unit is not None}
        for unit in under_way if self.culprits else ():
            if now - begun[unit.id] > unit.limit - 2 * GLANCE_S:
                self.culprits.setdefault(unit.id, f"{ENDED}a unit of it took more than {in_seconds(unit.limit)}")
        return [unit for unit in under_way if unit.id in self.culprits]
