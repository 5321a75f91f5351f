"""Progress with the time left on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from robusteval.text import line

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from robusteval.engine.schedule.schedule import Progress


def quiet_libraries() -> None:
    """ONNX Runtime floods stderr about devices that this machine lacks; its own errors still come as exceptions."""
    os.environ.setdefault("ORT_LOGGING_LEVEL", "4")
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)


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
            self._bar = Progress(*columns, console=Console(file=stream), transient=True)
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
