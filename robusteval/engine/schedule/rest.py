"""How long what is left of a run will take, from what was foretold and how far that was off so far."""

from __future__ import annotations

from dataclasses import dataclass

_PRIOR_S = 10.0  # seconds that foretold times are trusted before they are corrected by those measured


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
