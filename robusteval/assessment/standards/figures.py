"""The figures of a finished run that may be quoted: each measured, with its interval, or not measured, for a reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from robusteval.assessment.evidence.white_box import asked
from robusteval.assessment.gates.form import Form
from robusteval.assessment.gates.judge import UnmeasuredError, measured
from robusteval.metrics._common import columns
from robusteval.record.run import Record
from robusteval.record.units import NORM_TITLES, budget_text, norm_width

USUAL = {norm: columns.REFERENCE[norm] for norm in columns.NORMS}  # where a norm was asked about and nothing searched


@dataclass(frozen=True)
class Figure:
    """One figure about the bare model. id: the same in every run; value, low, high: a share, or of `median-distance` a
    distance as a share of the pixel range (l0: pixels); None, and a reason, where it was not measured. method: kind of
    evidence by ISO/IEC TR 24029-1: statistical, empirical or formal."""

    id: str
    title: str
    kind: str  # clean-accuracy, robust-accuracy, certified-accuracy, median-distance
    method: str
    norm: str = ""
    eps: float = 0.0  # as a share of the pixel range (l0: pixels)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str = ""


def figures(record: Record) -> list[Figure]:
    """Clean accuracy, and for each norm that was asked about accuracy at each budget and the median distance; certified
    accuracy at those budgets where something was proved."""
    clean = _figure(record, Form("", "clean"), "clean-accuracy", "Clean accuracy", "clean-accuracy", "statistical")
    return [clean, *(figure for norm in asked(record) for figure in _of_norm(record, norm))]


def _of_norm(record: Record, norm: str) -> Iterator[Figure]:
    title = NORM_TITLES.get(norm, norm)
    width = norm_width(norm, record.model.bounds)
    cells = columns.attack_cells(record, norm, columns.BARE)
    budgets = [eps / width for eps in columns.budgets(record, norm, cells)] or [USUAL[norm]]
    for eps in budgets:
        at = f"{title} {budget_text(eps, norm)}"
        name = f"{norm}@{budget_text(eps, norm)}"
        form = Form("", "accuracy", norm, eps)
        yield _figure(
            record, form, f"robust-accuracy/{name}", f"Accuracy under attack at {at}", "robust-accuracy", "empirical"
        )
        proved = _figure(
            record,
            Form("", "certified", norm, eps),
            f"certified-accuracy/{name}",
            f"Certified accuracy at {at}",
            "certified-accuracy",
            "formal",
        )
        if proved.value is not None:
            yield proved
    form = Form("", "median", norm)
    yield _figure(record, form, f"median-distance/{norm}", f"Median {title} distance", "median-distance", "empirical")


def _figure(record: Record, form: Form, name: str, title: str, kind: str, method: str) -> Figure:
    try:
        found = measured(record, form)
    except UnmeasuredError as error:
        return Figure(name, title, kind, method, form.norm, form.eps, reason=str(error))
    return Figure(name, title, kind, method, form.norm, form.eps, found.value, found.low, found.high)
