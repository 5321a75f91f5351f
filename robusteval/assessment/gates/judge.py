"""Gates held against a record. Fails closed: what was not measured meets none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from robusteval.assessment.evidence.own import UNLABELLED, labels_are_own
from robusteval.assessment.evidence.white_box import ENOUGH, asked, white_share
from robusteval.assessment.evidence.worst_case import held, surely
from robusteval.assessment.gates.every_norm import gap, unmeasured, unmet
from robusteval.assessment.gates.form import GRADES, Form, parse
from robusteval.metrics._common import columns
from robusteval.metrics._common.bracket import edges_of, shares_at
from robusteval.metrics._common.statistics import Interval, share
from robusteval.record.derived import Gate, GateSource
from robusteval.record.run import Pipeline, Record
from robusteval.record.units import NORM_TITLES, budget_text, norm_width

_WHOLE_CLASS = ("untargeted", "all")  # any wrong class is a win


class UnmeasuredError(Exception):
    """Why there is no figure, in a few words."""


def judge(record: Record, gates: Sequence[tuple[str, GateSource]]) -> list[Gate]:
    """A row for each gate, in order. gates: (text, who asked). Raises ValueError for a text that is no gate."""
    return [_judged(record, parse(text), source) for text, source in gates]


def failed(record: Record) -> list[Gate]:
    """The gates of a record that are not met."""
    return [gate for gate in record.gates if gate.outcome != "met"]


def _judged(record: Record, form: Form, source: GateSource) -> Gate:
    row = Gate(form.text, form.by, "not measured", source=source)
    if form.kind == "every-norm":
        return _every_norm(record, form, row)
    try:
        if form.kind == "grade":
            return _grade(record, form, row)
        figure = measured(record, form)
    except UnmeasuredError as error:
        row.reason = str(error)
        return row
    row.value, row.low, row.high = figure.value, figure.low, figure.high
    counted = figure.low if form.by == "interval" else figure.value
    if counted is None:
        row.reason = "too few samples for an interval" if figure.value is not None else "there is no figure"
    elif counted >= form.least:
        row.outcome = "met"
    else:
        row.outcome = "not met"
        row.reason = f"{_said(form, counted)}, and {_said(form, form.least)} is asked for"
        if form.by == "interval":
            row.reason = f"the interval's lower end is {row.reason}"
    return row


def _said(form: Form, value: float) -> str:
    return f"{value:.4g}" if form.kind == "median" else f"{100 * value:.1f} %"


def _every_norm(record: Record, form: Form, row: Gate) -> Gate:
    """The oldest gate: the median of the worst case, in every norm, in the model's own pixel range."""
    row.reason = unmet(record, form.least)
    if not row.reason:
        row.outcome = "met"
    elif not unmeasured(record):
        row.outcome = "not met"
    if row.outcome != "not measured":
        known = min(held(record, norm) for norm in asked(record))
        row.value = known if np.isfinite(known) else None
    return row


def _grade(record: Record, form: Form, row: Gate) -> Gate:
    """A grade is reached where the run is conclusive and graded no lower."""
    if record.verdict is None:
        raise UnmeasuredError("there is no verdict")
    row.grade = record.verdict.grade
    if record.verdict.status == "conclusive" and GRADES.index(row.grade) <= GRADES.index(form.grade):
        row.outcome = "met"
        return row
    row.outcome = "not met"
    word = "" if record.verdict.status == "conclusive" else ", and the run is inconclusive"
    row.reason = f"the grade is {row.grade}{word}"
    return row


def measured(record: Record, form: Form) -> Interval:
    """What a gate of this form is held against: a share of the samples, or a distance as a share of the pixel range
    (l0: pixels). Raises UnmeasuredError, also for forms that are no single figure."""
    if record.verdict is None or record.verdict.status != "conclusive":
        raise UnmeasuredError("the run is inconclusive")
    bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
    if bare is None:
        raise UnmeasuredError("the bare model has no clean answers")
    if form.kind != "median" and labels_are_own(record):
        raise UnmeasuredError(UNLABELLED)
    if form.kind == "clean":
        right = columns.right_when_clean(record, bare)
        return share(int(right.sum()), right.size)
    if form.kind == "certified":
        found = certified(record, bare, form.norm, form.eps)
        if found is None:
            raise UnmeasuredError(f"no sample has a certificate in {NORM_TITLES[form.norm]}")
        return found
    if form.kind not in ("accuracy", "median"):
        raise UnmeasuredError("there is no single figure for it")
    _check_norm(record, form.norm)
    return _accuracy(record, bare, form) if form.kind == "accuracy" else _median(record, form.norm)


def certified(record: Record, bare: Pipeline, norm: str, eps: float) -> Interval | None:
    """The share of samples that are right when clean and proved to stay so within eps, a share of the pixel range (l0:
    pixels): of those that certifiers were asked about, else of all where the model comes with radii of its own. None
    where nothing was proved in that norm."""
    budget = eps * norm_width(norm, record.model.bounds)
    edges = edges_of(record, norm)
    if edges is not None:
        proved = shares_at(edges, budget).proved
        return share(round(proved * edges.count), edges.count)
    if norm != "l2" or len(bare.certified) != record.data.samples:
        return None
    radius = np.asarray(bare.certified, dtype=np.float64)
    held_there = columns.right_when_clean(record, bare) & (radius >= budget)
    return share(int(held_there.sum()), held_there.size)


def _check_norm(record: Record, norm: str) -> None:
    """Raises UnmeasuredError where the attacks on the bare model left something in this norm unmeasured."""
    cells = record.done(norm=norm, knowledge="none", defense=columns.BARE)
    if not cells:
        raise UnmeasuredError(f"nothing was measured in {norm}")
    if any(cell.target not in _WHOLE_CLASS for cell in cells):
        raise UnmeasuredError(f"the attacks in {norm} aimed at one class each")
    left = gap(record, norm)
    if left:
        raise UnmeasuredError(left)


def _accuracy(record: Record, bare: Pipeline, form: Form) -> Interval:
    """The share of all samples still right under the worst of the attacks, at a budget at which attacks with gradients
    looked."""
    norm, eps = form.norm, form.eps * norm_width(form.norm, record.model.bounds)
    cells = columns.attack_cells(record, norm, columns.BARE)
    telling = [cell for cell in cells if columns.asked_at(cell, eps)]
    if record.model.gradients == "none" or white_share(telling) < ENOUGH:
        at = budget_text(eps, norm, columns.span(record))
        raise UnmeasuredError(f"no attack with working gradients was made at {norm} {at}")
    worst = columns.worst_case(cells, columns.right_when_clean(record, bare))
    if worst is None:
        raise UnmeasuredError(f"nothing was measured in {norm}")
    return share(int(columns.beyond(worst.distance, eps).sum()), worst.distance.size)


def _median(record: Record, norm: str) -> Interval:
    """The distance up to which half of the right answers are known to hold, as a share of the pixel range; without an
    upper end, as a stronger attack may go below it at any time."""
    if record.model.gradients == "none" or white_share(columns.attack_cells(record, norm, columns.BARE)) < ENOUGH:
        raise UnmeasuredError(f"no attack with working gradients was made in {norm}")
    width = norm_width(norm, record.model.bounds)
    known = held(record, norm)
    if not np.isfinite(known):
        raise UnmeasuredError(f"half of the samples were never lost in {norm}, where the search had no end")
    low = held(record, norm, surely)
    return Interval(known / width, low / width if low > 0 else None)
