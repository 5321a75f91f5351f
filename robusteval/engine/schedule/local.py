"""Units on this machine: in this process, or in worker processes: fresh ones, as a fork would copy torch's and ONNX
Runtime's threads half. One that dies, by whatever means, fails the cell that it was working on and no other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from multiprocessing.util import Finalize
from pathlib import Path
from types import FrameType
from typing import ClassVar

import torch

from robusteval.cage.children import main_hidden
from robusteval.cage.page import opening, own_page
from robusteval.cage.refusals import refuse_network, refuse_writing
from robusteval.contracts.executors.executor import (
    DIED,
    CannotStartError,
    Done,
    Executor,
    ExecutorInfo,
    Unit,
    Work,
    Worker,
    unpacked,
)
from robusteval.engine.schedule.watched import Seats, Watched, seat
from robusteval.engine.state import put_back
from robusteval.foreign import CtrlC, words
from robusteval.hooks import hookimpl
from robusteval.text import Gated


@dataclass(frozen=True)
class Serial:
    """One unit after the other, in the process of the run."""

    info: ClassVar[ExecutorInfo] = ExecutorInfo("serial", "1", "One unit after the other, in the process of the run.")

    def start(self, workers: int) -> int:  # noqa: ARG002 - as the contract has it
        """One, whatever was asked."""
        return 1

    def perform(self, work: Work) -> Iterator[Done]:
        """See contracts.executors.executor.Executor."""
        for unit in work.units():
            yield work.attempt(unit)

    def stop(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Processes:
    """Fresh processes on this machine."""

    info: ClassVar[ExecutorInfo] = ExecutorInfo(
        "processes", "1", "Worker processes on this machine; one that dies fails the cell that it was working on."
    )

    def start(self, workers: int) -> int:
        """As many as asked."""
        return workers

    def perform(self, work: Work) -> Iterator[Done]:
        """Raises CannotStartError where no process could begin, so that nothing was run."""
        payload = work.packed()
        left = _Left(work.units())
        suspects = yield from _pool(payload, left, work.workers)
        while suspects or left.more():
            # a worker died and took the pool with it: each unit that was under way runs once more, in a pool of its own
            for unit in suspects:
                if (yield from _alone(payload, unit)):
                    yield Done(unit.id, error=DIED, died=True)
            try:
                suspects = (yield from _pool(payload, left, work.workers)) if left.more() else []
            except CannotStartError as error:
                # where one died already, nothing that is left is tried in this process, which would go with it
                while (rest := left.next()) is not None:
                    yield Done(rest.id, error=str(error))
                return

    def stop(self) -> None:
        """Pools end with their work."""


@hookimpl
def robusteval_executors() -> list[type[Executor]]:
    """What comes with robusteval and needs nothing more."""
    return [Serial, Processes]


def travels(payload: bytes) -> None:
    """Raises CannotStartError where something in a pickle is known to this session only."""
    if _names_main(payload) and not _guarded_main():
        raise CannotStartError(
            "the model's class is defined in a notebook, in python -c, on standard input, or in a script without "
            'if __name__ == "__main__", where other processes do not find it'
        )


@dataclass
class _Left:
    """Units that have not begun; those put back come first."""

    units: Iterator[Unit]
    back: list[Unit] = field(default_factory=list)

    def next(self) -> Unit | None:
        return self.back.pop() if self.back else next(self.units, None)

    def more(self) -> bool:
        """Whether there is another one."""
        unit = self.next()
        if unit is not None:
            self.back.append(unit)
        return unit is not None


class _EndedAtOnceError(CannotStartError):
    """A worker was gone before it had begun."""


def _alone(payload: bytes, unit: Unit) -> Generator[Done, None, list[Unit]]:
    """As `_pool`, for one unit that a worker died of, which nobody but a worker tries again."""
    try:
        return (yield from _pool(payload, _Left(iter(()), [unit]), 1))
    except CannotStartError:
        return [unit]


def _pool(payload: bytes, left: _Left, workers: int) -> Generator[Done, None, list[Unit]]:
    """As `_one_pool`; a worker that was killed while it started says nothing of the next."""
    try:
        return (yield from _one_pool(payload, left, workers))
    except _EndedAtOnceError:
        return (yield from _one_pool(payload, left, workers))


def _one_pool(payload: bytes, left: _Left, workers: int) -> Generator[Done, None, list[Unit]]:
    """Yields answers until nothing is left; returns the units that were under way when a worker died. Raises
    CannotStartError. A worker that had to be ended takes the pool with it too: its unit is answered, and the others
    that were under way are put back."""
    running: dict[Future[Done], Unit] = {}
    spawn, before = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    watched = Watched(spawn, workers)
    given = (payload, os.getpid(), watched.seats)
    with (
        # workers import the user's script only where the model is defined there: all of it would run again
        nullcontext() if _names_main(payload) else main_hidden(),
        ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=given) as pool,
    ):
        try:
            _greet(pool, watched)
            more = True
            while more or running:
                # no more than there are workers, so that a task is admitted when it really starts
                while more and len(running) < workers:
                    unit = left.next()
                    if unit is None:
                        more = False
                        break
                    try:
                        content = unit.pack()
                    except Exception as error:  # noqa: BLE001 - pickling fails with errors of many types
                        yield Done(unit.id, error=f"it cannot be sent to other processes ({words(error)})")
                        continue
                    left.back.append(unit)  # until it is under way
                    running[pool.submit(_work, content, watched.number(unit))] = unit
                    left.back.pop()
                for future in watched.ended(running):
                    done = future.result()
                    del running[future]
                    yield done
        except BrokenProcessPool:
            under_way = [*running.values()]
            guilty = watched.guilty(under_way)
            if not guilty:
                return under_way
            left.back += [unit for unit in under_way if unit not in guilty]
            yield from (Done(unit.id, error=watched.culprits[unit.id], died=True) for unit in guilty)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:
                child.kill()  # what is under way is lost in any case, and may take long, or heed no signal
            raise
    return []


def _greet(pool: ProcessPoolExecutor, watched: Watched) -> None:
    """Raises CannotStartError where a worker cannot begin with what it is given."""
    try:
        ready = pool.submit(_ready)
        while not watched.ended([ready]):
            continue
        reason = ready.result()
    except BrokenProcessPool:
        raise _EndedAtOnceError("worker processes end as soon as they are started") from None
    if reason:
        raise CannotStartError(reason)


def _names_main(payload: bytes) -> bool:
    """Whether something in a pickle is found by its name in the script that was started."""
    return b"__main__" in payload


def _guarded_main() -> bool:
    """Whether the script that was started is a file that may be imported again."""
    main = sys.modules["__main__"]
    if getattr(main, "__spec__", None) is not None:
        return True
    try:
        return "__main__" in Path(str(getattr(main, "__file__", ""))).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return False


@dataclass
class _Held:
    """What a worker process holds; set once by the pool's initializer. reason: why it holds nothing."""

    worker: Worker | None = None
    reason: str = ""


_held: list[_Held] = []


class _Quit(CtrlC):
    """In a worker a Ctrl-C ends the process: its parent has heard it as well, and tells the user."""

    def __call__(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - as signal has it
        os._exit(130)


def _start(payload: bytes, parent: int, seats: Seats) -> None:
    signal.signal(signal.SIGINT, _Quit())
    Finalize(None, _leave, exitpriority=0)
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(2, 1)  # what a plugin prints is no part of the command's own answer
    sys.stdout = sys.stderr = Gated(sys.__stderr__)
    torch.set_num_threads(1)
    refuse_network()
    refuse_writing()  # what it made goes to the run by a pipe, which stores it
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    seat(seats)
    try:
        with put_back(), opening("the model in a worker process"):
            _held.append(_Held(unpacked(payload)))
    except CannotStartError as error:
        _held.append(_Held(reason=str(error)))


def _leave() -> None:
    """Ends this process at once when it has nothing more to do: threads and processes that a plugin left would keep it
    waiting for ever, and the run with it."""
    sys.stderr.flush()
    os._exit(0)


def _ready() -> str:
    return _held[0].reason


def _follow(parent: int) -> None:
    """Ends this process when its parent is gone; the pool's own pipes would keep it waiting for ever."""
    above = multiprocessing.parent_process()
    if above is not None:
        above.join()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(unit: bytes, number: int) -> Done:
    page = own_page()
    if page is not None:
        page.unit(number)
    worker = _held[0].worker
    if worker is None:
        raise RuntimeError(_held[0].reason)
    return worker.attempt(unit)
