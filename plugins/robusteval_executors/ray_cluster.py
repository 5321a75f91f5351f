"""Units on a Ray cluster.

The worker (model, defences) goes once to each node through Ray's object store; a unit is a task that brings its samples
along, and its bytes come back the same way, so nodes share no file system with this process. A node that is lost loses
only what it was at: that is done again. A unit that ends its worker process again and again fails alone. docs/scale.md
says how to come by a cluster.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import math
import os
import socket
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from robusteval.api import (
    CannotStartError,
    Done,
    Executor,
    ExecutorInfo,
    PluginError,
    Unit,
    Work,
    Worker,
    hookimpl,
    param,
    unpacked,
)

STRIKES = 3  # times that a unit may take its worker process with it
LOSSES = 20  # times that a unit may be lost with its node, so that nothing is tried for ever
_GLANCE_S = 1.0  # between looks at the cluster
_GIB = 1 << 30

_held: dict[str, Worker] = {}  # in a process of the cluster: the worker of the run that it is at
_joined: list[bool] = []  # in the process of the run: whether this executor connected it


@dataclass(frozen=True)
class Ray:
    """Units as tasks on the nodes of a Ray cluster."""

    info: ClassVar[ExecutorInfo] = ExecutorInfo(
        "ray", "1", "Tasks on a Ray cluster (pip install 'robusteval[ray]'); what a lost node was at is done again."
    )
    address: str = param(
        "", "the cluster: auto for the one that this machine is a node of, or host:port; empty starts one here"
    )
    cpus: float = param(1.0, "processors that a unit is counted with", minimum=0.0)
    gpus: float = param(0.0, "GPUs that a unit is counted with; a part of one is shared", minimum=0.0)
    memory: float = param(0.0, "GiB of memory that a unit is counted with; 0 states none", minimum=0.0)
    patience: float = param(
        600.0, "seconds to wait for a node that can take a unit, as where nodes are started on demand", minimum=0.0
    )

    def start(self, workers: int) -> int:
        """Connects; as many units as were asked for, or as the cluster can take now where that is more."""
        ray = _ray()
        if not ray.is_initialized():
            try:
                _knock(self.address)
                _roomy()
                ray.init(address=self.address or "local", log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
                raise PluginError(
                    f"No Ray cluster answers at {self.address or 'this machine'}: {' '.join(str(error).split())[:200]}",
                    "`ray start --head` starts one on this machine, and `ray status` shows it; see docs/scale.md.",
                ) from error
            _joined.append(True)
        return max(workers, self.places(ray))

    def stop(self) -> None:
        """Leaves the cluster, where start joined it."""
        if _joined:
            _joined.clear()
            _ray().shutdown()

    def perform(self, work: Work) -> Iterator[Done]:
        """See robusteval.api.Executor."""
        ray = _ray()
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": 0}
        if self.memory:
            options["memory"] = int(self.memory * _GIB)
        run = _Run(self, ray, work, ray.remote(_attempt).options(**options))
        try:
            yield from run.answers()
        finally:
            run.cancel()

    def places(self, ray: Any) -> int:
        """How many units the nodes that are there can take at once."""
        return sum(self._fits(node.get("Resources", {})) for node in ray.nodes() if node.get("Alive"))

    def _fits(self, there: dict[str, float]) -> int:
        wanted = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory * _GIB}
        shares = [there.get(name, 0.0) / much for name, much in wanted.items() if much]
        return int(min(shares)) if shares else 1


@dataclass
class _Sent:
    """A unit on its way; strikes: worker processes that it ended; losses: nodes that were lost with it."""

    unit: Unit
    content: bytes
    strikes: int = 0
    losses: int = 0
    since: float = 0.0  # when it was sent


class _Run:
    """One call of `perform`."""

    def __init__(self, executor: Ray, ray: Any, work: Work, task: Any) -> None:
        self._executor, self._ray, self._work, self._task = executor, ray, work, task
        self._token = uuid.uuid4().hex
        self._out: dict[Any, _Sent] = {}
        self._again: deque[_Sent] = deque()
        self._units = work.units()
        self._more = True
        self._worker: Any = None

    def answers(self) -> Iterator[Done]:
        """Each as it comes."""
        seen = time.monotonic()
        while True:
            yield from self._send()
            if not self._out:
                return
            ready, _ = self._ray.wait(list(self._out), num_returns=1, timeout=_GLANCE_S)
            if ready or self._executor.places(self._ray):
                seen = time.monotonic()
            elif time.monotonic() - seen > self._executor.patience:
                raise PluginError(
                    f"No node of the Ray cluster can take a unit with {self._wanted()}.",
                    "`ray status` shows what there is; ask for less, as in --executor ray:cpus=1,gpus=0, or add nodes.",
                )
            for reference in ready:
                yield from self._answer(reference)

    def cancel(self) -> None:
        """Ends what is under way; nobody waits for it."""
        for reference in self._out:
            self._ray.cancel(reference, force=True)
        self._out.clear()

    def _send(self) -> Iterator[Done]:
        """Sends units while there is room; what cannot be sent is answered."""
        room = max(self._work.workers, self._executor.places(self._ray))
        while len(self._out) < room:
            sent = self._again.popleft() if self._again else None
            if sent is None and self._more:
                unit = next(self._units, None)
                self._more = unit is not None
                if unit is not None:
                    try:
                        sent = _Sent(unit, unit.pack())
                    except Exception as error:  # noqa: BLE001 - pickling fails with errors of many types
                        yield Done(
                            unit.id,
                            error=f"it cannot be sent to other machines ({type(error).__name__}: {error})"[:500],
                        )
                        continue
            if sent is None:
                return
            if self._worker is None:
                content = self._work.packed()
                if b"__main__" in content:
                    raise CannotStartError(
                        "the model's class is defined in the script or notebook that runs, which no node has"
                    )
                self._worker = self._ray.put(content)
            # in a list, so that Ray does not fetch it for a process that has it already
            sent.since = time.monotonic()
            self._out[self._task.remote([self._worker], self._token, sent.content, sent.unit.limit)] = sent

    def _answer(self, reference: Any) -> Iterator[Done]:
        """The answer of a task that ended, unless it is to be done again."""
        errors, sent = self._ray.exceptions, self._out.pop(reference)
        try:
            said = self._ray.get(reference)
        except (errors.WorkerCrashedError, errors.OutOfMemoryError):
            sent.strikes += 1
            if time.monotonic() - sent.since >= sent.unit.limit:  # its own process has ended it, and would again
                reason = f"the worker process was ended, as a unit of it took more than {sent.unit.limit:.0f} s"
                yield Done(sent.unit.id, error=reason, died=True)
            elif sent.strikes >= STRIKES:
                yield Done(sent.unit.id, died=True)
            else:
                self._again.append(sent)
        except (
            errors.NodeDiedError,
            errors.ObjectLostError,
            errors.ObjectFetchTimedOutError,
            errors.TaskCancelledError,
        ):
            sent.losses += 1
            if sent.losses >= LOSSES:
                yield Done(sent.unit.id, error=f"{LOSSES} nodes of the cluster were lost while they were at it")
            else:
                self._again.append(sent)
        except errors.RayError as error:
            cause = getattr(error, "cause", None)
            reason = str(cause) if isinstance(cause, CannotStartError) else " ".join(str(error).split())[-300:]
            raise PluginError(
                f"The Ray cluster cannot make units: {reason}.",
                "Install the same versions on every node (docs/scale.md). What was finished is kept: the same command "
                "goes on from there.",
            ) from error
        else:
            yield said

    def _wanted(self) -> str:
        one = self._executor
        return f"{one.cpus:g} CPUs, {one.gpus:g} GPUs and {one.memory:g} GiB of memory"


def _attempt(worker: list[Any], token: str, unit: bytes, limit: float = math.inf) -> Done:
    """Runs in a process of the cluster. worker: the reference to it, fetched once a process; limit: seconds after which
    the process ends itself, whoever holds Python's lock."""
    if token not in _held:
        import ray

        _held.clear()
        _held[token] = unpacked(ray.get(worker[0]))
    with _limited(limit):
        return _held[token].attempt(unit)


@contextlib.contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """A thread of the interpreter's own, which needs no lock, ends this process after so many seconds."""
    if seconds > threading.TIMEOUT_MAX:
        yield
        return
    with Path(os.devnull).open("w", encoding="ascii") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _roomy() -> None:
    """Lifts the soft limit on files' sizes, which Ray's object store is larger than."""
    if sys.platform != "win32":
        import resource

        for which in (resource.RLIMIT_FSIZE, resource.RLIMIT_DATA):
            hard = resource.getrlimit(which)[1]
            resource.setrlimit(which, (hard, hard))


def _knock(address: str) -> None:
    """Raises OSError where nobody listens at host:port; Ray itself would ask for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdigit() and "/" not in address:
        with socket.create_connection((host, int(port)), timeout=10):
            pass


def _ray() -> Any:
    """Ray, which is to send no statistics about its use to anybody, and to leave `print` as it is. Raises PluginError
    where it is not installed."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_TQDM_PATCH_PRINT"] = "0"  # else builtins.print is another function for the rest of the process
    try:
        import ray
        import ray.exceptions
    except ImportError:
        raise PluginError("Ray is not installed.", 'pip install "robusteval[ray]"') from None
    return ray


@hookimpl
def robusteval_executors() -> list[type[Executor]]:
    return [Ray]
