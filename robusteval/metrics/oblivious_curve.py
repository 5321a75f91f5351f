"""Accuracy of a defended pipeline as the strength of an attack on the bare model grows (mean L2 on the x-axis)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Cell, Curve, Pipeline, Point, Record, Result, Scalar

NAME = "oblivious-curve"


@dataclass(frozen=True)
class ObliviousCurve:
    """One result a defence; two curves an attack: the defended pipeline, and the bare model on the same images."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Accuracy against mean L2 as an attack that does not know the defence grows stronger.",
        "The usual form in the literature on detectors; Carlini and Wagner, 2017, say why it is not enough",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """Curves per defended pipeline; a defence without judged strengths yields nothing."""
        known = columns.pipelines(record)
        bare = next((pipeline for pipeline in known if pipeline.defense == columns.BARE), None)
        for pipeline in known:
            if pipeline.defense == columns.BARE:
                continue
            cells = [cell for cell in record.done(knowledge="oblivious", defense=pipeline.defense) if cell.strengths]
            curves = [curve for cell in cells for curve in _curves(record, cell, pipeline, bare)]
            if curves:
                yield Result(
                    NAME,
                    f"oblivious/{pipeline.defense}",
                    "curves",
                    f"Oblivious attacks on {pipeline.defense}",
                    "Adversarials made on the bare model, judged on the defended pipeline. The attacker did not know "
                    "the defence, so these figures flatter it: read them only beside the adaptive ones.",
                    tags={"defense": pipeline.defense},
                    x_title="Mean L2 size of the perturbation (input units)",
                    y_title="Accuracy",
                    curves=curves,
                )


def _curves(record: Record, cell: Cell, pipeline: Pipeline, bare: Pipeline | None) -> list[Curve]:
    truth = columns.labels(record)
    right = columns.right_when_clean(record, pipeline)
    fit = [
        strength
        for strength in cell.strengths
        if len(strength.prediction) == len(strength.fools_model) == truth.size > 0
    ]
    fit.sort(key=lambda strength: (strength.mean_l2, strength.strength))
    if not fit:
        return []
    defended = [Point(0.0, float(right.mean()))]
    for strength in fit:
        answer = np.asarray(strength.prediction, dtype=np.int64)
        kept = right & ((answer == truth) | (answer == record.model.classes))
        defended.append(Point(strength.mean_l2, float(kept.mean())))
    tags: dict[str, Scalar] = {"attack": cell.attack, "defense": pipeline.defense, "norm": cell.norm}
    curves = [Curve(f"{cell.attack} ({columns.title(cell.norm)})", defended, "l2", tags | {"role": "defended"})]
    if bare is not None:
        good: NDArray[np.bool_] = columns.right_when_clean(record, bare)
        points = [Point(0.0, float(good.mean()))]
        points += [
            Point(strength.mean_l2, float((good & ~np.asarray(strength.fools_model, dtype=bool)).mean()))
            for strength in fit
        ]
        curves.append(Curve(f"{cell.attack} ({columns.title(cell.norm)}), bare", points, "l2", tags | {"role": "bare"}))
    return curves


@hookimpl
def robusteval_metrics() -> list[type[ObliviousCurve]]:
    return [ObliviousCurve]
