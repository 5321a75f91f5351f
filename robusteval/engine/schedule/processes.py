"""Worker processes: fresh ones, as a fork would copy torch's and ONNX Runtime's threads half. One that dies, by
whatever means, fails the cell that it was working on and no other.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import torch

from robusteval.engine.schedule.attempt import Outcome, Task, attempt
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.store import UnitStore
from robusteval.foreign import CtrlC, words

DIED = "the worker process died, as a plugin may have ended it, or memory ran out"


Listener = Callable[[Outcome], None]
Admit = Callable[[Task], bool]


class CannotStartError(Exception):
    """No worker could begin, so nothing was tried."""


def packed(context: Context, store: UnitStore) -> tuple[bytes, str]:
    """(what workers begin with, why they cannot): a model that cannot travel, or one that only this session knows."""
    try:
        payload = pickle.dumps((context, store))
    except Exception as error:  # noqa: BLE001 - pickling fails with errors of many types
        return b"", f"the model cannot be sent to other processes ({words(error)})"
    if _names_main(payload) and not _guarded_main():
        return b"", (
            "the model's class is defined in a notebook, in python -c, on standard input, or in a script without "
            'if __name__ == "__main__", where other processes do not find it'
        )
    return payload, ""


def in_processes(payload: bytes, tasks: Sequence[Task], workers: int, listener: Listener, admit: Admit) -> str:
    """Runs tasks in a pool of fresh processes. Returns why none of them could begin, so that nothing was run; else
    nothing."""
    waiting, dead, begun = list(tasks), dict[str, str](), False
    while waiting:
        try:
            suspects, waiting = _pool(payload, waiting, workers, listener, admit)
        except CannotStartError as error:
            if not begun:
                return str(error)
            raise
        begun = True
        # a worker died and took the pool with it: each unit that was under way runs once more, in a pool of its own
        for task in suspects:
            cell = task.planned.cell.id
            if cell not in dead and any(_pool(payload, [task], 1, listener, lambda _: True)):
                dead[cell] = DIED
            elif cell not in dead:
                continue
            listener(Outcome(task, dead[cell]))
        for task in [task for task in waiting if task.planned.cell.id in dead]:
            waiting.remove(task)
            listener(Outcome(task, DIED))
    return ""


def _pool(
    payload: bytes, tasks: Sequence[Task], workers: int, listener: Listener, admit: Admit
) -> tuple[list[Task], list[Task]]:
    """(units that were under way when a worker died, those that had not begun). Raises CannotStartError."""
    waiting, running = deque(tasks), dict[Future[tuple[str, str, float]], Task]()
    spawn, before = multiprocessing.get_context("spawn"), set(multiprocessing.active_children())
    with (
        _main_as_needed(payload),
        ProcessPoolExecutor(workers, mp_context=spawn, initializer=_start, initargs=(payload, os.getpid())) as pool,
    ):
        try:
            _greet(pool)
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
            return [*running.values()], [*waiting]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()  # what is under way is lost in any case, and may take long
            raise
    return [], []


def _greet(pool: ProcessPoolExecutor) -> None:
    """Raises CannotStartError where a worker cannot begin with what it is given."""
    try:
        reason = pool.submit(_ready).result()
    except BrokenProcessPool:
        raise CannotStartError("worker processes end as soon as they are started") from None
    if reason:
        raise CannotStartError(f"worker processes cannot read the model ({reason})")


@contextmanager
def _main_as_needed(payload: bytes) -> Iterator[None]:
    """Workers import the user's script only where the model is defined there: it would run again, all of it."""
    main = sys.modules["__main__"]
    kept = {name: getattr(main, name) for name in ("__file__", "__spec__") if hasattr(main, name)}
    if not _names_main(payload):
        main.__file__, main.__spec__ = None, None
    try:
        yield
    finally:
        for name, value in kept.items():
            setattr(main, name, value)
        if "__file__" not in kept and hasattr(main, "__file__"):
            del main.__file__


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
class _Worker:
    """What a worker process holds; set once by the pool's initializer. reason: why it holds nothing."""

    context: Context | None = None
    store: UnitStore | None = None
    reason: str = ""


_worker: list[_Worker] = []


class _Quit(CtrlC):
    """In a worker a Ctrl-C ends the process: its parent has heard it as well, and tells the user."""

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        os._exit(130)


def _start(payload: bytes, parent: int) -> None:
    signal.signal(signal.SIGINT, _Quit())
    torch.set_num_threads(1)
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    try:
        context, store = pickle.loads(payload)  # noqa: S301 - what this very run has packed
    except Exception as error:  # noqa: BLE001 - unpickling fails with errors of many types
        _worker.append(_Worker(reason=words(error)))
        return
    _worker.append(_Worker(context, store))


def _ready() -> str:
    return _worker[0].reason


def _follow(parent: int) -> None:
    """Ends this process when its parent is gone; the pool's own pipes would keep it waiting for ever."""
    above = multiprocessing.parent_process()
    if above is not None:
        above.join()
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _work(payload: bytes) -> tuple[str, str, float]:
    held = _worker[0]
    if held.context is None or held.store is None:
        raise RuntimeError(held.reason)
    task = pickle.loads(payload)  # noqa: S301 - what this very run has packed
    outcome = attempt(held.context, task, held.store)
    return outcome.error, outcome.detail, outcome.seconds
