"""Where units of a run are made: in this process, in others beside it, on a cluster. An executor carries, and knows no
attack.

The run hands out units one by one. An executor makes each somewhere, by the worker that it unpacked there, and yields
what the worker answers; the run checks the bytes and stores them. Numbers do not depend on where, in which order, or
how often a unit is made.
"""

from __future__ import annotations

import importlib.metadata
import math
import pickle
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from robusteval.errors import PluginError
from robusteval.foreign import foreign, words

DIED = "the worker process died, as a plugin may have ended it, or memory ran out"
ENDED = "the worker process was ended, as "  # before what it did
_PACKAGES = ("robusteval", "torch", "onnxruntime-gpu", "onnxruntime", "numpy")
_HEAD = b"robusteval-work "


class CannotStartError(Exception):
    """Nothing could be tried here, for the reason given: the worker cannot travel, or no process begins."""


@dataclass(frozen=True)
class Unit:
    """One unit of a run. id: no other of the run has it; pack: the bytes that `Worker.attempt` takes, made when they
    are asked for, with all that the unit looks at; limit: seconds by the clock from its start, after which whoever
    makes it should end the process that is at it, and answer with `died`."""

    id: str
    pack: Callable[[], bytes]
    limit: float = math.inf


@dataclass(frozen=True)
class Done:
    """How a unit ended. content: the finished unit; error: instead of it, one line that says why it failed; detail: the
    traceback; seconds: what it took; machine: the processor, and the GPU, that made it; died: it ends the process that
    it runs in."""

    unit: str
    content: bytes = b""
    error: str = ""
    detail: str = ""
    seconds: float = 0.0
    machine: str = ""
    died: bool = False


class Worker(Protocol):
    """What makes units, once it is unpacked; it keeps what units of one run share."""

    def attempt(self, unit: bytes) -> Done:
        """Makes one unit. Whatever its plugin raises is in the answer; a plugin may also end the process."""
        ...


class Work(Protocol):
    """What a run asks of an executor. Only the thread that called `perform` may use it."""

    @property
    def workers(self) -> int:
        """How many units are to be under way at once."""
        ...

    def units(self) -> Iterator[Unit]:
        """The units that are left, the same iterator each time. Take one only when it is to start: a time budget is
        asked just then."""
        ...

    def attempt(self, unit: Unit) -> Done:
        """Makes a unit here, in this process."""
        ...

    def packed(self) -> bytes:
        """The worker, for `unpacked` elsewhere; all units are made by it. Raises CannotStartError where it cannot
        travel."""
        ...


@dataclass(frozen=True)
class ExecutorInfo:
    """What an executor declares."""

    name: str  # bare for built-ins, "vendor.name" for others
    version: str
    summary: str  # one sentence


@runtime_checkable
class Executor(Protocol):
    """A frozen dataclass; its fields are its parameters."""

    info: ClassVar[ExecutorInfo]

    def start(self, workers: int) -> int:
        """Makes ready, before anything is fitted; how many units can be under way at once where the user asks for so
        many. Raises RobustEvalError with one clear sentence where it cannot be used."""
        ...

    def perform(self, work: Work) -> Iterator[Done]:
        """Makes the units; yields each answer as it comes, in any order, once for every unit. It may be called several
        times, as later units look at earlier ones. Closed early, it stops what is under way. Raises CannotStartError
        where nothing was tried, and RobustEvalError where no more can be: what was yielded is kept, and the same
        command goes on from there."""
        ...

    def stop(self) -> None:
        """Lets go of what start took. Called once, however the run ends."""
        ...


def packed(worker: Worker) -> bytes:
    """A worker as bytes. Raises CannotStartError where it cannot be pickled."""
    try:
        content = pickle.dumps(worker)
    except Exception as error:  # noqa: BLE001 - pickling fails with errors of many types
        raise CannotStartError(f"the model cannot be sent to other processes ({words(error)})") from None
    return _HEAD + _versions().encode() + b"\n" + content


def unpacked(content: bytes) -> Worker:
    """The worker in these bytes, which run code as any pickle does: they are the run's own. Raises CannotStartError
    where it cannot be read, or where other versions are installed here, whose numbers may be others."""
    head, _, body = content.partition(b"\n")
    there, here = head.removeprefix(_HEAD).decode(errors="replace"), _versions()
    if not head.startswith(_HEAD) or there != here:
        raise CannotStartError(f"other versions are installed there: {here}; the run has {there[:200]}")
    try:
        with foreign():
            worker: Worker = pickle.loads(body)  # noqa: S301 - what this very run has packed
    except Exception as error:  # noqa: BLE001 - unpickling fails with errors of many types
        raise CannotStartError(f"worker processes cannot read the model ({words(error)})") from None
    return worker


def _versions() -> str:
    found = [f"python {platform.python_version().rsplit('.', 1)[0]}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(found)


def unusable(name: str, reason: str) -> PluginError:
    """What to say where an executor that the user named cannot be used."""
    return PluginError(f"The executor {name} cannot be used: {reason}.", "Leave --executor out to run on this machine.")
