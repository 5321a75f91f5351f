"""What this process is at, on a page of memory that a process beside it reads: each question with its limit, so that
one that is never answered can be ended, whoever holds Python's lock meanwhile.

A question goes on top of the ones that it is part of. Writing one costs about some microseconds. No clock is read here:
whoever watches counts for how long it has seen the same question, so a machine that slept, or a command that was
stopped and taken up again, harms nobody.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from robusteval.cage import machine

FLOOR_S = float(os.environ.get("ROBUSTEVAL_TEST_FLOOR", "60"))  # no question has less; tests set it lower
CALL_S = float(os.environ.get("ROBUSTEVAL_TEST_CALL", "3600"))  # of silence in what may train or compute for long
TIMES = 50  # what it took before that a question may take
_FIRST_ROWS = 8  # rows for which one that was never timed has the floor once more
SLOT = 2048  # bytes a process
LEVELS, WORDS = 6, 240  # questions within questions; bytes of a question's words
HEAD = struct.Struct("=qQQqd")  # process, changes so far, number of the unit at hand, depth, memory that is allowed
LEVEL = struct.Struct(f"=Qdq{WORDS}s")  # number of the change that began it, limit in seconds, 1: of silence, words
_PROCESS, _CHANGES, _UNIT, _DEPTH, _MEMORY = 0, 8, 16, 24, 32
_Q, _D = struct.Struct("=Q"), struct.Struct("=d")


class Page:
    """The part of a process in the memory, memory[slot * SLOT : (slot + 1) * SLOT]. Only the thread that opened it
    writes."""

    def __init__(self, memory: Any, slot: int) -> None:
        self.memory = memory  # it lives as long as its view
        self._view = memoryview(memory).cast("B")[slot * SLOT : (slot + 1) * SLOT]
        self._changes = self._depth = 0
        self.thread = threading.get_ident()
        HEAD.pack_into(self._view, 0, os.getpid(), 0, 0, 0, 0.0)

    def begin(self, words: str, limit: float, silence: bool) -> int:
        """Writes a question down; where it stands. -1: it was not written, as it is within too many others."""
        level = self._depth
        if level >= LEVELS:
            return -1
        self._changes += 1
        row = (self._changes, limit, silence, words.encode(errors="replace")[:WORDS])
        LEVEL.pack_into(self._view, HEAD.size + level * LEVEL.size, *row)
        self._depth = level + 1
        _Q.pack_into(self._view, _CHANGES, self._changes)
        _Q.pack_into(self._view, _DEPTH, self._depth)
        return level

    def end(self, level: int) -> None:
        """Crosses it out, with all above it."""
        self._depth = level
        self._changes += 1
        _Q.pack_into(self._view, _DEPTH, level)
        _Q.pack_into(self._view, _CHANGES, self._changes)

    def beat(self) -> None:
        """Something went on."""
        self._changes += 1
        _Q.pack_into(self._view, _CHANGES, self._changes)

    def unit(self, number: int) -> None:
        """Which of the units that were handed out this process is at."""
        _Q.pack_into(self._view, _UNIT, number)

    @property
    def allowed(self) -> float:
        """Bytes that the processes of the command may take together; 0 where nobody has said."""
        return float(_D.unpack_from(self._view, _MEMORY)[0])

    @allowed.setter
    def allowed(self, memory: float) -> None:
        _D.pack_into(self._view, _MEMORY, memory)


_open: list[Page] = []  # one, where somebody watches


def open_page(memory: Any, slot: int = 0) -> Page:
    """From now on this process writes down what it is at."""
    _open[:] = [Page(memory, slot)]
    return _open[0]


def own_page() -> Page | None:
    """The page of this process, where somebody watches it."""
    return _open[0] if _open else None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open.clear)  # what a plugin forks must not write on its parent's page


def watched() -> bool:
    """Whether a process beside this one reads what it is at."""
    return bool(_open)


def allow(memory: float) -> None:
    """The processes of this command may take so many bytes together. Nothing where nobody watches it."""
    if _open:
        _open[0].allowed = memory
        machine.allow(memory)


class Limited:
    """A context: what is done in it may take `limit` seconds; with silence: may go for so long without any question's
    beginning or end."""

    __slots__ = ("_level", "_limit", "_page", "_silence", "_words")

    def __init__(self, words: str, limit: float, silence: bool = False) -> None:
        self._words, self._limit, self._silence = words, limit, silence
        self._page: Page | None = None
        self._level = -1

    def __enter__(self) -> None:
        if _open and _open[0].thread == threading.get_ident():
            self._page = _open[0]
            self._level = self._page.begin(self._words, self._limit, self._silence)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._page is not None and self._level >= 0:
            self._page.end(self._level)


def beat() -> None:
    """Tells whoever watches that something goes on, where this process is at much that is no question: a defence that
    trains for hours calls it for every batch. Nothing where nobody watches."""
    if _open and _open[0].thread == threading.get_ident():
        _open[0].beat()


class Pace:
    """What a row costs a model, as measured so far. least: seconds, inf before the first answer."""

    __slots__ = ("least",)

    def __init__(self) -> None:
        self.least = float("inf")

    def limit(self, rows: int) -> float:
        """Seconds that a question about so many rows may take."""
        if self.least == float("inf"):
            return FLOOR_S * (1 + rows / _FIRST_ROWS)
        return max(FLOOR_S, TIMES * self.least * rows)


_paces: WeakKeyDictionary[Any, Pace] = WeakKeyDictionary()


def pace_of(model: Any) -> Pace:
    """What is known of a model; of one that cannot be a key, as a stranger's class may have it, nothing."""
    try:
        pace = _paces.get(model)
        if pace is None:
            pace = _paces[model] = Pace()
    except TypeError:
        return Pace()
    return pace


class Asking:
    """A context around a question of `rows` inputs to a stranger's model, whose answers are timed for the next limit.
    who: what answers, as in "ONNX Runtime"; model: the object that is asked."""

    __slots__ = ("_inner", "_pace", "_rows", "_since")

    def __init__(self, who: str, model: Any, rows: int) -> None:
        self._inner: Limited | None = None
        if _open:
            self._pace, self._rows, self._since = pace_of(model), max(rows, 1), 0.0
            self._inner = Limited(
                f"the answer of {who} to {'1 input' if rows == 1 else f'{rows} inputs'}", self._pace.limit(self._rows)
            )

    def __enter__(self) -> None:
        if self._inner is not None:
            self._since = time.perf_counter()
            self._inner.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._inner is not None:
            self._inner.__exit__(kind, error, traceback)
            if error is None:
                self._pace.least = min(self._pace.least, (time.perf_counter() - self._since) / self._rows)


def opening(name: str) -> Limited:
    """A context around the opening of a file: it asks many questions, and may be at none for ten times the floor."""
    return Limited(f"the opening of {name}", 10 * FLOOR_S, silence=True)


def working(words: str) -> Limited:
    """The same around a part of a command that asks a model again and again."""
    return Limited(words, 10 * FLOOR_S, silence=True)


def calling(words: str, least: float = 0.0) -> Limited:
    """A context around a call of a plugin's in the command's own process that may train or compute for hours: it may
    go on for an hour, or for `least` seconds where that is more, without any question's beginning or end and without a
    `beat`."""
    return Limited(words, max(CALL_S, least), silence=True)
