"""What the run claims about the bare model in a few figures, and how many samples it would take to know them twice as
well."""

from __future__ import annotations

from collections.abc import Iterable

from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import Interval, samples_for
from robusteval.record.column import DISTANCE, SHARE
from robusteval.record.run import Column, Record, Result, Scalar
from robusteval.record.units import WORST_CASE

NAME = "accuracy-curve"
COLUMNS = [
    Column("norm", "Norm"),
    Column("budget", "Budget", DISTANCE),
    Column("by", "By"),
    Column("robust-accuracy", "Robust accuracy", SHARE),
    Column("low", "Low", SHARE),
    Column("high", "High", SHARE),
    Column("samples-to-halve", "Samples to halve", "samples"),
]
DESCRIPTION = (
    "Share of all samples of which no attack on the bare model took the right answer within the budget, with the 95 % "
    "Clopper-Pearson interval; an upper bound of the truth. At the budgets of cascades where the suite has any in the "
    "norm, by these and all other attacks, else by all attacks at the reference budget. The last column says how many "
    "samples would halve the interval."
)


def claims(record: Record, scalars: Iterable[Result]) -> list[Result]:
    """A table with a row for each claim; nothing where there is none. scalars: those of the accuracy curves."""
    cascades = [cell for cell in record.done(knowledge="none", defense=columns.BARE) if cell.family == "cascade"]
    known = {cell.norm for cell in cascades}
    rows = []
    for scalar in scalars:
        norm, eps = str(scalar.tags.get("norm")), scalar.tags.get("eps")
        if scalar.tags.get("measure") != "robust-accuracy" or scalar.tags.get("defense") != columns.BARE:
            continue
        by = [cell.attack.split("@")[0] for cell in cascades if cell.norm == norm and _same(cell.eps, eps)]
        if by or (norm not in known and scalar.tags.get("reference")):
            who = ", ".join(dict.fromkeys(by)) or WORST_CASE
            rows.append(_row(columns.title(norm), eps, who, Interval(scalar.value, scalar.low, scalar.high)))
    title = "How well the figures are known"
    return [Result(NAME, "claims", "table", title, DESCRIPTION, columns=COLUMNS, rows=rows)] if rows else []


def _same(one: Scalar, other: Scalar) -> bool:
    return isinstance(one, float) and isinstance(other, float) and abs(one - other) <= 1e-6 * abs(other)


def _row(norm: str, eps: Scalar, by: str, figure: Interval) -> list[Scalar]:
    halved: int | None = None
    if figure.value is not None and figure.low is not None and figure.high is not None:
        halved = samples_for(figure.value, (figure.high - figure.low) / 2)
    return [norm, eps, by, figure.value, figure.low, figure.high, halved]
