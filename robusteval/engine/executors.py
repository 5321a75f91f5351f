"""Where units run: here, one after the other, or in worker processes. The numbers are the same either way.

Every unit runs on one thread (results must not depend on the number of threads, and two OpenMP pools on a loaded
machine can be a hundred times slower), is stored by whoever ran it, and fails alone.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from robusteval.engine.calibrate import applied
from robusteval.engine.chunk import Context
from robusteval.engine.plan import Planned
from robusteval.engine.unit_store import UnitStore
from robusteval.engine.units import chunks, judge_unit, nearest_wins, run_unit


@dataclass(frozen=True)
class Task:
    """One unit to run."""

    planned: Planned
    chunk: int


@dataclass(frozen=True)
class Outcome:
    """How a unit ended. error: empty, or one line that says why it failed; detail: the traceback; seconds: what it took."""

    task: Task
    error: str = ""
    detail: str = ""
    seconds: float = 0.0


Listener = Callable[[Outcome], None]
Admit = Callable[[Task], bool]


def execute(
    context: Context,
    tasks: Sequence[Task],
    folder: Path,
    workers: int,
    listener: Listener,
    admit: Admit = lambda task: True,
) -> None:
    """Runs the tasks in order and tells the listener of each as it ends; in this process where workers is 1. admit is asked
    just before a task would start; one that it turns down is left out."""
    if workers <= 1 or len(tasks) <= 1:
        with one_thread():
            for task in tasks:
                if admit(task):
                    listener(attempt(context, task, UnitStore(folder)))
        return
    payload = pickle.dumps((context, str(folder)))
    for task in _pool(payload, tasks, workers, listener, admit):
        # a worker died and took the pool with it: what was not done yet runs once more, each unit in a pool of its own
        if _pool(payload, [task], 1, listener, admit):
            listener(Outcome(task, "the worker process died, perhaps for want of memory"))


def attempt(context: Context, task: Task, store: UnitStore) -> Outcome:
    """Runs and stores one unit; whatever the plugin raises becomes the outcome's error."""
    started = time.perf_counter()
    with applied(context.tuning):
        outcome = _attempt(context, task, store)
    return replace(outcome, seconds=time.perf_counter() - started)


def _attempt(context: Context, task: Task, store: UnitStore) -> Outcome:
    planned = task.planned
    rows = chunks(planned, len(context.samples))[task.chunk]
    try:
        if planned.source:
            unit = store.load(planned.source, task.chunk)
            if unit is None or unit.strengths is None:
                return Outcome(task, f"the adversarials of {planned.source} are not there, as that cell failed")
            store.save(planned.cell.id, task.chunk, judge_unit(context, planned, rows, unit.strengths))
        elif planned.starts:
            units = [found for one in planned.starts if (found := store.load(one, task.chunk)) is not None]
            if not units:
                return Outcome(task, "no adversarials of the bare model are there, as those cells failed")
            store.save(planned.cell.id, task.chunk, run_unit(context, planned, rows, nearest_wins(units)))
        else:
            store.save(planned.cell.id, task.chunk, run_unit(context, planned, rows))
    except Exception as error:  # one plugin's fault must not end the run: it is recorded as a failed cell
        return Outcome(task, f"{type(error).__name__}: {error}", traceback.format_exc())
    return Outcome(task)


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread, and back to what it was."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pool(payload: bytes, tasks: Sequence[Task], workers: int, listener: Listener, admit: Admit) -> list[Task]:
    """Runs tasks in a pool of fresh processes; returns those that were not done when a worker died."""
    waiting, running = deque(tasks), dict[Future[tuple[str, str, float]], Task]()
    spawn = multiprocessing.get_context("spawn")  # fork would copy torch's and ONNX Runtime's threads half
    with ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=(payload, os.getpid())) as pool:
        try:
            while waiting or running:
                # no more than there are workers, so that a task is admitted when it really starts
                while waiting and len(running) < workers:
                    if admit(waiting[0]):
                        running[pool.submit(_work, pickle.dumps(waiting[0]))] = waiting[0]
                    waiting.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done if running else ():
                    error, detail, seconds = future.result()
                    listener(Outcome(running.pop(future), error, detail, seconds))
        except BrokenProcessPool:
            return [*running.values(), *waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return []


@dataclass
class _Worker:
    """What a worker process holds; set once by the pool's initializer."""

    context: Context
    folder: Path


_worker: list[_Worker] = []


def _start(payload: bytes, parent: int) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    context, folder = pickle.loads(payload)
    _worker.append(_Worker(context, Path(folder)))


def _follow(parent: int) -> None:
    """Ends this process when its parent is gone; the pool's own pipes would keep it waiting for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(payload: bytes) -> tuple[str, str, float]:
    outcome = attempt(_worker[0].context, pickle.loads(payload), UnitStore(_worker[0].folder))
    return outcome.error, outcome.detail, outcome.seconds
