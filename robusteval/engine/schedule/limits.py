"""How long a unit may take before the process that is at it is ended, and when a time budget is over for all of them.

By default a unit may take 50 times what was foretold of it, and five times the floor of a single question at least;
where nothing was foretold, sixty times that floor. A suite may state it (`cell_timeout`). Under a time budget T what
still runs at 1.1 T, less a moment to write the record in, is ended too, and its cell counts as skipped.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robusteval.cage.page import FLOOR_S, TIMES

if TYPE_CHECKING:
    from robusteval.engine.schedule.attempt import Task
    from robusteval.engine.schedule.time_budget import Clock

_LEAST, _UNKNOWN = 5, 60  # times the floor
_OVER, _CLOSING, _CLOSING_S = 0.1, 0.05, 10.0  # of the budget; and of the first what is kept to write the record in


@dataclass(frozen=True)
class Limits:
    """seconds: what was foretold of a unit, None where nothing; stated: the suite's own limit, 0 for none; clock: of
    the time budget."""

    seconds: Callable[[Task], float | None]
    stated: float
    clock: Clock

    def of(self, task: Task) -> float:
        """Seconds that a unit may take that begins now."""
        forecast = self.seconds(task)
        usual = FLOOR_S * _UNKNOWN if forecast is None else max(FLOOR_S * _LEAST, TIMES * forecast)
        return max(min(self.stated or usual, self._left()), 1e-3)

    def is_over(self) -> bool:
        """Whether the time budget is past its end by so much that what ran was ended for it."""
        return self._left() <= 0

    def _left(self) -> float:
        budget = self.clock.budget
        if budget is None:
            return math.inf
        return self.clock.left + _OVER * budget - min(_CLOSING * budget, _CLOSING_S)
