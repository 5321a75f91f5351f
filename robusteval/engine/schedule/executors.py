"""Where units run: here, one after the other, or in worker processes. The numbers are the same either way.

Every unit runs on one thread (results must not depend on the number of threads, and two OpenMP pools on a loaded
machine can be a hundred times slower), is stored by whoever ran it, and fails alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.engine.schedule.attempt import Outcome, Task, attempt
from robusteval.engine.schedule.processes import Admit, Listener, in_processes, packed
from robusteval.engine.threads import one_thread
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.store import UnitStore

__all__ = ["Admit", "Listener", "Outcome", "Task", "attempt", "execute"]


def execute(
    context: Context,
    tasks: Sequence[Task],
    store: UnitStore,
    workers: int,
    listener: Listener,
    admit: Admit = lambda _: True,
    apart: bool = False,
) -> str:
    """Runs the tasks in order and tells the listener of each as it ends; in this process where workers is 1, unless
    apart. admit is asked just before a task would start; one that it turns down is left out.

    Returns why no process could be started, so that all ran in this one; else nothing. Raises RecordError where a unit
    cannot be stored.
    """
    reason = ""
    if tasks and (apart or (workers > 1 and len(tasks) > 1)):
        payload, reason = packed(context, store)
        if not reason:
            reason = in_processes(payload, tasks, workers, listener, admit)
        if not reason:
            return ""
    with one_thread():
        for task in tasks:
            if admit(task):
                listener(attempt(context, task, store))
    return reason
