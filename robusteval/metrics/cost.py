"""What each attack cost, in passes counted at the model, and what it got for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import median
from robusteval.record.column import DISTANCE, SHARE
from robusteval.record.measured.per_sample import numbers, there
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Cell, Column, Record, Result, Scalar

NAME = "cost"
TABLE_COLUMNS = [
    Column("cell", "Cell"),
    Column("attack", "Attack"),
    Column("norm", "Norm"),
    Column("pipeline", "Pipeline"),
    Column("knowledge", "Knowledge"),
    Column("success", "Success", SHARE),
    Column("median-distance", "Median distance", DISTANCE),
    Column("mean-distance", "Mean distance", DISTANCE),
    Column("mean-l2", "Mean L2", "L2 distance"),
    Column("survive-8-bits", "Survive 8 bits", SHARE),
    Column("forward-per-sample", "Forward / sample", "passes"),
    Column("backward-per-sample", "Backward / sample", "passes"),
    Column("forward-total", "Forward total", "passes"),
    Column("backward-total", "Backward total", "passes"),
    Column("foretold-per-sample", "Foretold / sample", "passes"),
]


@dataclass(frozen=True)
class Cost:
    """One row a finished cell. No seconds: the document depends on the clock nowhere but in its times."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "3",
        "Success rate, distances, survival of rounding to 8 bits, and forward and backward passes per sample of each "
        "attack.",
        "Passes are counted at the pipeline, never by the attack",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """A table; nothing when no cell finished. Then what was foretold, and what of it was made, of the cells and
        probes that say beforehand what they cost."""
        known = {pipeline.defense: pipeline for pipeline in columns.pipelines(record)}
        rows = []
        for cell in record.done():
            pipeline = known.get(cell.defense)
            right = None if pipeline is None else columns.right_when_clean(record, pipeline)
            has_distances = right is not None and bool(columns.measured(record, [cell]))
            figures: list[Scalar] = [None] * 5
            if right is not None and has_distances:
                figures = [
                    *_success(columns.distances(cell, right)[right], cell.threat == "curve"),
                    _mean_l2(cell, right),
                    _survive(cell, right),
                ]
            forecast = cell.foretold if cell.forwards else None
            rows.append(
                [cell.id, cell.attack, cell.norm, cell.defense, cell.knowledge, *figures, *_passes(cell), forecast]
            )
        if rows:
            yield Result(
                NAME,
                "cost",
                "table",
                "What the attacks cost",
                "Success: share of the samples right when clean that were lost at any distance searched. The median "
                "counts a sample never lost as infinite; the means are over the lost ones only. Survive 8 bits: share "
                "of the lost ones whose adversarial still wins when its pixels are rounded to 256 levels.",
                columns=TABLE_COLUMNS,
                rows=rows,
            )
        yield from _forecast(record)


def _forecast(record: Record) -> Iterator[Result]:
    known = {pipeline.defense: columns.right_when_clean(record, pipeline) for pipeline in columns.pipelines(record)}
    forecast, passes = 0.0, 0
    for cell in (*record.done(), *(probe for probe in record.probes if probe.status == "done")):
        if cell.foretold is not None and cell.forwards and cell.defense in known:
            forecast += cell.foretold * int(known[cell.defense][: len(cell.forwards)].sum())
            passes += int(np.sum(cell.forwards)) + int(np.sum(cell.backwards))
    if forecast:
        what = "Forward and backward passes of the finished attacks and probes whose plugins say what they cost."
        yield Result(NAME, "passes/foretold", "scalar", "Passes foretold", what, forecast)
        yield Result(NAME, "passes/made", "scalar", "Passes made", what, float(passes))


def _success(distance: np.ndarray, smallest: bool) -> list[Scalar]:
    """Success rate, median and mean distance over the samples that are right when clean. smallest: whether the
    distances are the smallest that were found; those of an attack at one budget are not, so they have no median and no
    mean."""
    broken = distance[np.isfinite(distance)]
    if distance.size == 0:
        return [None, None, None]
    if not smallest:
        return [broken.size / distance.size, None, None]
    return [broken.size / distance.size, median(distance), float(broken.mean()) if broken.size else None]


def _mean_l2(cell: Cell, right: np.ndarray) -> float | None:
    """Mean ||delta||_2 of the smallest adversarials, whatever the cell's norm; None where none is known."""
    size = min(len(cell.l2), right.size)
    known = numbers(cell.l2)[:size][there(cell.l2)[:size] & right[:size]]
    return float(np.mean(known)) if known.size else None


def _survive(cell: Cell, right: np.ndarray) -> float | None:
    """Share of the wins that survive rounding to 8 bits; None where nothing was won."""
    size = min(len(cell.survives_8bit), right.size)
    known = numbers(cell.survives_8bit)[:size][there(cell.survives_8bit)[:size] & right[:size]]
    return int(known.sum()) / known.size if known.size else None


def _passes(cell: Cell) -> list[Scalar]:
    means = [float(np.mean(passes)) if passes else None for passes in (cell.forwards, cell.backwards)]
    totals = [int(np.sum(passes)) if passes else None for passes in (cell.forwards, cell.backwards)]
    return [*means, *totals]


@hookimpl
def robusteval_metrics() -> list[type[Cost]]:
    return [Cost]
