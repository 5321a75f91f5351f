"""The worst case on the bare model without some samples: those that a reader marked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from robusteval.assessment.answers.figures import Share, budget_of, left_at, quoted
from robusteval.metrics._common import columns
from robusteval.metrics._common.steps import step_points
from robusteval.record.run import Point, Record


@dataclass(frozen=True)
class Without:
    """One norm. eps: the budget that is quoted first; all, rest: shares of all samples and of those that are left;
    curves: the same as step curves; left_out, samples: how many were left out, and of how many."""

    norm: str
    eps: float
    all: Share
    rest: Share
    curve_of_all: list[Point]
    curve_of_rest: list[Point]
    left_out: int
    samples: int


def without(record: Record, norm: str, marked: Collection[int]) -> Without | None:
    """None where nothing was measured, nothing is marked, or nothing would be left. marked: samples whose adversarial
    shows another class, so that they count neither as right nor as wrong."""
    bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
    found = quoted(record, norm)
    eps = budget_of(found) if found is not None else None
    cells = columns.attack_cells(record, norm, columns.BARE)
    kept = np.array([sample not in marked for sample in range(record.data.samples)], dtype=bool)
    if bare is None or eps is None or kept.all() or not kept.any():
        return None
    worst = columns.worst_case(cells, columns.right_when_clean(record, bare))
    if worst is None:
        return None
    limit = columns.searched(cells) if columns.has_curve(cells) else max(cell.eps or 0.0 for cell in cells)
    every, rest = worst.distance, worst.distance[kept]
    return Without(
        norm,
        eps,
        left_at(every, eps),
        left_at(rest, eps),
        step_points(every, limit, band=True),
        step_points(rest, limit, band=True),
        int((~kept).sum()),
        kept.size,
    )
