"""More samples in the same folder: which finished units of fewer samples stay.

A run that is asked for more samples attacks the same ones first (`engine/chunks.py`). A unit is a function of the plan
but for its samples, of the images of its chunk, and of what the pipelines of its cell look at beside them. That is
written down beside the units; where all of it is the same, a unit is sealed anew for the larger plan, and any other one
is made again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.store import UnitStore, attack_unit, judged_unit
from robusteval.engine.units.unit import chunk_count, chunk_rows
from robusteval.plain import read_plain
from robusteval.record.store import write_atomically

SAMPLES_SEEN = "samples.json"  # in the folder of the units
_LIMIT = 64 << 20  # bytes: of runs on more samples nothing is written down
_HASH = 32  # hexadecimal digits of a hash that are kept


@dataclass(frozen=True)
class SeenSamples:
    """What the units of a run look at. plan: its hash; rest: that of all but the samples; images: a hash a sample;
    beside: by pipeline, a hash a chunk of labels, clean answers and the scale of the detector."""

    plan: str
    rest: str
    images: list[str]
    beside: dict[str, list[str]]


def image_marks(hashes: Sequence[str]) -> list[str]:
    """Of the samples' hashes as much as is kept."""
    return [whole[:_HASH] for whole in hashes]


def seen_samples(plan: Plan, context: Context, hashes: Sequence[str]) -> SeenSamples:
    """Of the whole run that the context is of. hashes: of its images."""
    samples, least = context.samples, context.least_likely
    beside = {}
    for name, pipeline in context.pipelines.items():
        columns = [samples.y, context.initially_correct[name], *([] if least is None else [least])]
        starts = range(0, len(samples), plan.chunk)
        rows = [[column[start : start + plan.chunk].cpu().tolist() for column in columns] for start in starts]
        beside[name] = [_hash([repr(pipeline.scale), *part]) for part in rows]
    return SeenSamples(plan.sha256, plan.rest, image_marks(hashes), beside)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_HASH]


def may_grow(folder: Path, plan: Plan, hashes: Sequence[str]) -> bool:
    """Whether the run in a folder is that of the plan on a part of its samples."""
    seen = _read(folder / "units" / SAMPLES_SEEN)
    if seen is None or seen.rest != plan.rest or len(seen.images) >= len(hashes):
        return False
    return set(seen.images) <= set(image_marks(hashes))


def grow(units: UnitStore, plan: Plan, now: SeenSamples) -> None:
    """Takes over what was finished on fewer samples, and writes down what is looked at now. Whenever it is ended, the
    same call goes on. Raises RecordError where nothing can be written."""
    path = units.folder / SAMPLES_SEEN
    before = _read(path)
    if before == now:
        return
    if before is not None and before.rest == now.rest and len(before.images) < len(now.images):
        for planned in (*plan.planned, *plan.probes):
            for chunk in range(chunk_count(planned, len(before.images))):
                looked_at = (*planned.starts, *filter(None, [planned.source]))
                there = all(units.load(cell, chunk) is not None for cell in looked_at)
                if there and _same(planned, chunk, before, now):
                    _seal_anew(units, planned, chunk, before.plan)
    content = json.dumps(asdict(now)).encode()
    if len(content) <= _LIMIT:
        write_atomically(path, content)
    else:
        path.unlink(missing_ok=True)


def _same(planned: Planned, chunk: int, before: SeenSamples, now: SeenSamples) -> bool:
    """Whether a unit of fewer samples is, but for its seal, the one that would be made now."""
    rows = chunk_rows(planned, len(before.images), chunk)
    if rows != chunk_rows(planned, len(now.images), chunk) or before.images[rows] != now.images[rows]:
        return False
    # probes are of the first samples of the first chunk; some cells look at what bare ones found
    for name in ("none", planned.cell.defense):
        old, new = before.beside.get(name, []), now.beside.get(name, [])
        if not chunk < min(len(old), len(new)) or old[chunk] != new[chunk]:
            return False
    return True


def _seal_anew(units: UnitStore, planned: Planned, chunk: int, plan: str) -> None:
    content = units.content(planned.cell.id, chunk)
    if content is None:
        return
    unit = (judged_unit if planned.source else attack_unit)(content, plan, planned.cell.id, chunk)
    if unit is not None:
        units.save(planned.cell.id, chunk, unit)


def _read(path: Path) -> SeenSamples | None:
    """What was written down, or None where there is nothing that can be read."""
    try:
        data = json.loads(read_plain(path, _LIMIT, follow=False))
        seen = SeenSamples(**data)
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    plain = isinstance(seen.plan, str) and isinstance(seen.rest, str) and isinstance(seen.beside, dict)
    lists = [seen.images, *seen.beside.values()] if plain else [None]
    return (
        seen if all(isinstance(some, list) and all(isinstance(item, str) for item in some) for some in lists) else None
    )
