"""An attack that takes its time, or ends its process, for executors that work elsewhere; found there as
`tests.engine.slow`."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from robusteval.api import AttackInfo, Problem, param


@dataclass(frozen=True)
class Slow:
    """Leaves a mark for each time that it begins, and returns what it was given."""

    info: ClassVar[AttackInfo] = AttackInfo("test.slow", "1", ("l2",), "minimal", "decision", "toy", "none")
    seconds: float = param(0.0, "how long it sleeps")
    marks: str = param("", "a folder")
    die: bool = param(False, "end the process")
    gate: str = param("", "a file; until it is there it waits, two minutes at most")

    def run(self, problem: Problem) -> Tensor:
        if self.marks:
            (Path(self.marks) / f"{os.getpid()}-{time.time_ns()}").touch()
        time.sleep(self.seconds)
        for _ in range(2400 if self.gate else 0):
            if Path(self.gate).exists():
                break
            time.sleep(0.05)
        if self.die:
            os._exit(17)
        return problem.x
