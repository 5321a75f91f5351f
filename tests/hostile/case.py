"""A case: what is built, the command that is run on it, and what has to come of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

GB = 1e9
KIND_OF_END = {0: "done", 1: "some cells failed", 2: "refused", 3: "gate", 130: "stopped"}


@dataclass(frozen=True)
class Place:
    """Where a case is built and run. base: what is shared by all cases; `out` is the only folder that a command may
    write in, `work` is where it is started."""

    home: Path
    base: Path

    @property
    def given(self) -> Path:
        """What the stranger hands in."""
        return self.home / "in"

    @property
    def work(self) -> Path:
        """The folder in which the command is started."""
        return self.home / "work"

    @property
    def out(self) -> Path:
        """The run's folder."""
        return self.work / "out"

    @property
    def canary(self) -> Path:
        """A file that only code of the stranger's would make."""
        return self.home / "canary"


@dataclass(frozen=True)
class Outcome:
    """What became of a command. code: None where it was past its limit of time; peak: bytes of memory of its own that
    all its processes took together at most; left: processes that were still there afterwards."""

    place: Place
    code: int | None
    out: str
    err: str
    seconds: float
    peak: float
    left: int

    @property
    def record(self) -> dict[str, Any]:
        """The document of the run in `out`. Raises OSError where there is none."""
        found: dict[str, Any] = json.loads((self.place.out / "record.json").read_text())
        return found


@dataclass(frozen=True)
class Case:
    """name: kind/case; tries: what it tries, in a few words; make: builds it and gives the command's words; codes: exit
    codes that it may end with; environment, seconds, memory: as it is run; command: before the command, such as
    `prlimit`; meanwhile: what is done while it runs; wrong: what else is wrong with the outcome, "" for nothing."""

    name: str
    tries: str
    make: Callable[[Place], Sequence[object]]
    codes: tuple[int, ...] = (2,)
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 120.0
    memory: float = 2 * GB
    command: tuple[str, ...] = ()
    stays: bool = False  # it may leave a process: plugins are code, and may start others
    meanwhile: Callable[[Place, subprocess.Popen[bytes]], None] | None = None
    wrong: Callable[[Outcome], str] = lambda _: ""


def says(*words: str) -> Callable[[Outcome], str]:
    """The outcome's sentence has these words."""

    def wrong(found: Outcome) -> str:
        missing = [word for word in words if word not in found.out + found.err]
        return f"does not say {missing[0]!r}" if missing else ""

    return wrong


def cells(**wanted: str) -> Callable[[Outcome], str]:
    """What became of the cells of each attack in the record: fgsm="done"."""

    def wrong(found: Outcome) -> str:
        try:
            rows = found.record["cells"]
        except (OSError, ValueError) as error:
            return f"no record: {error}"
        got = {row["attack"]: row["status"] for row in rows}
        differ = [f"{name} is {got.get(name)}" for name, status in wanted.items() if got.get(name) != status]
        return "; ".join(differ)

    return wrong


def plain_page(found: Outcome) -> str:
    """The page of the run is of ordinary size, and text."""
    from tests.hostile_text import clean

    page = (found.place.out / "report.html").read_text()
    if not clean(page.split("<script>", maxsplit=1)[0].replace("\t", "")):
        return "odd letters on the page"
    return "" if len(page) < 3_000_000 else f"the page has {len(page)} letters"
