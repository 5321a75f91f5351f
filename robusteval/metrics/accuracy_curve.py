"""Accuracy against the size of the perturbation, by attack and in the worst case over attacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.claims import claims
from robusteval.metrics._common.statistics import median, median_interval, share
from robusteval.metrics._common.steps import step_points
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Curve, Pipeline, Record, Result, Scalar
from robusteval.record.units import WORST_CASE, budget_text

NAME = "accuracy-curve"
DESCRIPTION = (
    "Share of all samples that are right when clean and not lost at a distance up to the budget. "
    "Worst case: every sample counts with the attack that needs the least. "
    "Behind a detector a rejected input is not lost, but a clean sample that is rejected counts as wrong."
)


@dataclass(frozen=True)
class AccuracyCurve:
    """Exact step curves, robust accuracy at reference budgets, and median distances."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "2",
        "Accuracy against the size of the perturbation, per attack and in the worst case over attacks.",
        "Carlini et al., On Evaluating Adversarial Robustness, 2019; intervals: Clopper and Pearson, 1934",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """Per norm and pipeline: one result of curves, then scalars; at last what it amounts to. Failed and empty cells
        are left out."""
        results: list[Result] = []
        for pipeline in columns.pipelines(record):
            right = columns.right_when_clean(record, pipeline)
            results.append(_clean(pipeline, right))
            for norm in columns.NORMS:
                results += _one(record, pipeline, norm, right)
        return results + claims(record, results)


def _clean(pipeline: Pipeline, right: NDArray[np.bool_]) -> Result:
    figure = share(int(right.sum()), right.size)
    return Result(
        NAME,
        f"clean-accuracy/{pipeline.defense}",
        "scalar",
        "Clean accuracy",
        f"Share of {right.size} unperturbed samples that are classified correctly.",
        figure.value,
        figure.low,
        figure.high,
        {"measure": "clean-accuracy", "defense": pipeline.defense},
    )


def _one(record: Record, pipeline: Pipeline, norm: str, right: NDArray[np.bool_]) -> Iterator[Result]:
    """Curves and scalars of one pipeline in one norm."""
    cells = columns.attack_cells(record, norm, pipeline.defense)
    worst = columns.worst_case(cells, right)
    knowledge = "none" if pipeline.defense == columns.BARE else "adaptive"
    tags: dict[str, Scalar] = {"norm": norm, "defense": pipeline.defense, "knowledge": knowledge}
    curves = [
        Curve(
            cell.attack,
            step_points(columns.distances(cell, right), cell.eps),
            norm,
            tags | {"role": "attack", "attack": cell.attack},
        )
        for cell in cells
        if cell.threat == "curve"
    ]
    if worst is not None and columns.has_curve(cells):
        points = step_points(worst.distance, columns.searched(cells), band=True)
        curves.append(Curve("Worst case", points, norm, tags | {"role": "worst"}))
    curves += _companions(record, pipeline, norm, right)
    if curves:
        yield Result(
            NAME,
            f"curve/{norm}/{pipeline.defense}",
            "curves",
            f"Accuracy against {columns.title(norm)} distance",
            DESCRIPTION,
            tags={"norm": norm, "defense": pipeline.defense},
            x_title=_x_title(norm),
            y_title="Accuracy",
            curves=curves,
        )
    if worst is not None:
        yield from _at_budgets(record, norm, worst, right, tags)
    yield from _oblivious_at_budgets(record, pipeline, norm)
    for cell in [cell for cell in cells if cell.threat == "curve"]:
        yield _median(norm, cell.attack, columns.distances(cell, right)[right], tags)
    if worst is not None and columns.has_curve(cells):
        yield _median(norm, WORST_CASE, worst.distance[right], tags)


def _companions(record: Record, pipeline: Pipeline, norm: str, right: NDArray[np.bool_]) -> list[Curve]:
    """What belongs into the same chart: the undefended worst case, the oblivious one, and what is proved."""
    companions: list[Curve] = []
    tags: dict[str, Scalar] = {"norm": norm, "defense": pipeline.defense}
    if pipeline.defense != columns.BARE:
        bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
        cells = columns.attack_cells(record, norm, columns.BARE)
        if bare is not None and cells:
            worst = columns.worst_case(cells, columns.right_when_clean(record, bare))
            if worst is not None:
                companions.append(
                    Curve(
                        "Undefended worst case", step_points(worst.distance, None), norm, tags | {"role": "undefended"}
                    )
                )
        broken_at = columns.broken_obliviously(record, pipeline, norm)
        if broken_at is not None:
            companions.append(
                Curve("Oblivious worst case", step_points(broken_at, None), norm, tags | {"role": "oblivious"})
            )
    if norm == "l2" and len(pipeline.certified) == right.size:
        proved = np.where(right, np.asarray(pipeline.certified, dtype=np.float64), 0.0)
        companions.append(
            Curve("Certified (lower bound)", step_points(proved, None), norm, tags | {"role": "certified"})
        )
    return companions


def _x_title(norm: str) -> str:
    return {"l0": "Pixels changed (L0)"}.get(
        norm, f"Size of the perturbation ({columns.title(norm)} distance, input units)"
    )


def _at_budgets(
    record: Record,
    norm: str,
    worst: columns.Worst,
    right: NDArray[np.bool_],
    tags: dict[str, Scalar],
) -> Iterator[Result]:
    """Robust accuracy of the worst case at the budgets that were searched, and of each attack at the reference and at
    those that cells were run at. A cell that was run at one budget has a figure at that one only."""
    listed = columns.budgets(record, norm, worst.cells)
    reference = columns.reference_budget(record, norm, listed, worst.cells)
    for eps in listed:
        yield _robust(
            record, norm, eps, worst.distance, tags | {"reference": eps == reference, "measure": "robust-accuracy"}
        )
    run_at = [cell for cell in worst.cells if cell.threat == "budget"]
    asked = [eps for eps in listed if eps == reference or any(columns.asked_at(cell, eps) for cell in run_at)]
    for eps in sorted(asked, key=lambda eps: eps != reference):
        for cell in worst.cells:
            if columns.asked_at(cell, eps):
                own = tags | {"reference": eps == reference, "measure": "attack-accuracy", "attack": cell.attack}
                yield _robust(record, norm, eps, columns.distances(cell, right), own)


def _oblivious_at_budgets(record: Record, pipeline: Pipeline, norm: str) -> Iterator[Result]:
    """The same for adversarials made on the bare model; at the budgets of the bare model, so that they stand side by
    side."""
    if pipeline.defense == columns.BARE:
        return
    broken_at = columns.broken_obliviously(record, pipeline, norm)
    cells = columns.attack_cells(record, norm, columns.BARE)
    if broken_at is None or not cells:
        return
    tags: dict[str, Scalar] = {"norm": norm, "defense": pipeline.defense, "knowledge": "oblivious"}
    listed = columns.budgets(record, norm, cells)
    reference = columns.reference_budget(record, norm, listed, cells)
    for eps in listed:
        yield _robust(
            record, norm, eps, broken_at, tags | {"reference": eps == reference, "measure": "robust-accuracy"}
        )
    right = columns.right_when_clean(record, pipeline)
    tested = " Distances are those tested, the budgets of fixed attacks among them, so the median is one of them."
    yield _median(norm, "oblivious worst case", broken_at[right], tags, tested)


def _robust(record: Record, norm: str, eps: float, distance: NDArray[np.float64], tags: dict[str, Scalar]) -> Result:
    # The tolerance lets a candidate that sits on the budget's edge count as inside it.
    figure = share(int(columns.beyond(distance, eps).sum()), distance.size)
    attack = f"/{tags['attack']}" if "attack" in tags else ""
    under = "this attack" if attack else "the worst of the attacks"
    return Result(
        NAME,
        f"{tags['measure']}/{norm}/{tags['defense']}/{tags['knowledge']}/{eps:.6g}{attack}",
        "scalar",
        f"Robust accuracy at {columns.title(norm)} {budget_text(eps, norm, columns.span(record))}",
        f"Share of all samples still right under {under}; an upper bound on the truth.",
        figure.value,
        figure.low,
        figure.high,
        tags | {"eps": eps},
    )


def _median(norm: str, attack: str, distance: NDArray[np.float64], tags: dict[str, Scalar], remark: str = "") -> Result:
    """distance: [M], of the samples that are right when clean."""
    value = median(distance)
    low, high = median_interval(distance) or (None, None)
    note = (
        "" if value is not None or distance.size == 0 else " Not defined here: more than half of them were never lost."
    )
    return Result(
        NAME,
        f"median-distance/{norm}/{tags['defense']}/{attack}",
        "scalar",
        f"Median {columns.title(norm)} distance, {attack}",
        f"Over the {distance.size} samples that are right when clean; the smallest distance at which at least half "
        f"of them are lost. Interval: 95 %, by ranks."
        f"{note}{remark}",
        value,
        low,
        high,
        tags=tags | {"measure": "median-distance", "attack": attack},
    )


@hookimpl
def robusteval_metrics() -> list[type[AccuracyCurve]]:
    return [AccuracyCurve]
