"""What is left of the bare model at every stop of the budget slider: all images, by attack and by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.assessment.answers.figures import SPREAD, Share, budget_of, left_at, quoted
from robusteval.metrics._common import columns
from robusteval.record.run import Cell, Record
from robusteval.record.units import norm_width

STEPS = 32  # stops between nothing and where nothing more happens
_GONE = 0.02  # accuracy at which nothing more happens


@dataclass(frozen=True)
class Sweep:
    """One norm. stops: [S] budgets in the norm, rising; start: the one that is quoted first; worst: [S]; attacks: by
    cell id, [S], None where the attack did not look so far; classes: by index, [S] shares of the class's images."""

    norm: str
    stops: tuple[float, ...]
    start: int
    worst: tuple[Share, ...]
    attacks: dict[str, tuple[Share | None, ...]]
    classes: dict[int, tuple[float, ...]]


def sweep(record: Record, norm: str, classes: Sequence[int]) -> Sweep | None:
    """None where no figure is quoted in this norm. classes: of which shares are wanted."""
    bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
    found = quoted(record, norm)
    reference = budget_of(found) if found is not None else None
    if bare is None or reference is None:
        return None
    right = columns.right_when_clean(record, bare)
    cells = columns.attack_cells(record, norm, columns.BARE)
    worst = columns.worst_case(cells, right)
    if worst is None:
        return None
    stops = _stops(record, norm, cells, worst.distance, reference)
    truth = columns.labels(record)
    return Sweep(
        norm,
        tuple(stops),
        min(range(len(stops)), key=lambda place: abs(stops[place] - reference)),
        tuple(left_at(worst.distance, eps) for eps in stops),
        {cell.id: _by(cell, columns.distances(cell, right), stops) for cell in cells},
        {index: _of_class(worst.distance[truth == index], stops) for index in classes if (truth == index).any()},
    )


def _of_class(distance: NDArray[np.float64], stops: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(columns.beyond(distance, eps).mean()) for eps in stops)


def _by(cell: Cell, distance: NDArray[np.float64], stops: Sequence[float]) -> tuple[Share | None, ...]:
    """One that was run at one budget has a figure there alone; one that searched, as far as it did."""
    return tuple(left_at(distance, eps) if _asked(cell, eps) else None for eps in stops)


def _asked(cell: Cell, eps: float) -> bool:
    if cell.threat == "budget":
        return cell.eps is not None and abs(cell.eps - eps) <= SPREAD * eps
    return cell.eps is None or eps <= cell.eps * (1 + SPREAD)


def _stops(
    record: Record, norm: str, cells: list[Cell], distance: NDArray[np.float64], reference: float
) -> list[float]:
    """The budgets of the run; where smallest distances were looked for, an even grid between them too."""
    width = norm_width(norm, record.model.bounds)
    reach = columns.searched(cells)
    run_at = columns.run_at(cells)
    wanted = [reference, *run_at]
    # the figure at a budget that nobody searched is nobody's: without a curve the run's own budgets are all there is
    if columns.has_curve(cells):
        end = max(min(_end(distance, max(wanted)), math.inf if reach is None else reach), reference)
        # where all is lost a slider has nothing to show; the tables have such budgets
        wanted = [reference, *(eps for eps in run_at if eps <= end * (1 + SPREAD))]
        wanted += [eps for eps in columns.budgets(record, norm, cells) if eps <= end * (1 + SPREAD)]
        wanted += _grid(norm, end, width)
    kept: list[float] = []
    for eps in sorted(wanted):
        if not kept or eps - kept[-1] > SPREAD * max(eps, 1e-12):
            kept.append(eps)
    return kept


def _end(distance: NDArray[np.float64], otherwise: float) -> float:
    """Half as far again as where less than 2 % of the images are left; where it never comes to that, as far as anything
    was lost; `otherwise` where nothing was."""
    lost = np.sort(distance[np.isfinite(distance) & (distance > 0)])
    if not lost.size:
        return otherwise
    place = math.ceil((1 - _GONE) * distance.size) - 1 - int((distance == 0).sum())
    return 1.5 * float(lost[max(place, 0)]) if place < lost.size else max(float(lost[-1]), otherwise)


def _grid(norm: str, end: float, width: float) -> list[float]:
    """Up to 32 even steps: whole pixels in L0, whole 255ths of the range in Linf where they are fine enough."""
    unit = {"l0": 1.0, "linf": width / 255}.get(norm, 0.0)
    step = end / STEPS
    if unit and end >= 8 * unit:
        step = unit * max(math.ceil(step / unit), 1)
    else:
        step = float(f"{step:.1g}") or step
    return [step * count for count in range(1, min(int(end / step + SPREAD), 2 * STEPS) + 1)] if step > 0 else []
