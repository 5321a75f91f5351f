"""From each class to each other one: how far the model is from taking the one for the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robusteval.hooks import hookimpl
from robusteval.metrics._common import bounded, columns
from robusteval.metrics._common.statistics import median
from robusteval.record.column import DISTANCE, SHARE
from robusteval.record.measured.per_sample import numbers, rows_of
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Cell, Column, Record, Result, Scalar

NAME = "targets"
COLUMNS = [
    Column("pipeline", "Pipeline"),
    Column("attack", "Attack"),
    Column("norm", "Norm"),
    Column("right-class", "Right class"),
    Column("target", "Target"),
    Column("samples", "Samples", "samples"),
    Column("success", "Success", SHARE),
    Column("median-distance", "Median distance", DISTANCE),
]
DESCRIPTION = (
    "Attacks on every class in turn (--target all): the share of the samples of a class that were taken for the "
    "target, and the median smallest distance of those, in units of the pixel range's values."
)


@dataclass(frozen=True)
class Targets:
    """One table a run with target "all": a row for each pair of classes, attack and norm."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Success and median distance from each class to each other one.",
        "Carlini, Wagner: Towards evaluating the robustness of neural networks, 2017 (best, average and worst target)",
    )

    def compute(self, record: Record) -> Iterator[Result]:
        rows = [row for cell in record.done() if cell.by_target for row in _rows(record, cell)]
        kept = bounded.heaviest([float(str(row[6])) for row in rows], bounded.room(record, bounded.MOST_PAIRS))
        cut = "" if len(kept) == len(rows) else f" The {len(kept)} most successful of {len(rows)} rows."
        if rows:
            listed = [rows[place] for place in kept]
            yield Result(
                NAME, "targets", "table", "From class to class", DESCRIPTION + cut, columns=COLUMNS, rows=listed
            )


def _rows(record: Record, cell: Cell) -> Iterator[list[Scalar]]:
    table = rows_of(cell.by_target)
    truth = columns.labels(record)
    attacked = numbers(cell.distance) > 0
    for label in range(record.model.classes):
        mine = table[attacked & (truth == label)]
        for goal in range(record.model.classes):
            if goal == label or len(mine) == 0:
                continue
            reach = mine[:, goal]
            found = reach[np.isfinite(reach)]
            yield [
                cell.defense,
                cell.attack,
                columns.title(cell.norm),
                _name(record, label),
                _name(record, goal),
                len(mine),
                len(found) / len(mine),
                median(found) if len(found) else None,
            ]


def _name(record: Record, number: int) -> str:
    names = record.model.class_names
    return names[number] if number < len(names) else str(number)


@hookimpl
def robusteval_metrics() -> list[type[Targets]]:
    return [Targets]
