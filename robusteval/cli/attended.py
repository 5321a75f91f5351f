"""The command in a process of its own, and this one beside it: whatever ends the other, this one tells what became of
it.

A plugin may end the process that it runs in with any exit code, 0 among them, and a crash in native code or a lack of
memory ends it too. So the command's own exit code counts only where it was said at the command's end.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

from robusteval.cli import obey, refuse, say_bug

WITH_PLUGINS = (
    "run",
    "merge",
    "train",
    "references",
    "calibrate",
    "inspect",
    "plugins",
    "suites",
)  # commands that import them
_GLANCE_S = 0.5  # between looks at whether the other process still lives


def main() -> None:
    """Entry point. Commands that run no plugin, and help, run in this very process."""
    words = sys.argv[1:]
    command = next((word for word in words if not word.startswith("-")), "")
    help_wanted = any(word in ("-h", "--help", "--version") for word in words)
    sys.exit(attended() if command in WITH_PLUGINS and not help_wanted else _obeyed())


def attended() -> int:
    """The command's exit code; 2, with one sentence, where its process ended without one."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_command, args=(theirs,))
    with _interrupts_passed_on(child):
        child.start()
        theirs.close()
        code = _awaited(ours, child)
        child.join()
    if code is not None:
        return code
    how = f"with exit code {child.exitcode}" if (child.exitcode or 0) >= 0 else f"by signal {-(child.exitcode or 0)}"
    return refuse(
        f"The process that did the work was ended in the middle ({how}): by a plugin, or for want of memory.",
        "What was finished is kept, and the same command goes on from there. With --workers 2 or more, an attack that "
        "ends its process fails alone.",
    )


def _awaited(ours: Connection, child: BaseProcess) -> int | None:
    """What the command says at its end; None where its process ends without a word. A pipe alone would not do:
    processes that a plugin left behind may hold its other end."""
    while True:
        alive = child.exitcode is None
        try:
            if ours.poll(_GLANCE_S if alive else 0):
                return int(ours.recv())
        except (EOFError, OSError):
            child.join()
            return None
        if not alive:
            return None


@contextlib.contextmanager
def _interrupts_passed_on(child: BaseProcess) -> Iterator[None]:
    """A Ctrl-C is the command's to answer. It may come to both processes or to this one only."""

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        if child.pid is not None and child.exitcode is None:
            with contextlib.suppress(OSError):
                os.kill(child.pid, signal.SIGINT)

    before = signal.signal(signal.SIGINT, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _command(theirs: Connection) -> None:
    threading.Thread(target=_follow, args=(theirs,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = _obeyed()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    theirs.send(code)


def _obeyed() -> int:
    """The command's exit code; a bug keeps its traceback, and a process beside this one hears of the end in any
    case."""
    try:
        return obey()
    except BaseException:  # noqa: BLE001 - see above
        say_bug()
        return 1


def _follow(theirs: Connection) -> None:
    """Ends this process when the one beside it is gone, so that a killed command leaves nothing at work."""
    with contextlib.suppress(EOFError, OSError):
        theirs.recv()
    os._exit(1)
