"""CLEVER beside the smallest distance that an attack found. The estimates themselves are in the record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import median
from robusteval.metrics.per_class import class_name
from robusteval.record.column import DISTANCE
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Estimate, Record, Result, Scalar

NAME = "clever"
TABLE_COLUMNS = [
    Column("sample", "Sample"),
    Column("label-name", "Label name"),
    Column("clever", "CLEVER", DISTANCE),
    Column("at-its-limit", "At its limit"),
    Column("smallest-distance-found", "Smallest distance found", DISTANCE),
    Column("attack", "Attack"),
    Column("ratio", "Ratio"),
    Column("fit-p", "Fit p"),
]
CAVEAT = (
    "CLEVER is an estimate from gradients near the sample, not a bound: it is too large where few gradients were "
    "drawn, and where gradients are masked (Goodfellow 2018; its authors reply that it is meant for white-box use). So "
    "it is never shown alone: the truth cannot lie above the distance at which an attack won."
)


@dataclass(frozen=True)
class Clever:
    """A table a norm, a row an estimated sample, and the median of each column as scalars."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "CLEVER, an estimate of the smallest distance from gradients, beside the smallest distance that an attack "
        "found.",
        "Weng et al., Evaluating the Robustness of Neural Networks: An Extreme Value Theory Approach, 2018",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """From the record's estimates named clever; nothing where the suite asked for none."""
        bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
        for row in record.estimates:
            if bare is None or row.name != NAME or row.status != "done" or not row.samples:
                continue
            if not len(row.samples) == len(row.value) == len(row.fit) or max(row.samples) >= record.data.samples:
                continue
            yield from _one(record, row, columns.right_when_clean(record, bare))


def _one(record: Record, row: Estimate, right: np.ndarray) -> Iterable[Result]:
    worst = columns.worst_case(columns.attack_cells(record, row.norm, columns.BARE), right)
    rows: list[list[Scalar]] = []
    for sample, value, fit in zip(row.samples, row.value, row.fit, strict=True):
        found = float(worst.distance[sample]) if worst is not None else np.inf
        nearest = found if np.isfinite(found) and found > 0 else None
        attack = worst.cells[int(worst.cell[sample])].attack if worst is not None and nearest is not None else None
        ratio = value / nearest if value is not None and nearest is not None else None
        capped = None if value is None or row.limit is None else value >= row.limit
        rows.append(
            [sample, class_name(record, record.data.labels[sample]), value, capped, nearest, attack, ratio, fit]
        )
    title = columns.title(row.norm)
    tags: dict[str, Scalar] = {"norm": row.norm}
    yield Result(
        NAME, f"clever/{row.norm}", "table", f"CLEVER, {title}",
        f"{CAVEAT} Drawn in a ball of radius {row.limit:.4g}, its largest possible value." if row.limit else CAVEAT,
        tags=tags | {"limit": row.limit}, columns=TABLE_COLUMNS, rows=rows,
    )  # fmt: skip
    known = np.array([value for value in row.value if value is not None], dtype=np.float64)
    upper = np.array([np.inf if row[4] is None else float(row[4]) for row in rows], dtype=np.float64)
    for key, name, values in (("clever", "CLEVER", known), ("upper", "Smallest distance found", upper)):
        yield Result(
            NAME, f"clever-median/{row.norm}/{key}", "scalar", f"Median over {values.size} samples, {title}: {name}",
            CAVEAT if key == "clever" else "Of the same samples; never lost counts as infinite.",
            median(values), tags=tags | {"measure": "clever-median", "key": key},
        )  # fmt: skip


@hookimpl
def robusteval_metrics() -> list[type[Clever]]:
    return [Clever]
