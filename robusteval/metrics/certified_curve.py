"""What is proved: accuracy certified against every perturbation of a size, whatever the attack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import median, share
from robusteval.metrics._common.steps import step_points
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Curve, Pipeline, Record, Result, Scalar

NAME = "certified-curve"
DESCRIPTION = (
    "Share of all samples that are right and for which it is proved that no perturbation up to the budget changes the "
    "answer; a sample without certificate counts as not right. The true accuracy lies between this curve and that of "
    "the attacks."
)


@dataclass(frozen=True)
class CertifiedCurve:
    """Certified accuracy by budget, with the attacks' curve above it, and how many samples have no certificate."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Accuracy that is proved against every L2 perturbation up to a size, beside what attacks left.",
        "Cohen, Rosenfeld, Kolter, Certified Adversarial Robustness via Randomized Smoothing, 2019",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """One chart and its scalars for each pipeline that certifies; nothing for the others."""
        for pipeline in columns.pipelines(record):
            if len(pipeline.certified) == record.data.samples > 0:
                yield from _one(record, pipeline)


def _one(record: Record, pipeline: Pipeline) -> Iterator[Result]:
    right = columns.right_when_clean(record, pipeline)
    radius = np.asarray(pipeline.certified, dtype=np.float64)
    proved = np.where(right, radius, 0.0)
    tags: dict[str, Scalar] = {"norm": "l2", "defense": pipeline.defense}
    curves = [
        Curve("Certified (lower bound)", step_points(proved, None, band=True), "l2", tags | {"role": "certified"})
    ]
    worst = columns.worst_case(columns.attack_cells(record, "l2", pipeline.defense), right)
    if worst is not None:
        upper = step_points(worst.distance, None)
        curves.append(Curve("Under attack (upper bound)", upper, "l2", tags | {"role": "worst"}))
    yield Result(
        NAME,
        f"certified/l2/{pipeline.defense}",
        "curves",
        "Certified accuracy against L2 distance",
        DESCRIPTION,
        tags=tags,
        x_title="Size of the perturbation (L2 distance, input units)",
        y_title="Accuracy",
        curves=curves,
    )
    for eps in (0.0, *(budget * columns.span(record) for budget in columns.BUDGETS["l2"])):
        yield _at(eps, proved, tags)
    yield _abstained(radius, tags)
    yield Result(
        NAME,
        f"median-radius/l2/{pipeline.defense}",
        "scalar",
        "Median certified radius",
        f"Over the {int(right.sum())} samples that are right when clean; no certificate counts as 0.",
        median(radius[right]),
        tags=tags | {"measure": "median-radius"},
    )


def _at(eps: float, proved: NDArray[np.float64], tags: dict[str, Scalar]) -> Result:
    """proved: [N] certified radius of the samples that are right, 0 of the others."""
    figure = share(int((proved > eps).sum()), proved.size)
    return Result(
        NAME,
        f"certified-accuracy/l2/{tags['defense']}/{eps:.6g}",
        "scalar",
        f"Certified accuracy at L2 {eps:.4g}",
        "Share of all samples that are right and certified beyond this budget; a lower bound on the truth.",
        figure.value,
        figure.low,
        figure.high,
        tags | {"measure": "certified-accuracy", "eps": eps},
    )


def _abstained(radius: NDArray[np.float64], tags: dict[str, Scalar]) -> Result:
    figure = share(int((radius <= 0).sum()), radius.size)
    return Result(
        NAME,
        f"abstentions/l2/{tags['defense']}",
        "scalar",
        "Samples without certificate",
        "Share of all samples for which the certificate abstains.",
        figure.value,
        figure.low,
        figure.high,
        tags | {"measure": "abstentions"},
    )


@hookimpl
def robusteval_metrics() -> list[type[CertifiedCurve]]:
    return [CertifiedCurve]
