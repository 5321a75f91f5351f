"""Calling code that others wrote: whatever it raises is its own fault and an ordinary exception, never the end of the
command.

`sys.exit` in a plugin is a SystemExit, which would end the whole command with the plugin's exit code; the same goes for
a KeyboardInterrupt that it raises, and for classes of its own that are no Exception. Only a Ctrl-C of the user's is let
through.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from robusteval.text import line

_MOST = 4_000  # letters of an exception that are looked at
_TWICE_S = 0.5  # a terminal's Ctrl-C goes to the whole group, and a parent passes it on as well: one press, two signals


class ForeignExit(Exception):
    """Foreign code tried to end the process, or raised what is no Exception."""


class CtrlC:
    """A signal handler that raises KeyboardInterrupt and remembers that it was the user who asked for it."""

    def __init__(self) -> None:
        self.pressed = 0.0

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.pressed and now - self.pressed < _TWICE_S:
            return
        self.pressed = now
        raise KeyboardInterrupt


@contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """While it lasts, a Ctrl-C is told from a KeyboardInterrupt that a plugin raises. Only where Python's own handler
    is in place (a notebook or a server may have its own), and only in the main thread, as no other may set one."""
    before = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
    if before is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, CtrlC())
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def foreign() -> Iterator[None]:
    """Around every call of a plugin: what comes out is an Exception, or the user's own KeyboardInterrupt.

    A Ctrl-C that the plugin swallowed is raised again afterwards. Where nobody remembers who pressed what (no CtrlC is
    in place), a KeyboardInterrupt counts as the user's.
    """
    try:
        yield
    except Exception:
        _raise_pressed()
        raise
    except GeneratorExit as error:
        raise ForeignExit(words(error)) from error
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and _may_be_the_users():
            raise
        _raise_pressed()
        raise ForeignExit(words(error)) from error
    _raise_pressed()


def words(error: BaseException) -> str:
    """One line that says what foreign code raised, of a bounded length; it never fails, whatever the exception's text
    does."""
    if isinstance(error, ForeignExit):
        return str(error)
    kind = line(type(error).__name__, 100)
    if isinstance(error, SystemExit):
        return f"SystemExit: it called sys.exit({_text(error.code)})"
    text = _text(error)
    return f"{kind}: {text}" if text else kind


def _text(value: object) -> str:
    try:
        return line(" ".join(str(value)[:_MOST].split())[:400])
    except Exception:  # noqa: BLE001 - an exception of a plugin's own may have a __str__ that fails
        return ""


def _handler() -> CtrlC | None:
    found = signal.getsignal(signal.SIGINT)
    return found if isinstance(found, CtrlC) else None


def _may_be_the_users() -> bool:
    handler = _handler()
    return handler is None or bool(handler.pressed)


def _raise_pressed() -> None:
    handler = _handler()
    if handler is not None and handler.pressed and threading.current_thread() is threading.main_thread():
        raise KeyboardInterrupt
