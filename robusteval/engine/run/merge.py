"""`robusteval merge`: finished units of one plan from several folders in one, and the document of the whole run.

What looks at the adversarials of others (transferred and oblivious cells), the tests of the evaluation, gallery and
witnesses are made here: they are cheap beside the attacks. The folders are strangers': of what they hold only names
that this plan makes are opened, no links are followed, and a unit is taken where its bytes are what this run asks for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.plan.plan import Planned
from robusteval.engine.plan.shards import Shard, shard_of
from robusteval.engine.run.folder import locked
from robusteval.engine.run.runner import Begun, begin, finish, started
from robusteval.engine.run.shard import Clean, ShardPage, clean, plain_file, read_page
from robusteval.engine.schedule.environment import environment
from robusteval.engine.schedule.schedule import Listener, Part, attacked_alone, right
from robusteval.engine.units.checked import fault, most_bytes
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.unit import chunk_count
from robusteval.errors import RecordError
from robusteval.foreign import heeding_ctrl_c
from robusteval.plain import real
from robusteval.record.run import Record

_ALIKE = 1e-3  # of the largest value: what processors differ by in scores, and defences fitted anew do not

_SHOWN = 10  # missing units that are named


@dataclass
class _Found:
    """Units by cell: the failed ones with their reasons, and those that are nowhere."""

    failed: dict[str, dict[int, str]] = field(default_factory=dict)
    missing: list[tuple[str, int]] = field(default_factory=list)


def merge(job: Job, folders: Sequence[Path], listener: Listener = lambda _: None) -> Record:
    """Unites the units of the folders in the job's own, does the rest of the run there, and returns its record.

    Raises RecordError where a folder is none of a shard of this plan, a unit is not what it should be, was made twice,
    or is missing.
    """
    _check_apart(job.folder, folders)
    pages = {folder: read_page(folder) for folder in folders}
    _check_plan(job, pages)
    with heeding_ctrl_c(), locked(job.folder), started(job) as ready:
        begun = begin(ready)
        _check_clean(begun, pages)
        found = _gather(job, begun, pages)
        if found.missing:
            raise _missing(found.missing, pages)
        return finish(begun, listener, Part(failed=found.failed), _machines(job, begun, pages))


def _check_apart(out: Path, folders: Sequence[Path]) -> None:
    places = [real(folder) for folder in folders]
    if real(out) in places:
        raise RecordError(f"The folder {out} is one of the shards.", "Choose another with --out.")
    for folder in folders:
        if places.count(real(folder)) > 1:
            raise RecordError(f"The folder {folder} is given twice.", "Give each shard once.")


def _check_plan(job: Job, pages: Mapping[Path, ShardPage]) -> None:
    plan = plan_of(job).sha256
    for folder, page in pages.items():
        if page.model != job.model.info.sha256:
            raise RecordError(
                f"{folder} is a shard of another model ({page.model[:12]}, not {job.model.info.sha256[:12]}).",
                "Merge shards of one model file, with that very file at its place.",
            )
        if page.plan != plan:
            raise RecordError(
                f"{folder} is a shard of another plan ({page.plan[:12]}, not {plan[:12]}): other data, suite, seed, "
                "options, plugins or version.",
                "Merge shards of one command, where its files are as they were.",
            )


def _check_clean(begun: Begun, pages: Mapping[Path, ShardPage]) -> None:
    """Raises RecordError where a shard attacked other pipelines than those that were fitted here."""
    here = {row.defense: row for row in clean(begun)}
    for folder, page in pages.items():
        for row in page.pipelines:
            own = here.get(row.defense)
            if own is None or not _alike(own, row):
                name = "the model" if row.defense == "none" else f"the model behind {row.defense}"
                raise RecordError(
                    f"On the machine of {folder} {name[:100]} answers the clean samples otherwise than here.",
                    "Run and merge shards on machines of one kind, with the same versions of torch and ONNX Runtime.",
                )


def _alike(one: Clean, other: Clean) -> bool:
    if (one.status, one.prediction, one.label) != (other.status, other.prediction, other.label):
        return False
    pairs = [(one.confidence, other.confidence), (one.suspicion, other.suspicion)]
    if (one.threshold is None) != (other.threshold is None):
        return False
    if one.threshold is not None and other.threshold is not None:
        pairs.append(([*one.suspicion, one.threshold], [*other.suspicion, other.threshold]))
    return all(_near(first, second) for first, second in pairs)


def _near(first: list[float], second: list[float]) -> bool:
    scale = max((abs(value) for value in (*first, *second)), default=0.0)
    return len(first) == len(second) and all(
        math.isclose(a, b, rel_tol=0.0, abs_tol=_ALIKE * scale) for a, b in zip(first, second, strict=True)
    )


def _gather(job: Job, begun: Begun, pages: Mapping[Path, ShardPage]) -> _Found:
    """Copies the units into the job's folder."""
    live = begun.fitted.by_defense
    attackable = {row.defense: right(job, row.prediction) for row in begun.fitted.rows if row.defense in live}
    context = Context(live, job.samples, attackable, job.seed, levels=job.suite.levels)
    failed = {folder: {(item.cell, item.chunk): item.reason for item in page.failed} for folder, page in pages.items()}
    found = _Found()
    for planned in (*begun.plan.planned, *begun.plan.probes):
        if planned.cell.defense not in live or not attacked_alone(planned):
            continue
        for chunk in range(chunk_count(planned, len(job.samples))):
            unit = (planned.cell.id, chunk)
            if _taken(begun, context, planned, chunk, list(pages)):
                continue
            reasons = [of[unit] for of in failed.values() if unit in of]
            if reasons:
                found.failed.setdefault(unit[0], {})[chunk] = reasons[0]
            else:
                found.missing.append(unit)
    return found


def _taken(begun: Begun, context: Context, planned: Planned, chunk: int, folders: list[Path]) -> bool:
    """Stores a unit that one of the folders holds; whether there was one."""
    store, cell = begun.units, planned.cell.id
    own = store.path(cell, chunk)
    taken: dict[Path, bytes] = {}
    for folder in (store.folder.parent, *folders):
        content = plain_file(folder / "units" / own.name, most_bytes(context, planned, chunk))
        if content is None:
            if (folder / "units" / own.name).is_symlink() or (folder / "units").is_symlink():
                raise RecordError(f"{folder / 'units' / own.name} is a link.", "Merge folders as the shards left them.")
            continue
        reason = fault(context, planned, chunk, store.plan, content)
        if reason and folder == store.folder.parent:
            continue  # as in any run, what is damaged in its own folder is made again, here from the shards
        if reason:
            raise RecordError(
                f"Unit {chunk} of {cell} in {folder} cannot be used: it {reason}.",
                "Remove that file, run the shard again, and merge.",
            )
        taken[folder] = content
    if len(set(taken.values())) > 1:
        raise RecordError(
            f"Unit {chunk} of {cell} was made more than once, with other bytes: in {' and in '.join(map(str, taken))}.",
            "Leave out all but one of these folders, or give --out a new one.",
        )
    if taken and store.folder.parent not in taken:
        store.put(cell, chunk, next(iter(taken.values())))
    return bool(taken)


def _missing(missing: list[tuple[str, int]], pages: Mapping[Path, ShardPage]) -> RecordError:
    shown = ", ".join(f"{cell} {chunk}" for cell, chunk in missing[:_SHOWN])
    more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
    shards = {shard_of(page.shard) for page in pages.values()}
    counts = {shard.count for shard in shards}
    if len(counts) == 1:
        parts = [Shard(number + 1, *counts) for number in range(*counts)]
        lacking = [str(part) for part in parts if any(part.holds(*unit) for unit in missing)]
        more += f" (of shard {', '.join(lacking[:_SHOWN])}{' ...' if len(lacking) > _SHOWN else ''})"
    open_ones = [f"{folder} (shard {page.shard[:20]})" for folder, page in pages.items() if not page.finished]
    given = ", ".join(str(shard) for shard in sorted(shards, key=lambda shard: (shard.count, shard.number)))
    count = "1 unit is" if len(missing) == 1 else f"{len(missing)} units are"
    again = f" Not finished: {', '.join(open_ones)}." if open_ones else ""
    return RecordError(
        f"{count} missing: {shown}{more}.",
        f"Given were the shards {given}.{again} Run what is missing, with the same command, and give all folders.",
    )


def _machines(job: Job, begun: Begun, pages: Mapping[Path, ShardPage]) -> dict[str, str]:
    """For the record: where the shards' machines were others than this one."""
    here = environment(job.model.info.provider) | {"passes": begun.passes}
    others: dict[str, set[str]] = {}
    for page in pages.values():
        for name, value in page.environment.items():
            if here.get(name) != value:
                others.setdefault(name, set()).add(value)
    if not others:
        return {}
    said = [f"{name} {' and '.join(sorted(values))}" for name, values in sorted(others.items())]
    return {"shards": f"Some units were made elsewhere: {'; '.join(said)}"[:1000]}
