"""Accuracy of the bare model against the mean L2 size of what an attack does, as the attack grows stronger."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Cell, Curve, Pipeline, Point, Record, Result

NAME = "strength-curve"


@dataclass(frozen=True)
class StrengthCurve:
    """One curve an attack and norm, a point a strength: measured on the candidates that the attack made at it.

    Not derived from smallest distances: an attack at a budget spends all of it also where less would do, and a smallest
    adversarial that is stretched may win no more. Cells without kept strengths (see the suite's `keep_strengths`) have
    none.
    """

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Accuracy of the bare model against the mean L2 size of an attack's perturbations as its strength grows.",
        "The usual form of comparing attacks before smallest distances; Carlini et al., 2019, say why those tell more",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """One result of curves; nothing where no bare cell kept its strengths."""
        bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
        if bare is None:
            return
        curves = [
            curve
            for cell in record.done(knowledge="none", defense=columns.BARE)
            for curve in _curves(record, cell, bare)
        ]
        if curves:
            yield Result(
                NAME,
                "strength/none",
                "curves",
                "Accuracy as each attack grows stronger",
                "Fixed attacks at each budget, minimal ones with their smallest adversarial stretched. The mean is "
                "over the attacked samples, won or not (minimal attacks: over those with an adversarial).",
                tags={"defense": columns.BARE},
                x_title="Mean L2 size of the perturbation (input units)",
                y_title="Accuracy",
                curves=curves,
            )


def _curves(record: Record, cell: Cell, bare: Pipeline) -> list[Curve]:
    """The curve of one cell, in the order of its strengths, from the clean accuracy at 0; or nothing."""
    right = columns.right_when_clean(record, bare)
    fit = sorted(
        (strength for strength in cell.strengths if len(strength.fools_model) == right.size),
        key=lambda strength: strength.strength,
    )
    if not fit or right.size == 0:
        return []
    points = [Point(0.0, float(right.mean()))]
    for strength in fit:
        kept = right & ~np.asarray(strength.fools_model, dtype=bool)
        points.append(Point(strength.mean_l2, float(kept.mean())))
    label = f"{cell.attack} ({columns.title(cell.norm)})"
    return [Curve(label, points, "l2", {"attack": cell.attack, "norm": cell.norm, "family": cell.family})]


@hookimpl
def robusteval_metrics() -> list[type[StrengthCurve]]:
    return [StrengthCurve]
