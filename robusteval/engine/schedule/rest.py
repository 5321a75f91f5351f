"""How long a run will take, in words, and what is left of it: from what was foretold and how far that was off."""

from __future__ import annotations

import math
from dataclasses import dataclass

_PRIOR_S = 10.0  # seconds that foretold times are trusted before they are corrected by those measured


_BUSY = 1.2  # seconds for a CPU second from which on the machine is said to have other work


@dataclass(frozen=True)
class Around:
    """CPU seconds before the first unit and after the last: the start of a worker process, and the record with its
    page, which are most of a small run."""

    start: float = 0.0
    end: float = 0.0


NOTHING = Around()
_START_S, _END_S = 2.5, 2.5  # importing what a worker needs, and what draws the page; as measured


def around(processes: bool) -> Around:
    """Of a run, with worker processes or without."""
    return Around(_START_S if processes else 0.0, _END_S)


@dataclass(frozen=True)
class Forecast:
    """What is to come. passes: forward and backward ones of attacks, probes and tests; seconds: CPU time of the
    attacks; longest: of the longest unit; unknown: cells whose attacks do not say what they cost; load: see
    `pass_timing.contention`; cores: that this process may use, 0 where as many as there are workers; around: what is
    spent whatever the attacks take."""

    passes: float
    seconds: float
    serial: float  # seconds of what one process does at the end, whatever the workers
    longest: float
    cells: int
    unknown: int
    load: float = 1.0
    cores: int = 0
    around: Around = NOTHING

    def wall(self, workers: int) -> float:
        """About how long it takes with so many workers, in seconds by the clock."""
        workers = max(workers, 1)
        spent = max(self.seconds / workers, self.longest) + self.around.start
        return spent * self.slower(workers) + (self.serial + self.around.end) * self.load

    def slower(self, workers: int) -> float:
        """By the clock, seconds for a CPU second of each of so many workers, which share the cores with each other and
        with what else runs here."""
        if not self.cores:
            return self.load
        others = max(self.load * self.cores - 1, 0.0) if self.load > _BUSY else 0.0
        return max(1.0, (others + workers) / self.cores)

    def sentence(self, workers: int) -> str:
        """For the terminal: passes, time, and what they rest on."""
        if self.cells == 0:
            return "Nothing is left to attack."
        who = "1 worker" if workers == 1 else f"{workers} workers"
        each = 1e3 * (self.seconds + self.serial) / max(self.passes, 1)
        busy = f", where a CPU second takes {self.load:.1f} s just now" if self.load > _BUSY else ""
        text = (
            f"About {rounded(self.passes)} passes, roughly {duration(self.wall(workers))} on this machine{busy} with "
            f"{who} (foretold from {each:.2g} ms a pass; attacks stop early where samples fall)."
        )
        if self.unknown:
            count = "1 cell is" if self.unknown == 1 else f"{self.unknown} cells are"
            text += f" {count} not foretold: the attacks do not say what they cost."
        return text


def rounded(number: float) -> str:
    """Three significant digits, with commas."""
    if number < 1:
        return "0"
    unit = 10 ** max(0, math.floor(math.log10(number)) - 2)
    return f"{round(number / unit) * unit:,.0f}"


def duration(seconds: float) -> str:
    """A time in words, as coarse as it is known."""
    if seconds < 10:
        return f"{max(1, round(seconds))} s"
    if seconds < 55:
        return f"{5 * round(seconds / 5)} s"
    if seconds < 90:
        return "a minute"
    if seconds < 5400:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"


@dataclass
class Rest:
    """How long what is left will take. coming: CPU seconds of each unit, None where its attack does not say; tests: of
    what one process does at the end; slower: seconds by the clock for a CPU second, as foretold."""

    coming: list[float | None]
    tests: float
    workers: int
    slower: float
    forecast: float = 0.0  # of the units that ended
    took: float = 0.0

    def learn(self, forecast: float | None, took: float) -> None:
        """Takes in that a unit ended."""
        if forecast in self.coming:
            self.coming.remove(forecast)
        if forecast is not None:
            self.forecast, self.took = self.forecast + forecast, self.took + took

    def seconds(self) -> float | None:
        """By the clock; None while nothing is known of a unit that is left. What was foretold counts like ten seconds
        measured, so that the first unit does not decide alone."""
        known = [forecast for forecast in self.coming if forecast is not None]
        if len(known) < len(self.coming) and not known:
            return None
        factor = (self.took + _PRIOR_S * self.slower) / (self.forecast + _PRIOR_S)
        mean = sum(known) / len(known) if known else 0.0
        units = sum(known) + mean * (len(self.coming) - len(known))
        return factor * (units / max(min(self.workers, len(self.coming)), 1) + self.tests)
