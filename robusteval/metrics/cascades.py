"""Robust accuracy at the budgets of cascades: attacks in order, each on what the ones before it left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from robusteval.hooks import hookimpl
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import share
from robusteval.record.column import DISTANCE, SHARE
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Cell, Column, Record, Result, Scalar

NAME = "cascades"
COLUMNS = [
    Column("pipeline", "Pipeline"),
    Column("cascade", "Cascade"),
    Column("norm", "Norm"),
    Column("budget", "Budget", DISTANCE),
    Column("robust-accuracy", "Robust accuracy", SHARE),
    Column("low", "Low", SHARE),
    Column("high", "High", SHARE),
    Column("broken-by", "Broken by"),
    Column("passes-per-sample", "Passes per sample", "passes"),
]
DESCRIPTION = (
    "Share of samples that are right when clean and withstand every attack of the cascade within the budget, with the "
    "95 % Clopper-Pearson interval; each attack runs on what the ones before it left. An upper bound of the truth."
)


@dataclass(frozen=True)
class Cascades:
    """One row a cascade, norm and budget."""

    info: ClassVar[MetricInfo] = MetricInfo(
        NAME,
        "1",
        "Robust accuracy at the budgets of cascades, and which attack broke how many.",
        "Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free "
        "attacks, 2020",
    )

    def compute(self, record: Record) -> Iterator[Result]:
        cells = [cell for cell in record.done() if cell.family == "cascade"]
        rows = [_row(cell) for cell in columns.measured(record, cells)]
        if rows:
            yield Result(NAME, "cascades", "table", "At fixed budgets", DESCRIPTION, columns=COLUMNS, rows=rows)


def _row(cell: Cell) -> list[Scalar]:
    total = len(cell.distance)
    kept = sum(value is None for value in cell.distance)
    figure = share(kept, total)
    broken = Counter(name for name in cell.member if name is not None)
    who = ", ".join(f"{name} {broken.get(name, 0)}" for name in cell.params)
    passes = (sum(cell.forwards) + sum(cell.backwards)) / max(total, 1)
    return [
        cell.defense,
        cell.attack,
        columns.title(cell.norm),
        cell.eps,
        figure.value,
        figure.low,
        figure.high,
        who,
        passes,
    ]


@hookimpl
def robusteval_metrics() -> list[type[Cascades]]:
    return [Cascades]
