"""`--shard 3/8`: one part of a run's attacks, in a folder of its own, for `robusteval merge` to unite.

Such a folder holds units, and a sealed page that says of which plan they are, which of them failed, and what the
shard's machine made of the clean samples. It holds no record: what a part found says nothing of a model.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.plan.shards import Shard
from robusteval.engine.run.folder import SHARD_FILE, locked
from robusteval.engine.run.runner import Begun, attack_part, begin, started
from robusteval.engine.schedule.environment import environment
from robusteval.engine.schedule.schedule import Attacked, Listener, Part, attacked_alone
from robusteval.engine.units.unit import chunk_count
from robusteval.errors import RecordError
from robusteval.foreign import heeding_ctrl_c
from robusteval.record.decode import decode, parse
from robusteval.record.store import RECORD_FILE, write_atomically

_MOST_BYTES = 256 << 20
_PARTS = "Give folders that `robusteval run ... --shard` made."


@dataclass
class FailedUnit:
    """A unit that was tried, and why it failed."""

    cell: str
    chunk: int
    reason: str


@dataclass
class Clean:
    """What a pipeline answered on the clean samples, as record.measured.Pipeline has it."""

    defense: str
    status: str
    prediction: list[int]
    label: list[int]
    confidence: list[float]
    suspicion: list[float]
    threshold: float | None


@dataclass
class ShardPage:
    """What a shard's folder says of itself. words: the run's arguments, as the user gave them."""

    plan: str
    model: str
    shard: str
    words: list[str]
    environment: dict[str, str]
    pipelines: list[Clean] = field(default_factory=list)
    failed: list[FailedUnit] = field(default_factory=list)
    finished: bool = False


@dataclass(frozen=True)
class ShardDone:
    """How a shard ended: its units, and the cells of which some failed, with the reason."""

    units: int
    failures: dict[str, str]


def run_shard(job: Job, shard: Shard, words: Sequence[str], listener: Listener = lambda _: None) -> ShardDone:
    """Runs the units of a shard that are not stored yet, and writes no record.

    Raises RecordError where the folder cannot be used, or holds another shard or a whole run.
    """
    with heeding_ctrl_c(), locked(job.folder):
        if not job.overwrite:
            _check_own(job.folder, shard)
        plan = plan_of(job)
        needed = {cell.cell.defense for cell in _planned(plan) if _of(cell, shard, len(job.samples))}
        with started(job) as ready:
            begun = begin(ready, needed)
            page = _made(ready, begun, shard, words)
            _write(job.folder, page)
            done = attack_part(begun, listener, Part(shard))
            page.failed, page.finished = _failed(done), True
            _write(job.folder, page)
    return ShardDone(done.total, done.failures)


def _made(job: Job, begun: Begun, shard: Shard, words: Sequence[str]) -> ShardPage:
    return ShardPage(
        plan=begun.plan.sha256,
        model=job.model.info.sha256,
        shard=str(shard),
        words=list(words),
        environment=environment(job.model.info.provider) | {"passes": begun.passes},
        pipelines=clean(begun),
    )


def clean(begun: Begun) -> list[Clean]:
    """The pipelines as they were fitted here."""
    names = [entry.name for entry in dataclasses.fields(Clean)]
    return [Clean(**{name: getattr(row, name) for name in names}) for row in begun.fitted.rows]


def read_page(folder: Path) -> ShardPage:
    """The page of a shard's folder; nothing in it is believed but its form. Raises RecordError where there is none."""
    content = plain_file(folder / SHARD_FILE, _MOST_BYTES)
    if content is None:
        raise RecordError(f"{folder} is not the folder of a shard.", _PARTS)
    try:
        data = parse(content.decode(), "shard's page", _PARTS)
    except UnicodeDecodeError:
        raise RecordError(f"{folder / SHARD_FILE} was changed.", _PARTS) from None
    if data.pop("sha256", None) != _seal(data):
        raise RecordError(f"{folder / SHARD_FILE} was changed since the shard ran.", "Run that shard again.")
    return decode(ShardPage, data, "shard's page")


def plain_file(path: Path, most: int) -> bytes | None:
    """The content of a regular file of at most so many bytes in a folder that is none of ours: no link is followed,
    neither for the file nor for its folder, and no device is waited for. None where there is none such."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        within = os.open(path.parent, flags | os.O_DIRECTORY) if path.parent.name == "units" else None
        try:
            handle = os.open(path if within is None else path.name, flags | os.O_NONBLOCK, dir_fd=within)
        finally:
            if within is not None:
                os.close(within)
        with os.fdopen(handle, "rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
                return None
            content = file.read(most + 1)
    except OSError:
        return None
    return content if len(content) <= most else None


def _check_own(folder: Path, shard: Shard) -> None:
    """Raises RecordError where the folder holds a record, or another shard of whatever plan."""
    if (folder / RECORD_FILE).exists():
        raise RecordError(f"The folder {folder} holds a whole run.", "Give the shard another with --out.")
    if (folder / SHARD_FILE).exists() and (other := read_page(folder).shard) != str(shard):
        raise RecordError(
            f"The folder {folder} holds shard {other[:20]}, not {shard}.",
            "Give each shard a folder of its own with --out.",
        )


def _planned(plan: Plan) -> list[Planned]:
    return [*plan.planned, *plan.probes]


def _of(planned: Planned, shard: Shard, samples: int) -> bool:
    """Whether any unit of a cell is of the shard."""
    count = chunk_count(planned, samples)
    return attacked_alone(planned) and any(shard.holds(planned.cell.id, chunk) for chunk in range(count))


def _failed(done: Attacked) -> list[FailedUnit]:
    return [FailedUnit(cell, chunk, reason[:500]) for cell, of in done.units.items() for chunk, reason in of.items()]


def _write(folder: Path, page: ShardPage) -> None:
    data = dataclasses.asdict(page)
    write_atomically(folder / SHARD_FILE, json.dumps(data | {"sha256": _seal(data)}, indent=1).encode())


def _seal(data: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
