"""Clean and robust accuracy of each class, and what it is mistaken for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import bounded, columns
from robusteval.metrics._common.statistics import median
from robusteval.record.column import DISTANCE, SHARE
from robusteval.record.measured.per_sample import numbers
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Pipeline, Record, Result, Scalar
from robusteval.record.units import budget_text

NAME = "per-class"
TABLE_COLUMNS = [
    Column("class", "Class"),
    Column("name", "Name"),
    Column("samples", "Samples", "samples"),
    Column("clean-accuracy", "Clean accuracy", SHARE),
    Column("robust-accuracy", "Robust accuracy", SHARE),
    Column("median-distance", "Median distance", DISTANCE),
    Column("flips-most-to", "Flips most to"),
    Column("flips-to-name", "Flips to name"),
    Column("share-of-its-flips", "Share of its flips", SHARE),
]
FLIP_COLUMNS = [
    Column("class", "Class"),
    Column("name", "Name"),
    Column("flips-to", "Flips to"),
    Column("flips-to-name", "Flips to name"),
    Column("samples", "Samples", "samples"),
    Column("share", "Share", SHARE),
]


@dataclass(frozen=True)
class PerClass:
    """Two tables per norm and pipeline, from the worst case over attacks: the classes, and what flips to what."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "2",
        "Clean and robust accuracy per class, and the classes that its samples are flipped to.",
        "Worst case over attacks, as in the accuracy curve",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """Classes without samples are left out; nothing for a pipeline that was not attacked."""
        for pipeline in columns.pipelines(record):
            for norm in columns.NORMS:
                table = _table(record, pipeline, norm)
                if table is not None:
                    yield table
                flips = _matrix(record, pipeline, norm)
                if flips is not None:
                    yield flips


def _table(record: Record, pipeline: Pipeline, norm: str) -> Result | None:
    right = columns.right_when_clean(record, pipeline)
    cells = columns.attack_cells(record, norm, pipeline.defense)
    worst = columns.worst_case(cells, right)
    if worst is None:
        return None
    eps = columns.reference_budget(record, norm, columns.budgets(record, norm, cells), cells)
    truth, flips = columns.labels(record), _flips(worst)
    rows = []
    for index in range(record.model.classes):
        mine = truth == index
        if mine.any():
            robust = None if eps is None else float(columns.beyond(worst.distance[mine], eps).mean())
            head: list[Scalar] = [index, class_name(record, index), int(mine.sum()), float(right[mine].mean()), robust]
            half = median(worst.distance[mine & right]) if columns.has_curve(cells) else None
            rows.append([*head, half, *_favourite(record, flips[mine], index)])
    if not rows:
        return None
    at = "no reference budget was searched"
    if eps is not None:
        at = f"robust accuracy at {columns.title(norm)} {budget_text(eps, norm, columns.span(record))}"
    return Result(
        NAME,
        f"per-class/{norm}/{pipeline.defense}",
        "table",
        f"Per class, {columns.title(norm)}",
        f"Worst case over attacks; {at}. Median distance over the samples right when clean, never lost counts as "
        "infinite. Flips: the answer to the closest adversarial of each sample.",
        tags={"norm": norm, "defense": pipeline.defense, "eps": eps},
        columns=TABLE_COLUMNS,
        rows=rows,
    )


def _matrix(record: Record, pipeline: Pipeline, norm: str) -> Result | None:
    """Every pair of classes with a flip, the most frequent of each class first."""
    right = columns.right_when_clean(record, pipeline)
    worst = columns.worst_case(columns.attack_cells(record, norm, pipeline.defense), right)
    if worst is None:
        return None
    truth, flips = columns.labels(record), _flips(worst)
    known = (flips >= 0) & (flips < record.model.classes) & (flips != truth)
    rows: list[list[Scalar]] = []
    for index in np.unique(truth[known]).tolist():
        mine = flips[known & (truth == index)]
        counts = np.bincount(mine, minlength=record.model.classes)
        for number in np.argsort(-counts, kind="stable")[: int((counts > 0).sum())].tolist():
            names: list[Scalar] = [index, class_name(record, index), number, class_name(record, number)]
            rows.append([*names, int(counts[number]), float(counts[number] / mine.size)])
    if not rows:
        return None
    kept = bounded.heaviest([float(str(row[4])) for row in rows], bounded.room(record, bounded.MOST_FLIPS))
    cut = "" if len(kept) == len(rows) else f" The {len(kept)} most frequent of {len(rows)} pairs."
    return Result(
        NAME,
        f"flips/{norm}/{pipeline.defense}",
        "table",
        f"What flips to what, {columns.title(norm)}",
        "The answer to the closest adversarial of each sample that is right when clean, over all attacks. "
        f"Share: of the class's own flips.{cut}",
        tags={"norm": norm, "defense": pipeline.defense},
        columns=FLIP_COLUMNS,
        rows=[rows[place] for place in kept],
    )


def class_name(record: Record, index: int) -> str:
    """The class's name, or its number where the model has none."""
    names = record.model.class_names
    return names[index] if 0 <= index < len(names) else str(index)


def _flips(worst: columns.Worst) -> NDArray[np.int64]:
    """[N] the pipeline's answer to each sample's closest adversarial; -1 where there is none or it is not known."""
    answers = np.full(worst.cell.size, -1, dtype=np.int64)
    for index, cell in enumerate(worst.cells):
        known = numbers(cell.prediction, -1).astype(np.int64)
        mine = np.flatnonzero(worst.cell[: known.size] == index)
        answers[mine] = known[mine]
    return answers


def _favourite(record: Record, answers: NDArray[np.int64], own: int) -> list[Scalar]:
    known = answers[(answers >= 0) & (answers < record.model.classes) & (answers != own)]
    if known.size == 0:
        return [None, None, None]
    counts = np.bincount(known, minlength=record.model.classes)
    most = int(counts.argmax())
    return [most, class_name(record, most), float(counts[most] / known.size)]


@hookimpl
def robusteval_metrics() -> list[type[PerClass]]:
    return [PerClass]
