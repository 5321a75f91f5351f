"""Looking at the pages of other processes: which question is past its limit, and which process takes too much
memory."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from robusteval.cage.machine import available, resident, total
from robusteval.cage.page import HEAD, LEVEL, LEVELS, SLOT

GLANCE_S = 0.5  # between two looks
_LARGEST_STEP_S = 2 * GLANCE_S  # what is counted between two looks, at most: the machine may have slept
_OVER, _SLACK = 1.1, 200e6  # of the memory that is allowed, or so many bytes more where that is more
_RESERVE, _LARGE = 0.04, 0.25  # of the machine's memory: what has to stay free, and from what on a process is large


@dataclass(frozen=True)
class Ended:
    """Why a process has to end. process: its id; unit: the number of the unit that it is at, 0 for none; why: the rest
    of a sentence that begins with "as"; memory: it is because of its memory."""

    process: int
    unit: int
    why: str
    memory: bool = False


@dataclass(frozen=True)
class _Seen:
    mark: int
    seconds: float


class Watch:
    """Looks at the first `slots` pages of a memory; tells which process has to end. It ends nothing itself."""

    def __init__(self, memory: Any, slots: int) -> None:
        self.memory, self.slots = memory, slots
        self._view = memoryview(memory).cast("B")
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._last = time.monotonic()
        self._crowded = 0  # looks in a row that found too little memory

    def look(self, allowed: float | None = None, besides: Sequence[int] = ()) -> Ended | None:
        """The first process that has to end, if any. allowed: bytes for all of them with the processes `besides`; None:
        as the first page says, 0: as much as the machine has."""
        now = time.monotonic()
        step, self._last = min(now - self._last, _LARGEST_STEP_S), now
        heads = [HEAD.unpack_from(self._view, slot * SLOT) for slot in range(self.slots)]
        for slot, (process, changes, unit, depth, _) in enumerate(heads):
            late: Ended | None = None  # the innermost says most
            for level in range(min(depth, LEVELS) if process else 0):
                row = LEVEL.unpack_from(self._view, slot * SLOT + HEAD.size + level * LEVEL.size)
                begun, limit, silence, words = row
                mark, before = changes if silence else begun, self._seen.get((slot, level))
                seconds = before.seconds + step if before is not None and before.mark == mark else 0.0
                self._seen[slot, level] = _Seen(mark, seconds)
                if 0 < limit < seconds:
                    late = Ended(process, unit, _late(words, limit, bool(silence)))
            if late is not None:
                return late
        return self._too_large(heads, heads[0][4] if allowed is None else allowed, besides)

    def _too_large(self, heads: list[tuple[Any, ...]], allowed: float, besides: Sequence[int]) -> Ended | None:
        sizes = {head: resident(head[0]) for head in heads if head[0]}
        if not sizes:
            return None
        largest = max(sizes, key=lambda head: sizes[head])
        taken = sum(sizes.values()) + sum(resident(process) for process in besides)
        why = ""
        if allowed:
            if taken > max(_OVER * allowed, allowed + _SLACK):
                why = f"the processes took {taken / 1e9:.1f} GB together, and may take {allowed / 1e9:.1f} GB"
        elif sizes[largest] > _LARGE * total() and available() < _RESERVE * total():
            why = f"it took {sizes[largest] / 1e9:.1f} GB and left the machine without memory"
        self._crowded = self._crowded + 1 if why else 0
        return Ended(largest[0], largest[2], why, memory=True) if self._crowded > 1 else None

    def processes(self) -> list[int]:
        """The ids of all that have a page."""
        heads = [HEAD.unpack_from(self._view, slot * SLOT) for slot in range(self.slots)]
        return [head[0] for head in heads if head[0]]


def _late(words: bytes, limit: float, silence: bool) -> str:
    what = words.rstrip(b"\0").decode(errors="replace")
    return f"{what} {'stood still for' if silence else 'took'} more than {in_seconds(limit)}"


def in_seconds(limit: float) -> str:
    """A limit in words, as precise as people state one."""
    return f"{limit:.0f} s" if limit >= 10 else f"{limit:.2g} s"


def kill(process: int) -> None:
    """Ends a process whatever it is at."""
    with contextlib.suppress(OSError):
        os.kill(process, getattr(signal, "SIGKILL", signal.SIGTERM))
