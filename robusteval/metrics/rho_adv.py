"""rho_adv: the mean relative size of the smallest perturbation, ||delta||_2 / ||x||_2."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import bootstrap, generator, row_means
from robusteval.record.column import SHARE
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Pipeline, Record, Result, Scalar

NAME = "rho-adv"
TABLE_COLUMNS = [
    Column("pipeline", "Pipeline"),
    Column("attack", "Attack"),
    Column("rho_adv", "rho_adv"),
    Column("low", "Low (95 %)"),
    Column("high", "High (95 %)"),
    Column("broken", "Broken", "samples"),
    Column("right-when-clean", "Right when clean", "samples"),
    Column("coverage", "Coverage", SHARE),
]


@dataclass(frozen=True)
class RhoAdv:
    """A table per pipeline, DeepFool first and the worst case last, and a scalar for each of those two."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Mean of ||delta||_2 / ||x||_2 over the samples for which an adversarial was found, with its coverage.",
        "Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, 2016",
    )

    def compute(self, record: Record) -> Iterable[Result]:
        """From the minimal distances of the l2 cells; nothing without such cells."""
        sizes = np.asarray(record.data.l2, dtype=np.float64)
        if sizes.size != record.data.samples:
            return
        rows: list[list[Scalar]] = []
        scalars: list[Result] = []
        for pipeline in columns.pipelines(record):
            for name, key, distance in _distances(record, pipeline):
                row = _row(record, pipeline, name, distance, sizes)
                rows.append(row)
                if key:
                    scalars.append(_scalar(pipeline, name, key, row))
        if rows:
            yield Result(NAME, "rho-adv", "table", "rho_adv", _description(record), columns=TABLE_COLUMNS, rows=rows)
            yield from scalars


def _distances(record: Record, pipeline: Pipeline) -> list[tuple[str, str, NDArray[np.float64]]]:
    """(name, key, distances [N]) of each attack, DeepFool first, then the worst case."""
    cells = [cell for cell in columns.attack_cells(record, "l2", pipeline.defense) if cell.threat == "curve"]
    cells.sort(key=lambda cell: (cell.plugin != "deepfool", cell.attack))
    right = columns.right_when_clean(record, pipeline)
    found = [
        (cell.attack, "deepfool" if cell.plugin == "deepfool" else "", columns.distances(cell, right)) for cell in cells
    ]
    worst = columns.worst_case(cells, right)
    return found if worst is None else [*found, ("Worst case", "worst", worst.distance)]


def _row(
    record: Record, pipeline: Pipeline, name: str, distance: NDArray[np.float64], sizes: NDArray[np.float64]
) -> list[Scalar]:
    right = columns.right_when_clean(record, pipeline)
    broken = right & np.isfinite(distance) & (distance > 0) & (sizes > 0)
    ratios = distance[broken] / sizes[broken]
    figure = bootstrap(ratios, row_means, generator(record.seed, f"rho/{pipeline.defense}/{name}"))
    total, hits = int(right.sum()), int(broken.sum())
    return [pipeline.defense, name, figure.value, figure.low, figure.high, hits, total, hits / total if total else None]


def _scalar(pipeline: Pipeline, name: str, key: str, row: list[Scalar]) -> Result:
    value, low, high = (value if isinstance(value, float) else None for value in row[2:5])
    return Result(
        NAME,
        f"rho-adv/{pipeline.defense}/{key}/{name}",
        "scalar",
        f"rho_adv, {name}",
        f"Over {row[5]} of {row[6]} samples that are right when clean.",
        value,
        low,
        high,
        {
            "measure": "rho-adv",
            "defense": pipeline.defense,
            "attack": name,
            "key": key,
            "broken": row[5],
            "right": row[6],
        },
    )


def _description(record: Record) -> str:
    low, high = record.model.bounds if len(record.model.bounds) == 2 else (0.0, 1.0)
    return (
        f"Mean of ||delta||_2 / ||x||_2 with inputs in [{low:g}, {high:g}], before any normalisation; another input "
        "range gives another value. Averaged over the samples for which an adversarial was found; the coverage says "
        "how many. Samples that are wrong when clean are left out (the DeepFool paper starts from the model's own "
        "answer, so it keeps them), and so are all-zero images. The interval is a 95 % bootstrap over samples."
    )


@hookimpl
def robusteval_metrics() -> list[type[RhoAdv]]:
    return [RhoAdv]
