"""What the run claims about the bare model in a few figures, and how many samples it would take to know them twice as well."""

from __future__ import annotations

from collections.abc import Iterable

from robusteval.metrics import columns
from robusteval.metrics.statistics import Interval, samples_for, share
from robusteval.record.document import Cell, Record, Result, Scalar

NAME = "accuracy-curve"
COLUMNS = ["Norm", "Budget", "By", "Robust accuracy", "Low", "High", "Samples to halve"]
WORST = "worst case"
DESCRIPTION = (
    "Share of all samples of which no attack on the bare model took the right answer within the budget, with the 95 % "
    "Clopper-Pearson interval; an upper bound of the truth. By cascades at their budgets where the suite has any in the norm, "
    "else by all attacks at the reference budget. The last column says how many samples would halve the interval."
)


def claims(record: Record, scalars: Iterable[Result]) -> list[Result]:
    """A table with a row for each claim; nothing where there is none. scalars: those of the accuracy curves."""
    rows = [
        _of_cascade(cell) for cell in record.done(knowledge="none", defense=columns.BARE) if cell.family == "cascade"
    ]
    known = {row[0] for row in rows}
    for one in scalars:
        tags = one.tags
        norm = columns.title(str(tags.get("norm")))
        wanted = (
            tags.get("measure") == "robust-accuracy" and tags.get("defense") == columns.BARE and tags.get("reference")
        )
        if wanted and norm not in known:
            rows.append(_row(norm, tags["eps"], WORST, Interval(one.value, one.low, one.high)))
    made = [row for row in rows if row is not None]
    title = "How well the figures are known"
    return [Result(NAME, "claims", "table", title, DESCRIPTION, columns=COLUMNS, rows=made)] if made else []


def _of_cascade(cell: Cell) -> list[Scalar]:
    kept = sum(value is None for value in cell.distance)
    return _row(columns.title(cell.norm), cell.eps, cell.attack.split("@")[0], share(kept, len(cell.distance)))


def _row(norm: str, eps: Scalar, by: str, figure: Interval) -> list[Scalar]:
    halved: int | None = None
    if figure.value is not None and figure.low is not None and figure.high is not None:
        halved = samples_for(figure.value, (figure.high - figure.low) / 2)
    return [norm, eps, by, figure.value, figure.low, figure.high, halved]
