"""Which samples to label next: those nearest to the boundary, in the worst case over attacks on the bare model."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robusteval.hooks import hookimpl
from robusteval.metrics._common import bounded, columns
from robusteval.metrics.per_class import class_name
from robusteval.record.column import DISTANCE
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Record, Result, Scalar

NAME = "label-next"
TABLE_COLUMNS = [
    Column("rank", "Rank"),
    Column("sample", "Sample"),
    Column("label", "Label"),
    Column("label-name", "Label name"),
    Column("distance", "Distance", DISTANCE),
    Column("attack", "Attack"),
    Column("flips-to", "Flips to"),
    Column("flips-to-name", "Flips to name"),
]


@dataclass(frozen=True)
class LabelNext:
    """One table a norm, nearest first. Ties keep the order of the data."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "The samples nearest to the model's boundary, ranked: more labels like these teach it most.",
        "Ducoffe and Precioso, Adversarial Active Learning for Deep Networks: a Margin Based Approach, 2018",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """From the bare cells; nothing in a norm without a finished one."""
        bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
        for norm in columns.NORMS:
            table = None if bare is None else _table(record, norm, columns.right_when_clean(record, bare))
            if table is not None:
                yield table


def _table(record: Record, norm: str, right: np.ndarray) -> Result | None:
    # At a fixed budget an attack stops at any win inside it, so only searched distances rank.
    searched = [cell for cell in columns.attack_cells(record, norm, columns.BARE) if cell.threat == "curve"]
    worst = columns.worst_case(searched, right)
    if worst is None:
        return None
    order = np.argsort(worst.distance, kind="stable")
    broken = order[right[order] & np.isfinite(worst.distance[order])].tolist()
    rows: list[list[Scalar]] = []
    named = len(record.data.names) == len(record.data.labels)
    for rank, sample in enumerate(broken[: bounded.room(record)], start=1):
        cell = worst.cells[int(worst.cell[sample])]
        answer = cell.prediction[sample] if sample < len(cell.prediction) else None
        label = record.data.labels[sample]
        head: list[Scalar] = [
            rank,
            sample,
            label,
            class_name(record, label),
            float(worst.distance[sample]),
            cell.attack,
        ]
        file = [record.data.names[sample]] if named else []
        rows.append([*head, answer, None if answer is None else class_name(record, answer), *file])
    if not rows:
        return None
    wrong, never = int((~right).sum()), int((right & ~np.isfinite(worst.distance)).sum())
    targets = sorted({cell.target for cell in worst.cells} - {"untargeted"})
    aimed = f" Distances are to a target ({', '.join(targets)}), not to the nearest other class." if targets else ""
    if len(rows) < len(broken):
        aimed += f" The first {len(rows)} of {len(broken)}; samples.parquet has the distances of all."
    return Result(
        NAME,
        f"label-next/{norm}",
        "table",
        f"Samples to label next, {columns.title(norm)}",
        "Nearest to the boundary first, worst case over attacks on the bare model; sample: its place in the evaluated "
        f"data, from 0. Left out: {wrong} that are wrong when clean already, {never} that were never lost.{aimed}",
        tags={"norm": norm},
        columns=[*TABLE_COLUMNS, *([Column("file", "File")] if named else [])],
        rows=rows,
    )


@hookimpl
def robusteval_metrics() -> list[type[LabelNext]]:
    return [LabelNext]
