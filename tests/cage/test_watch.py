"""Pages and those who read them: what is past its limit is told of, and nothing else."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from robusteval.cage import machine
from robusteval.cage import page as pages
from robusteval.cage import watch as watching
from robusteval.cage.page import SLOT, Asking, Limited, Pace, beat, open_page, watched, working
from robusteval.cage.watch import Watch


@pytest.fixture
def memory() -> Iterator[Any]:
    """Two pages, of which this process has the first."""
    shared = multiprocessing.get_context("spawn").RawArray("B", 2 * SLOT)
    before = pages._open[:]
    open_page(shared)
    yield shared
    pages._open[:] = before


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still until it is set; and a machine that has memory enough."""
    time = [100.0]
    monkeypatch.setattr(watching, "time", SimpleNamespace(monotonic=lambda: time[0]))
    monkeypatch.setattr(watching, "resident", lambda process: 1e8)
    monkeypatch.setattr(watching, "total", lambda: 16e9)
    monkeypatch.setattr(watching, "available", lambda: 8e9)
    return time


def looks(watch: Watch, now: list[float], count: int, allowed: float | None = None) -> list[Any]:
    """What so many looks find, half a second apart."""
    found = []
    for _ in range(count):
        now[0] += 0.5
        found.append(watch.look(allowed))
    return found


def test_a_question_past_its_limit_is_told_of_and_one_that_ended_is_not(memory: Any, now: list[float]) -> None:
    watch = Watch(memory, 2)
    with Limited("the answer to 3 inputs", 2.0):
        assert looks(watch, now, 5) == [None] * 5
        (found,) = looks(watch, now, 1)
    assert (found.process, found.unit, found.memory) == (os.getpid(), 0, False)
    assert found.why == "the answer to 3 inputs took more than 2 s"
    assert looks(watch, now, 5) == [None] * 5
    for _ in range(5):  # each has its own time
        with Limited("a short one", 2.0):
            assert looks(watch, now, 3) == [None] * 3


def test_a_question_within_another_is_looked_at_and_the_outer_one_goes_on(memory: Any, now: list[float]) -> None:
    watch = Watch(memory, 1)
    with Limited("outer", 5.0):
        for _ in range(3):
            with Limited("inner", 2.0):
                assert looks(watch, now, 2) == [None] * 2
        with Limited("inner", 1.0):
            assert [found and found.why for found in looks(watch, now, 4)][-1] == "inner took more than 1 s"
        assert [found and found.why for found in looks(watch, now, 2)][-1] == "outer took more than 5 s"


def test_where_silence_is_limited_every_question_counts_as_a_sign_of_life(memory: Any, now: list[float]) -> None:
    watch = Watch(memory, 1)
    assert watch.look() is None
    with working("the opening of a.onnx") as _:
        limit = 10 * pages.FLOOR_S
        for _ in range(4):
            now[0] += 1
            for _ in range(int(limit)):
                assert watch.look() is None
                now[0] += 0.5
            beat()
        assert (
            looks(watch, now, int(2 * limit) + 3)[-1].why
            == f"the opening of a.onnx stood still for more than {limit:.0f} s"
        )


def test_time_that_nobody_saw_pass_is_not_counted(memory: Any, now: list[float]) -> None:
    watch = Watch(memory, 1)
    with Limited("the answer", 60.0):
        assert looks(watch, now, 2) == [None, None]
        now[0] += 36_000  # the machine slept, or the command was stopped
        assert looks(watch, now, 100) == [None] * 100


def test_questions_within_too_many_others_and_of_other_threads_are_left_out(memory: Any, now: list[float]) -> None:
    watch = Watch(memory, 1)
    levels = [Limited(f"level {number}", 1e9) for number in range(pages.LEVELS)]
    for level in levels:
        level.__enter__()
    with Limited("one too many", 1.0):
        assert looks(watch, now, 10) == [None] * 10
    levels[0].__exit__(None, None, None)  # with all above it
    with Limited("as before", 1.0):
        assert looks(watch, now, 5)[-1].why == "as before took more than 1 s"

    def elsewhere() -> None:
        with Limited("of another thread", 1.0):
            assert looks(watch, now, 10) == [None] * 10

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()


def test_without_a_page_nothing_is_written() -> None:
    before = pages._open[:]
    pages._open.clear()
    try:
        assert not watched()
        with Limited("nobody looks", 1.0), Asking("the model", object(), 3):
            beat()
    finally:
        pages._open[:] = before


class Model:
    """Something that is asked."""


def test_a_model_that_cannot_be_remembered_is_asked_all_the_same(memory: Any) -> None:
    for _ in range(2):
        with Asking("the model", [], 1):
            beat()
    assert pages.pace_of([]).least == float("inf")


def test_the_limit_follows_what_a_row_took(monkeypatch: pytest.MonkeyPatch, memory: Any) -> None:
    pace = Pace()
    assert pace.limit(8) == 2 * pages.FLOOR_S
    pace.least = 0.01
    assert (pace.limit(1), pace.limit(1000)) == (pages.FLOOR_S, 500.0)
    time = [0.0]
    monkeypatch.setattr(pages, "time", SimpleNamespace(perf_counter=lambda: time[0]))
    model = Model()
    for rows, seconds in ((10, 40.0), (10, 20.0), (1, 3.0)):
        with Asking("the model", model, rows):
            time[0] += seconds
    assert pages._paces[model].least == 2.0
    with pytest.raises(ValueError, match="no"), Asking("the model", model, 1000):
        raise ValueError("no")
    assert pages._paces[model].least == 2.0  # a question that failed says nothing of what an answer takes


def test_memory_past_what_is_allowed_ends_the_largest_after_two_looks(
    memory: Any, now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {os.getpid(): 1.0e9}
    monkeypatch.setattr(watching, "resident", lambda process: sizes[process])
    watch = Watch(memory, 2)
    assert looks(watch, now, 3, 1e9) == [None] * 3
    sizes[os.getpid()] = 1.19e9  # a tenth, and two hundred megabytes where that is more
    assert looks(watch, now, 3, 1e9) == [None] * 3
    sizes[os.getpid()] = 1.21e9
    first, second = looks(watch, now, 2, 1e9)
    assert first is None
    assert second.memory
    assert second.why == "the processes took 1.2 GB together, and may take 1.0 GB"
    assert looks(watch, now, 3, 0) == [None] * 3
    monkeypatch.setattr(watching, "available", lambda: 0.3e9)
    assert looks(watch, now, 3, 0) == [None] * 3  # somebody else's fault
    sizes[os.getpid()] = 5e9
    assert looks(watch, now, 2, 0)[-1].why == "it took 5.0 GB and left the machine without memory"


def test_what_is_allowed_stands_on_the_page(memory: Any, now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "allow", lambda size: None)
    monkeypatch.setattr(watching, "resident", lambda process: 3e9)
    watch = Watch(memory, 2)
    assert looks(watch, now, 3) == [None] * 3
    pages.allow(2e9)
    assert "may take 2.0 GB" in looks(watch, now, 2)[-1].why
