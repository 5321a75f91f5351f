"""Where a run's progress is shown: a bar on a terminal or in a notebook, plain lines in a pipe."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TextIO

from robusteval.text import line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from robusteval.engine.schedule.schedule import Progress

Listener = Callable[["Progress"], None]


class Display:
    """Where a run's progress is shown: a bar on a terminal, a line about every ten seconds elsewhere. limit: seconds
    after which nothing more is started."""

    def __init__(self, stream: TextIO, plain: bool, limit: float | None = None) -> None:
        self._stream, self._limit = stream, limit
        self._bar: Bar | None = None
        self._last = 0.0
        if not plain and stream.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.completed}/{task.total} units"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}", markup=False),
            )
            # what others print is escaped elsewhere, and no text for the bar to show with its colours
            own = Console(file=stream)
            self._bar = Progress(*columns, console=own, transient=True, redirect_stdout=False, redirect_stderr=False)
            self._task = self._bar.add_task("starting", total=None, left="")

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        self._started = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, text: str) -> None:
        """One line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line(text), markup=False, highlight=False, emoji=False)
        else:
            print(line(text), file=self._stream, flush=True)

    def update(self, progress: Progress) -> None:
        """Shows where the run is; failures are always said."""
        if progress.note:
            self.say(progress.note)
            return
        if progress.error:
            self.say(f"failed: {progress.cell}: {progress.error}")
        if progress.resumed and progress.done == progress.resumed and not progress.cell:
            self.say(f"taking up an earlier run: {progress.resumed} of {progress.total} units are done")
        left = self._left(progress)
        if self._bar is not None:
            shown = line(progress.cell or "fitting", 60)
            self._bar.update(
                self._task, total=progress.total, completed=progress.done, description=shown, left=left.lstrip(", ")
            )
            return
        now = time.monotonic()
        fresh = progress.done - progress.resumed
        if fresh and (progress.done == progress.total or now - self._last >= 10):
            self._last = now
            self.say(f"{progress.done}/{progress.total} units{left}")

    def _left(self, progress: Progress) -> str:
        """The time left in words, by what was foretold of the units that are left and not by their number: the dearest
        come first."""
        if progress.left_s is None:
            return ""
        left = progress.left_s
        if self._limit is not None:
            left = min(left, max(0.0, self._limit - (time.monotonic() - self._started)))
        return f", about {left:.0f} s left"


class NotebookBar:
    """One line of HTML in a notebook, written anew after each unit. display: IPython's own, with an id."""

    def __init__(self, display: Callable[..., Any]) -> None:
        self._handle = display(_html("starting", 0, 1), display_id=True)

    def update(self, progress: Progress) -> None:
        """Shows where the run is, or what it has to say."""
        left = "" if progress.left_s is None else f", about {progress.left_s:.0f} s left"
        said = progress.note or (f"failed: {progress.error}; " if progress.error else "") + progress.cell
        shown = line(f"{said}  {progress.done}/{progress.total} units{left}", 160)
        self._handle.update(_html(shown, progress.done, progress.total))


class _Html:
    """What a notebook shows: IPython asks objects for `_repr_html_`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def _repr_html_(self) -> str:
        return self._text


def _html(said: str, done: int, total: int) -> _Html:
    return _Html(f'<progress value="{done}" max="{max(total, 1)}"></progress> {escape(said)}')


@contextlib.contextmanager
def listening(progress: bool | Listener | None, limit: float | None = None) -> Iterator[Listener]:
    """What is told of a run from Python: a function of the caller's; a bar where True; where None, a bar if somebody
    looks on, in a notebook or at a terminal. limit: seconds after which nothing more is started."""
    if callable(progress):
        yield progress
    elif progress is False or (progress is None and not _notebook() and not sys.stderr.isatty()):
        yield lambda _: None
    elif _notebook():
        from IPython.display import display

        yield NotebookBar(display).update
    else:
        with Display(sys.stderr, plain=False, limit=limit) as shown:
            yield shown.update


def _notebook() -> bool:
    return "ipykernel" in sys.modules
