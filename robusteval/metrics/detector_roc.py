"""How well a detector tells adversarials from clean samples, with its false alarms."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.detection import Case, cases
from robusteval.metrics._common.statistics import Roc, generator, roc, roc_figures
from robusteval.record.column import SHARE
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Curve, Pipeline, Point, Record, Result, Scalar

NAME = "detector-roc"
RATES = (0.01, 0.05)
POINTS = 80
TABLE_COLUMNS = [
    Column("detector", "Detector"),
    Column("attack", "Attack"),
    Column("norm", "Norm"),
    Column("knowledge", "Knowledge"),
    Column("strength", "Strength"),
    Column("positives", "Positives", "samples"),
    Column("negatives", "Negatives", "samples"),
    Column("auc", "AUC"),
    Column("auc-low", "AUC low"),
    Column("auc-high", "AUC high"),
    Column("tpr-at-1", "TPR at 1 %", SHARE),
    Column("tpr-at-1-low", "TPR at 1 % low", SHARE),
    Column("tpr-at-1-high", "TPR at 1 % high", SHARE),
    Column("tpr-at-5", "TPR at 5 %", SHARE),
    Column("tpr-at-5-low", "TPR at 5 % low", SHARE),
    Column("tpr-at-5-high", "TPR at 5 % high", SHARE),
]
DESCRIPTION = (
    "Negatives: clean samples that the model gets right. Positives: perturbed versions of them that fool the model. "
    "AUC: chance that a positive looks more suspicious than a negative, ties count half. TPR at 1 %: share of "
    "positives found when the threshold raises at most 1 % false alarms. For oblivious attacks a positive fools the "
    "bare model; for adaptive ones it fooled the whole pipeline, detector included. Intervals: 95 % bootstrap."
)


@dataclass(frozen=True)
class DetectorRoc:
    """One table and one set of curves per pipeline with a detector."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "ROC, AUC and true-positive rates at 1 % and 5 % false alarms, per attack, strength and knowledge.",
        "Fawcett, An introduction to ROC analysis, 2006",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """Nothing for pipelines without a detector; rows without positives keep their counts and no figures."""
        for pipeline in columns.pipelines(record):
            if len(pipeline.suspicion) == record.data.samples > 0:
                yield from _one(record, pipeline)


def _one(record: Record, pipeline: Pipeline) -> Iterator[Result]:
    clean = np.asarray(pipeline.suspicion, dtype=np.float64)
    right = columns.own_class_right(record, pipeline)
    negatives = clean[right & np.isfinite(clean)]
    rows, curves = [], []
    for case in cases(record, pipeline, right):
        rows.append(_row(record, pipeline, case, negatives))
        curve = roc(negatives, case.scores)
        if curve is not None:
            curves.append(Curve(case.label(), _points(curve), "roc", _tags(case)))
    if not rows:
        return
    few = ""
    if negatives.size < 100:
        few = f" With {negatives.size} negatives, fewer than 100, the 1 % column means no false alarm at all."
    tags: dict[str, Scalar] = {"defense": pipeline.defense, "threshold": pipeline.threshold}
    yield Result(
        NAME, f"roc-table/{pipeline.defense}", "table", f"Detector {pipeline.defense}", DESCRIPTION + few, tags=tags,
        columns=TABLE_COLUMNS, rows=rows,
    )  # fmt: skip
    if curves:
        yield Result(
            NAME, f"roc/{pipeline.defense}", "curves", f"ROC of {pipeline.defense}", DESCRIPTION, tags=tags,
            x_title="False alarms (share of clean samples flagged)",
            y_title="Found (share of adversarials flagged)", curves=curves,
        )  # fmt: skip


def _tags(case: Case) -> dict[str, Scalar]:
    cell = case.cell
    return {"attack": cell.attack, "norm": cell.norm, "knowledge": cell.knowledge, "strength": case.strength}


def _row(record: Record, pipeline: Pipeline, case: Case, negatives: NDArray[np.float64]) -> list[Scalar]:
    cell = case.cell
    head: list[Scalar] = [pipeline.defense, cell.attack, cell.norm, cell.knowledge, case.strength]
    counts: list[Scalar] = [int(case.scores.size), int(negatives.size)]
    rng = generator(record.seed, f"roc/{pipeline.defense}/{cell.id}/{case.strength}")
    figures = roc_figures(negatives, case.scores, RATES, rng)
    if figures is None:
        return head + counts + [None] * (3 + 3 * len(RATES))
    numbers = [figures.auc, *figures.found]
    return head + counts + [value for number in numbers for value in (number.value, number.low, number.high)]


def _points(curve: Roc) -> list[Point]:
    """The corners of the curve, thinned evenly in the true rate where there are too many."""
    turns = np.ones(curve.false.size, dtype=bool)
    flat = (np.diff(curve.false)[:-1] == 0) & (np.diff(curve.false)[1:] == 0)
    upright = (np.diff(curve.true)[:-1] == 0) & (np.diff(curve.true)[1:] == 0)
    turns[1:-1] = ~(flat | upright)
    false, true = curve.false[turns], curve.true[turns]
    if false.size > POINTS:
        # Low false-alarm rates matter most, so half of the points are spread over the lowest tenth.
        low = int(np.searchsorted(false, 0.1, side="right"))
        kept = np.unique(
            np.concatenate(
                [
                    np.linspace(0, max(low - 1, 0), POINTS // 2),
                    np.linspace(max(low - 1, 0), false.size - 1, POINTS // 2),
                ]
            )
            .round()
            .astype(int)
        )
        false, true = false[kept], true[kept]
    return [Point(float(x), float(y)) for x, y in zip(false, true, strict=True)]


@hookimpl
def robusteval_metrics() -> list[type[DetectorRoc]]:
    return [DetectorRoc]
