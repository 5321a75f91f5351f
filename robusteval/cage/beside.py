"""A command in a process of its own, and this one beside it: it ends what hangs or takes too much memory, and whatever
ends the other, this one tells what became of it.

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
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any

from robusteval.cage.children import main_hidden
from robusteval.cage.machine import confine
from robusteval.cage.page import SLOT, open_page
from robusteval.cage.refusals import refuse_network
from robusteval.cage.watch import GLANCE_S, Ended, Watch, kill
from robusteval.text import block

LEAVE_S = 10.0  # to end in, once all is said
Refuse = Callable[[str, str], int]  # prints one sentence and how to mend it; the exit code
_NO_MEMORY = (
    *("out of memory", "can't allocate memory", "failed to allocate memory", "bad_alloc", "bad allocation"),
    *("cannot allocate memory", "failed to map segment"),  # the system's words, and those of its loader
)


def beside(command: Callable[[], int], refuse: Refuse, online: bool = False) -> int:
    """The command's exit code; that of `refuse`, with one sentence, where its process was ended or ended without
    one. Both are functions at the top of a module. online: the command works with other machines."""
    try:
        said, child = _attended(command, refuse, online)
    except OSError as error:  # no process, no file, no page more
        return refuse(
            f"The command cannot be begun: {error.strerror or error}.",
            "It takes two processes, a few open files, and some room in the temporary folder (TMPDIR).",
        )
    if isinstance(said, int):
        return said
    if said is not None:
        return refuse(*_in_words(said))
    how = f"with exit code {child.exitcode}" if (child.exitcode or 0) >= 0 else f"by signal {-(child.exitcode or 0)}"
    return refuse(
        f"The process that did the work was ended in the middle ({how}): by a plugin, or for want of memory.",
        "What was finished is kept, and the same command goes on from there. With --workers 2 or more, an attack that "
        "ends its process fails alone.",
    )


def _attended(command: Callable[[], int], refuse: Refuse, online: bool) -> tuple[int | Ended | None, BaseProcess]:
    """(what became of the command, as `_awaited` has it; its process). Raises OSError where the system has no process,
    no file or no memory for it."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    memory = spawn.RawArray("B", SLOT)
    child = spawn.Process(target=_command, args=(theirs, memory, command, refuse, online))
    with _interrupts_passed_on(child):
        with main_hidden():
            child.start()
        theirs.close()
        said = _awaited(ours, child, Watch(memory, 1))
        child.join(LEAVE_S)  # threads or processes of a plugin's may keep it from ending, after its last word
        if child.exitcode is None:
            kill(child.pid or 0)
            child.join()
    return said, child


def _in_words(ended: Ended) -> tuple[str, str]:
    """What to say of a command that was ended from here, and how to mend it."""
    kept = "Nothing of it is at work any more; what a run had finished is kept."
    more = " Allow more with --memory where the machine has it, or fewer --workers." if ended.memory else ""
    return f"The command was ended: {ended.why}.", f"{kept}{more}"


def _awaited(ours: Connection, child: BaseProcess, watch: Watch) -> int | Ended | None:
    """What the command says at its end; why it was ended from here; None where its process ends without a word. A pipe
    alone would not do: processes that a plugin left behind may hold its other end."""
    while True:
        alive = child.exitcode is None
        try:
            if ours.poll(GLANCE_S if alive else 0):
                return int(ours.recv())
        except (EOFError, OSError):
            child.join()
            return None
        if not alive:
            return None
        ended = watch.look()
        if ended is not None:
            kill(child.pid or ended.process)
            return ended


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


def _command(theirs: Connection, memory: Any, command: Callable[[], int], refuse: Refuse, online: bool) -> None:
    threading.Thread(target=_follow, args=(theirs,), daemon=True).start()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    confine()
    if not online:
        refuse_network()
    open_page(memory)
    try:
        code = command()
    except BaseException as error:  # noqa: BLE001
        # a bug keeps its traceback; the process beside this one must hear of the end in any case
        code = _failed(error, refuse)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C comes twice where a terminal sends it to both processes
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # None: it was closed from the start
            stream.flush()
    theirs.send(code)


def _failed(error: BaseException, refuse: Refuse) -> int:
    """The exit code of a command that raised what is no expected trouble."""
    if isinstance(error, KeyboardInterrupt):  # the second of a pair, after its command has answered the first
        return 130
    if isinstance(error, MemoryError) or any(words in str(error).lower() for words in _NO_MEMORY):
        return refuse(
            "Memory ran out: the command may take no more of it.",
            "Allow more with --memory where the machine has it, or take fewer --samples. What was finished is kept.",
        )
    sys.stderr.write(block("".join(traceback.format_exception(error))))  # what it quotes may be others' words
    return 1


def _follow(theirs: Connection) -> None:
    """Ends this process when the one beside it is gone, so that a killed command leaves nothing at work."""
    with contextlib.suppress(EOFError, OSError):
        theirs.recv()
    os._exit(1)
