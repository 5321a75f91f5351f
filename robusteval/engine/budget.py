"""`--time-budget`: what is run first, and when nothing more is started.

The order, told in docs/read-a-report.md too: (0) on the bare model the strongest attack of each norm; (1) cascades on the bare
model; (2) on each defence the strongest adaptive attack of each norm; (3) the other attacks on the bare model and (4) the
other adaptive ones, each time the cheapest first; (5) probes. Strongest is the attack with the lowest `priority` in the
suite; among equals the one that needs the most access, and among those the first. Oblivious cells, which judge what these
found, and the tests of the evaluation come last; up to 30 % of the time is kept for them.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from robusteval.engine.executors import Outcome, Task
from robusteval.engine.plan import Plan, Planned
from robusteval.engine.suite import PRIORITY, Suite

RESERVE = 0.3  # share of the budget that is kept, at most, for what comes after the attacks
_PRIOR_S = 1.0  # seconds that foretold times are trusted before they are corrected by those measured
_ACCESS = ("gradient", "scores", "decision")

Seconds = Callable[[Task], float | None]


@dataclass
class Clock:
    """How much time is left, and by how much foretold times were off so far. budget: seconds, None for no end."""

    budget: float | None = None
    started: float = field(default_factory=lambda: time.monotonic())
    foretold: float = 0.0
    took: float = 0.0

    @property
    def left(self) -> float:
        """Seconds; inf without a budget."""
        return math.inf if self.budget is None else self.budget - (time.monotonic() - self.started)

    @property
    def factor(self) -> float:
        """Measured over foretold seconds."""
        return (self.took + _PRIOR_S) / (self.foretold + _PRIOR_S)

    def learn(self, foretold: float, took: float) -> None:
        """Takes in what a unit took."""
        self.foretold, self.took = self.foretold + foretold, self.took + took

    def fits(self, seconds: float, keep: float = 0.0) -> bool:
        """Whether what was foretold to take so long can be done in what is left, but for `keep` seconds."""
        return self.left > 0 and self.left - keep >= seconds * self.factor

    def keeps(self, seconds: float) -> float:
        """Of so many seconds to come later, how many are kept for them."""
        return 0.0 if self.budget is None else min(seconds * self.factor, RESERVE * self.budget)


@dataclass
class Gate:
    """Says of each unit, just before it would start, whether it may. A cell is begun only where all that is left of it
    fits; a unit of a cell that was begun needs to fit itself. Nothing that runs is ever stopped."""

    clock: Clock
    seconds: Seconds
    workers: int
    keep: float = 0.0
    skipped: set[str] = field(default_factory=set)
    _known: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # what units of a cell took
    _left: dict[str, int] = field(default_factory=dict)
    _begun: set[str] = field(default_factory=set)

    def expected(self, tasks: list[Task]) -> list[Task]:
        """The tasks; told of all of them before the first is asked about."""
        for task in tasks:
            cell = task.planned.cell.id
            self._left[cell] = self._left.get(cell, 0) + 1
        return tasks

    def __call__(self, task: Task) -> bool:
        cell = task.planned.cell.id
        if self.clock.budget is None:
            return True
        if cell in self.skipped:
            return False
        rounds = 1 if cell in self._begun else math.ceil(self._left[cell] / max(self.workers, 1))
        measured = self._known.get(cell)
        if measured:
            fits = self.clock.left - self.keep >= rounds * sum(measured) / len(measured)
        else:
            fits = self.clock.fits(rounds * (self.seconds(task) or 0.0), self.keep)
        if fits:
            self._begun.add(cell)
            self._left[cell] -= 1
        else:
            self.skipped.add(cell)
        return fits

    def learn(self, outcome: Outcome) -> None:
        """Takes in what a finished unit took."""
        if not outcome.error:
            self._known[outcome.task.planned.cell.id].append(outcome.seconds)
            foretold = self.seconds(outcome.task)
            if foretold is not None:
                self.clock.learn(foretold, outcome.seconds)


def telling_first(tasks: list[Task], plan: Plan, suite: Suite, seconds: Seconds) -> list[Task]:
    """Units in the order of the rule above; those of one cell together."""
    ranks = _ranks(plan, suite)
    probes = {planned.cell.id for planned in plan.probes}
    priorities = _priorities(suite)
    place = {planned.cell.id: number for number, planned in enumerate((*plan.planned, *plan.probes))}
    total: dict[str, float] = defaultdict(float)
    for task in tasks:
        total[task.planned.cell.id] += seconds(task) or 0.0

    def order(task: Task) -> tuple[int, float, int, int]:
        cell = task.planned.cell
        first = ranks.get(cell.id) == 0
        if cell.id in probes:
            return 5, total[cell.id], place[cell.id], task.chunk
        if cell.defense == "none":
            if first:
                return 0, 0.0, place[cell.id], task.chunk
            if cell.family == "cascade":
                return 1, priorities.get(cell.plugin, PRIORITY), place[cell.id], task.chunk
            return 3, total[cell.id], place[cell.id], task.chunk
        return (2, 0.0, place[cell.id], task.chunk) if first else (4, total[cell.id], place[cell.id], task.chunk)

    return sorted(tasks, key=order)


def _priorities(suite: Suite) -> dict[str, int]:
    return {row.name: row.priority for row in suite.attacks} | {row.name: row.priority for row in suite.cascades}


def _ranks(plan: Plan, suite: Suite) -> dict[str, int]:
    """By cell, its place among the attacks on one pipeline in one norm, the strongest 0; cascades have none."""
    priorities = _priorities(suite)
    groups: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for planned in plan.planned:
        if not (planned.source or planned.starts or planned.members):
            groups[planned.cell.defense, planned.cell.norm].append(planned)

    def strength(planned: Planned) -> tuple[int, int]:
        return priorities.get(planned.cell.attack, PRIORITY), _ACCESS.index(planned.cell.needs)

    return {
        planned.cell.id: rank for group in groups.values() for rank, planned in enumerate(sorted(group, key=strength))
    }
