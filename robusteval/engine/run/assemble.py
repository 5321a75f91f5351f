"""From stored units to the document's cells: chunks put together, in the order of the data."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.units.kept_candidates import Strengths
from robusteval.engine.units.store import UnitStore
from robusteval.engine.units.unit import JudgedUnit, UnitResult, chunk_count
from robusteval.record.run import Cell, Strength
from robusteval.text import line


@dataclass
class Cells:
    """Finished cells of the plan, probes, and the seconds that each took."""

    cells: list[Cell] = field(default_factory=list)
    probes: list[Cell] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def cells(
    plan: Plan,
    samples: int,
    units: UnitStore,
    failures: dict[str, str],
    skipped: Collection[str] = (),
) -> Cells:
    """Every cell of the plan with its columns, or with the reason why it has none. samples: how many there are."""
    done = Cells()
    for planned in plan.planned:
        done.cells.append(_cell(planned, samples, units, failures, skipped, done.seconds))
    for planned in plan.probes:
        done.probes.append(_cell(planned, samples, units, failures, skipped, done.seconds))
    done.cells += plan.excluded
    return done


def _cell(
    planned: Planned,
    samples: int,
    units: UnitStore,
    failures: dict[str, str],
    skipped: Collection[str],
    seconds: dict[str, float],
) -> Cell:
    cell = planned.cell
    if cell.status == "excluded":
        return cell
    if cell.id in failures:
        cell.status, cell.reason = "failed", line(failures[cell.id], 500)
        return cell
    count = chunk_count(planned, samples)
    if planned.source:
        judged = [units.load_judged(cell.id, chunk) for chunk in range(count)]
        found_judged = [unit for unit in judged if unit is not None]
        stored = len(found_judged)
        if stored == count:
            _fill_judged(cell, found_judged)
        seconds[cell.id] = sum(unit.seconds for unit in found_judged)
    else:
        results = (units.load(cell.id, chunk) for chunk in range(count))
        found = [_columns(unit) for unit in results if unit is not None]
        stored = len(found)
        if stored == count:
            _fill(cell, found)
        seconds[cell.id] = sum(unit.seconds for unit in found)
    if stored == count:
        cell.status, cell.reason = "done", ""
    elif cell.id in skipped:
        cell.status, cell.reason = "skipped", f"the time budget ended; {stored} of its {count} units are done and kept"
    else:
        cell.status, cell.reason = "failed", "some of its units are not there"
    return cell


def _columns(unit: UnitResult) -> UnitResult:
    """A unit without its images, of which a whole cell may be more than fits into memory."""
    none, kept = torch.empty(0, device="cpu"), unit.strengths
    return replace(unit, x=none, strengths=None if kept is None else replace(kept, x=none))


def _fill(cell: Cell, units: list[UnitResult]) -> None:
    distance = _together([unit.distance for unit in units])
    cell.distance = [None if math.isinf(value) else value for value in distance]
    cell.l2 = [None if math.isinf(value) else value for value in _together([unit.l2 for unit in units])]
    answer = torch.cat([unit.answer for unit in units]).tolist()
    broken = [value is not None and value > 0 for value in cell.distance]
    cell.prediction = [int(value) if hit else None for value, hit in zip(answer, broken, strict=True)]
    suspicion = _together([unit.suspicion for unit in units])
    cell.suspicion = [None if math.isnan(value) or math.isinf(value) else value for value in suspicion]
    if all(value is None for value in cell.suspicion):
        cell.suspicion = []
    survives = torch.cat([unit.survives for unit in units]).tolist()
    cell.survives_8bit = [bool(value) if hit else None for value, hit in zip(survives, broken, strict=True)]
    cell.forwards = [int(value) for unit in units for value in unit.forwards]
    cell.backwards = [int(value) for unit in units for value in unit.backwards]
    cell.blind = [int(value) for unit in units if unit.blind is not None for value in unit.blind]
    cell.zero_gradients = sum(unit.zero_gradients for unit in units)
    cell.bad_gradients = sum(unit.bad_gradients for unit in units)
    rejected: Counter[str] = Counter()
    watched: Counter[str] = Counter()
    for unit in units:
        rejected.update(unit.rejected)
        watched.update(unit.watched)
    cell.watched = dict(sorted(watched.items()))
    cell.rejected = dict(sorted(rejected.items()))
    cell.trace = units[0].trace
    _fill_more(cell, units)
    _fill_strengths(cell, [unit.strengths for unit in units if unit.strengths is not None])


def _fill_more(cell: Cell, units: list[UnitResult]) -> None:
    """Columns that only cascades, or only attacks on every class in turn, have."""
    names = list(cell.params)
    members = [int(index) for unit in units if unit.member is not None for index in unit.member]
    cell.member = [names[index] if index >= 0 else None for index in members]
    tables = [unit.by_target for unit in units if unit.by_target is not None]
    cell.by_target = [
        [None if math.isinf(value) else float(value) for value in row] for part in tables for row in part.tolist()
    ]


def _fill_strengths(cell: Cell, kept: list[Strengths]) -> None:
    """What the bare model answered to its own adversarials at each strength, where they were kept."""
    for number, strength in enumerate(kept[0].values if kept else ()):
        sizes = [
            torch.cat([part[number] for part in parts])
            for parts in zip(*[(k.l2, k.distance) for k in kept], strict=True)
        ]
        l2, distance = (float(torch.nan_to_num(size.nanmean(), nan=0.0)) for size in sizes)
        fools = [bool(value) for strength in kept for value in strength.fools[number]]
        answer = [int(value) for strength in kept for value in strength.answer[number]]
        cell.strengths.append(Strength(float(strength), l2, distance, fools, answer))


def _fill_judged(cell: Cell, units: list[JudgedUnit]) -> None:
    for number, strength in enumerate(units[0].values):
        suspicion = [unit.suspicion[number] for unit in units if unit.suspicion.numel()]
        cell.strengths.append(
            Strength(
                strength=float(strength),
                mean_l2=float(torch.cat([unit.l2[number] for unit in units]).mean()),
                mean_distance=float(torch.cat([unit.distance[number] for unit in units]).mean()),
                fools_model=[bool(value) for unit in units for value in unit.fools[number]],
                prediction=[int(value) for unit in units for value in unit.answer[number]],
                suspicion=[float(value) for part in suspicion for value in torch.nan_to_num(part, nan=0.0)],
            )
        )


def _together(parts: list[Tensor]) -> list[float]:
    return [float(value) for value in torch.cat([part.double() for part in parts])]
