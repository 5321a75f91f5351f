"""`--time-budget`: what is run first, and when nothing more is started.

The order, told in docs/read-a-report.md too: (0) on the bare model the strongest attack of each norm; (1) cascades on
the bare model; (2) on each defence the strongest adaptive attack of each norm; (3) the other attacks on the bare model
and (4) the other adaptive ones, first those to which the suite gives a priority, then the cheapest; (5) probes.
Strongest is the attack with the lowest `priority` in the suite; among equals the one that needs the most access, and
among those the first. An attack without a priority is not begun where neither the strongest nor one with a priority
was: alone it would claim too much. Oblivious cells, which judge what these found, and the tests of the evaluation come
last; up to 30 % of the time is kept for them.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.schedule.executors import Outcome, Task
from robusteval.engine.suite.suite import PRIORITY, Suite

RESERVE = 0.3  # share of the budget that is kept, at most, for what comes after the attacks
_PRIOR_S = 1.0  # seconds that foretold times are trusted before they are corrected by those measured
_ACCESS = ("gradient", "scores", "decision")

Seconds = Callable[[Task], float | None]


@dataclass
class Clock:
    """How much time is left, and by how much foretold times were off so far. budget: seconds, None for no end."""

    budget: float | None = None
    started: float = field(default_factory=lambda: time.monotonic())  # noqa: PLW0108 - the clock of now
    forecast: float = 0.0
    took: float = 0.0

    @property
    def left(self) -> float:
        """Seconds; inf without a budget."""
        return math.inf if self.budget is None else self.budget - (time.monotonic() - self.started)

    @property
    def factor(self) -> float:
        """Measured over foretold seconds."""
        return (self.took + _PRIOR_S) / (self.forecast + _PRIOR_S)

    def learn(self, forecast: float, took: float) -> None:
        """Takes in what a unit took."""
        self.forecast, self.took = self.forecast + forecast, self.took + took

    def fits(self, seconds: float, keep: float = 0.0) -> bool:
        """Whether what was foretold to take so long can be done in what is left, but for `keep` seconds."""
        return self.left > 0 and self.left - keep >= seconds * self.factor

    def keeps(self, seconds: float) -> float:
        """Of so many seconds to come later, how many are kept for them."""
        return 0.0 if self.budget is None else min(seconds * self.factor, RESERVE * self.budget)


@dataclass(frozen=True)
class Roles:
    """What cells are to each other. group: by cell, the pipeline and the norm; first: the strongest of each group;
    leads: they, and those to which the suite gives a priority. Cascades, and what judges others, have no role."""

    group: dict[str, tuple[str, str]]
    first: frozenset[str]
    leads: frozenset[str]


def roles_of(plan: Plan, suite: Suite) -> Roles:
    """The roles of a plan's cells."""
    priorities = _priorities(suite)
    groups: dict[tuple[str, str], list[Planned]] = defaultdict(list)
    for planned in plan.planned:
        if not (planned.source or planned.starts or planned.members):
            groups[planned.cell.defense, planned.cell.norm].append(planned)

    def strength(planned: Planned) -> tuple[int, int]:
        return priorities.get(planned.cell.attack, PRIORITY), _ACCESS.index(planned.cell.needs)

    first = frozenset(min(group, key=strength).cell.id for group in groups.values())
    known = {planned.cell.id: (key, strength(planned)[0]) for key, group in groups.items() for planned in group}
    leads = first | {cell for cell, (_, priority) in known.items() if priority < PRIORITY}
    return Roles({cell: key for cell, (key, _) in known.items()}, first, frozenset(leads))


@dataclass
class Gate:
    """Says of each unit, just before it would start, whether it may. A cell is begun only where all that is left of it
    fits; a unit of a cell that was begun needs to fit itself. What runs is stopped only past the budget (`limits`)."""

    clock: Clock
    seconds: Seconds
    workers: int
    keep: float = 0.0
    skipped: set[str] = field(default_factory=set)
    roles: Roles | None = None
    led: set[str] = field(default_factory=set)  # leads that were begun or are done
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
        if not self._is_led(cell):
            self.skipped.add(cell)
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
            self.led.add(cell)
        else:
            self.skipped.add(cell)
            self.led.discard(cell)
        return fits

    def _is_led(self, cell: str) -> bool:
        if self.roles is None or cell in self.roles.leads or cell not in self.roles.group:
            return True
        group = self.roles.group[cell]
        return any(self.roles.group[lead] == group for lead in self.led & self.roles.leads)

    def learn(self, outcome: Outcome) -> None:
        """Takes in what a finished unit took."""
        if not outcome.error:
            self._known[outcome.task.planned.cell.id].append(outcome.seconds)
            forecast = self.seconds(outcome.task)
            if forecast is not None:
                self.clock.learn(forecast, outcome.seconds)


def informative_first(tasks: list[Task], plan: Plan, suite: Suite, seconds: Seconds) -> list[Task]:
    """Units in the order of the rule above; those of one cell together."""
    roles = roles_of(plan, suite)
    probes = {planned.cell.id for planned in plan.probes}
    priorities = _priorities(suite)
    place = {planned.cell.id: number for number, planned in enumerate((*plan.planned, *plan.probes))}
    total: dict[str, float] = defaultdict(float)
    for task in tasks:
        total[task.planned.cell.id] += seconds(task) or 0.0

    def order(task: Task) -> tuple[int, bool, float, int, int]:
        cell = task.planned.cell
        bare, first, follows = cell.defense == "none", cell.id in roles.first, cell.id not in roles.leads
        stage, cost = (3 if bare else 4), total[cell.id]
        if cell.id in probes:
            stage, follows = 5, False
        elif first:
            stage, cost = (0 if bare else 2), 0.0
        elif bare and cell.family == "cascade":
            stage, cost = 1, priorities.get(cell.plugin, PRIORITY)
        return stage, follows, cost, place[cell.id], task.chunk

    return sorted(tasks, key=order)


def _priorities(suite: Suite) -> dict[str, int]:
    return {row.name: row.priority for row in suite.attacks} | {row.name: row.priority for row in suite.cascades}
