"""Executors of strangers: one that keeps its promises, and some that do not."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, ClassVar

from robusteval.api import CannotStartError, Done, ExecutorInfo, PluginError, Unit, Work, param, unpacked


@dataclass(frozen=True)
class Carrier:
    """Packs and unpacks in this process, three units at a time, the last of them first."""

    info: ClassVar[ExecutorInfo] = ExecutorInfo("test.carrier", "1", "toy")
    address: str = param("", "where")
    how: str = param("", "what it does")

    def start(self, workers: int) -> int:
        if self.how == "no start":
            raise PluginError("Nobody answers.", "Ask somebody else.")
        if self.how == "odd start":
            raise OSError("odd")
        return workers

    def stop(self) -> None:
        if self.how == "odd stop":
            raise OSError("odd")

    def perform(self, work: Work) -> Iterator[Any]:
        if self.how == "cannot":
            raise CannotStartError("there is nobody")
        worker = unpacked(work.packed())
        count = 0
        while several := [*islice(work.units(), 3)]:
            for unit in reversed(several):
                yield from self.bent(worker.attempt(unit.pack()), unit, count)
                count += 1
            if self.how == "stops":
                return

    def bent(self, done: Done, unit: Unit, count: int) -> list[Any]:
        """What comes of an answer on the way."""
        if count != 4:
            return [done]
        made: dict[str, list[Any]] = {
            "silent": [],
            "twice": [done, done],
            "nobody's": [replace(done, unit="none/x/l2#0")],
            "a dictionary": [{"unit": unit.id}],
            "none at all": [object()],
            "text": [replace(done, content="text")],  # type: ignore[arg-type]
            "nan": [replace(done, seconds=float("nan"))],
            "number": [replace(done, error=5)],  # type: ignore[arg-type]
            "flipped": [replace(done, content=done.content[:-1] + b"0")],
            "half": [replace(done, content=done.content[:100])],
            "nothing": [replace(done, content=b"")],
            "another": [replace(done, content=Carrier.kept or done.content)],
            "dead": [replace(done, died=True)],
            "far": [replace(done, machine="a faster one")],
        }
        if self.how == "raises":
            raise ValueError("broken")
        if self.how == "exits":
            raise SystemExit(0)
        if self.how == "interrupts":
            raise KeyboardInterrupt
        if self.how == "ctrl-c":
            os.kill(os.getpid(), signal.SIGINT)
        return made.get(self.how, [done])

    kept: ClassVar[bytes] = b""
