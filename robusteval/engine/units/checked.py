"""Is a unit that came from elsewhere what this run asked for? By its bytes alone: who made them is not trusted.

The seal says that nothing was changed on the way; this says that columns are there, of the right samples, of the right
type, and possible. That an attack found no more than it says cannot be seen from outside: whoever lends machines is
believed in that.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from robusteval.engine.plan.plan import Planned
from robusteval.engine.units.chunk import Context
from robusteval.engine.units.kept_candidates import Strengths
from robusteval.engine.units.store import attack_unit, judged_unit
from robusteval.engine.units.unit import JudgedUnit, UnitResult, chunk_rows
from robusteval.text import as_name

_WHOLE, _TRUTH, _REAL = torch.int64, torch.bool, torch.float64
_NAMES = 100  # of what an attack counts
_HUGE = 1e300
_MARGIN = 64 << 20  # bytes that a unit may take beside its images and columns


def fault(context: Context, planned: Planned, chunk: int, plan: str, content: bytes) -> str:
    """Why these bytes are not the finished unit of that cell and chunk, in words that go after "it"; "" where they
    are."""
    if not isinstance(content, bytes) or len(content) > most_bytes(context, planned, chunk):
        return "is no unit, or is larger than it can be"
    cell = planned.cell.id
    unit = judged_unit(content, plan, cell, chunk) if planned.source else attack_unit(content, plan, cell, chunk)
    if unit is None:
        return "was changed, or is not of this plan, cell and chunk"
    rows = chunk_rows(planned, len(context.samples), chunk)
    wrong = (
        _judged(planned, unit, context, rows) if isinstance(unit, JudgedUnit) else _attack(planned, unit, context, rows)
    )
    return next(wrong, "")


def most_bytes(context: Context, planned: Planned, chunk: int) -> int:
    """No honest unit is larger."""
    rows = chunk_rows(planned, len(context.samples), chunk)
    images: int = math.prod(_shape(context, rows)) * 8 * (1 + len(planned.strengths))
    table: int = (rows.stop - rows.start) * 8 * (32 + 8 * len(planned.strengths) + _classes(context, planned))
    most: int = images + table + _MARGIN
    return most


def _shape(context: Context, rows: slice) -> tuple[int, ...]:
    """Of the images of a chunk: nothing is read for it."""
    return rows.stop - rows.start, *context.samples.x.shape[1:]


def _classes(context: Context, planned: Planned) -> int:
    classes: int = context.pipelines[planned.cell.defense].defended.model.info.classes
    return classes


def _attack(planned: Planned, unit: UnitResult, context: Context, rows: slice) -> Iterator[str]:
    shape = _shape(context, rows)
    size, low, high = shape[0], *context.samples.bounds
    classes = context.pipelines[planned.cell.defense].classes
    whole, real = {"answer", "forwards", "backwards"}, {"distance", "l2", "suspicion"}
    for name in (*sorted(whole), *sorted(real), "survives"):
        kind = _WHOLE if name in whole else _REAL if name in real else _TRUTH
        if not _is(getattr(unit, name), (size,), kind):
            yield f"has no column {name} of {size} samples"
            return
    if not _is(unit.x, shape, torch.float32):
        yield "holds images of another shape"
        return
    slack = 1e-5 * (high - low)  # bounds are numbers of other precision than the images
    if not (bool(torch.isfinite(unit.x).all()) and bool(((unit.x >= low - slack) & (unit.x <= high + slack)).all())):
        yield "holds images outside of the pixel range"
    if bool((unit.distance < 0).any() | unit.distance.isnan().any() | (unit.l2 < 0).any() | unit.l2.isnan().any()):
        yield "holds distances that are none"
    live = context.initially_correct[planned.cell.defense][rows].cpu()
    if bool((unit.distance[~live] != 0).any()):
        yield "attacks samples that are wrong when clean here"
    lost = torch.isfinite(unit.distance) & (unit.distance > 0)
    if not _within(unit.answer, -1, classes) or bool((unit.answer[lost] < 0).any()):
        yield "holds answers that are no classes"
    if bool((unit.forwards < 0).any() | (unit.backwards < 0).any()):
        yield "holds passes fewer than none"
    yield from _more(planned, unit, size, _classes(context, planned))
    yield from _told(unit)
    wanted = list(planned.strengths)
    kept = unit.strengths
    if (kept is not None) != bool(wanted):
        yield "lacks candidates at the suite's strengths, or holds some that nobody asked for"
    elif kept is not None:
        yield from _strengths(kept, wanted, shape)


def _more(planned: Planned, unit: UnitResult, size: int, classes: int) -> Iterator[str]:
    """Columns that some cells have."""
    if (unit.member is not None) != bool(planned.members) or (
        unit.member is not None
        and not (_is(unit.member, (size,), _WHOLE) and _within(unit.member, -1, len(planned.members)))
    ):
        yield "does not say which members of its cascade won"
    every = planned.cell.target == "all" and not planned.members and not planned.starts
    if (unit.by_target is not None) != every or (
        unit.by_target is not None
        and not (_is(unit.by_target, (size, classes), _REAL) and bool((unit.by_target >= 0).all()))
    ):
        yield "does not hold a distance for each class"
    if unit.blind is not None and not (_is(unit.blind, (size,), _WHOLE) and bool((unit.blind >= 0).all())):
        yield "miscounts gradients"


def _told(unit: UnitResult) -> Iterator[str]:
    """What it says beside its columns."""
    if not (_number(unit.seconds) and _count(unit.zero_gradients) and _count(unit.bad_gradients)):
        yield "miscounts its passes or seconds"
    if not (_counts(unit.rejected) and _counts(unit.watched)):
        yield "miscounts candidates"
    points = unit.trace if isinstance(unit.trace, list) else [None]
    if len(points) > 400 or not all(
        isinstance(point, dict)
        and len(point) <= _NAMES
        and all(_named(name) and _number(value, None) for name, value in point.items())
        for point in points
    ):
        yield "holds a trace that is none"


def _strengths(kept: Strengths, wanted: list[float], shape: tuple[int, ...]) -> Iterator[str]:
    count, size = len(wanted), shape[0]
    if kept.values != wanted:
        yield "holds candidates at other strengths"
    columns = ((kept.fools, _TRUTH), (kept.answer, _WHOLE), (kept.distance, _REAL), (kept.l2, _REAL))
    if not _is(kept.x, (count, *shape), torch.float32) or not all(
        _is(column, (count, size), kind) for column, kind in columns
    ):
        yield "holds candidates of another shape"


def _judged(planned: Planned, unit: JudgedUnit, context: Context, rows: slice) -> Iterator[str]:
    count, size = len(planned.strengths), rows.stop - rows.start
    if unit.values != list(planned.strengths):
        yield "judges candidates at other strengths"
        return
    columns = ((unit.answer, _WHOLE), (unit.fools, _TRUTH), (unit.distance, _REAL), (unit.l2, _REAL))
    if not all(_is(column, (count, size), kind) for column, kind in columns):
        yield "lacks columns, or has some of other samples"
        return
    if unit.suspicion.numel() and not _is(unit.suspicion, (count, size), _REAL):
        yield "holds suspicions of other samples"
    if not _within(unit.answer, -1, context.pipelines[planned.cell.defense].classes):
        yield "holds answers that are no classes"
    if not _number(unit.seconds):
        yield "miscounts its seconds"


def _is(value: Tensor, shape: tuple[int, ...], dtype: torch.dtype) -> bool:
    return tuple(value.shape) == shape and value.dtype == dtype


def _within(value: Tensor, low: int, end: int) -> bool:
    return bool(((value >= low) & (value < end)).all())


def _number(value: object, least: float | None = 0.0) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool) and -_HUGE < value < _HUGE
    return plain and (least is None or float(value) >= least)  # type: ignore[arg-type]  # plain: it is a number


def _count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53


def _counts(value: object) -> bool:
    few = isinstance(value, Mapping) and len(value) <= _NAMES
    return few and all(_named(name) and _count(item) for name, item in value.items())  # type: ignore[attr-defined]


def _named(name: object) -> bool:
    """Whether it is a name that goes into a record as it is."""
    return isinstance(name, str) and as_name(name) == name
