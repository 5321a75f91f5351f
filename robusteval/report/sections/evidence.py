"""Gates and whether they are met, and what the run is evidence for by ids of regulation and standards."""

from __future__ import annotations

from collections import Counter

from robusteval.assessment.gates.form import BY_VALUE
from robusteval.assessment.standards.figures import Figure
from robusteval.assessment.standards.mapping import mapping
from robusteval.record.derived import Gate
from robusteval.record.run import Record
from robusteval.report.charts.pieces import Table, Text
from robusteval.report.formats.numbers import MISSING, interval, number, percent


def gates(record: Record) -> Table | None:
    """What was to be reached, what was measured, and whether it was; None where nothing was asked."""
    if not record.gates:
        return None
    rows: list[list[Text]] = [_gate(gate) for gate in record.gates]
    missed = sum(gate.outcome != "met" for gate in record.gates)
    summary = f"{len(rows) - missed} of {len(rows)} gates met" + (f", {missed} not" if missed else "")
    columns = ["Gate", "Measured", "95 % interval", "Judged by", "Outcome"]
    return Table(summary, columns, rows, words=(1, 2, 3, 4), summary=summary)


def _gate(gate: Gate) -> list[Text]:
    left, sign, least = gate.asked.partition(">=")
    asked = f"{left.strip()} at least {least.removesuffix(BY_VALUE).strip()}" if sign else gate.asked
    between = MISSING if gate.low is None else number(gate.low)
    if gate.low is not None:
        between = f"{between} to {number(gate.high)}" if gate.high is not None else f"from {between}"
    reason = f": {gate.reason}" if gate.reason else ""
    by = "the interval's lower end" if gate.judged == "interval" else "the value"
    return [asked, gate.grade or number(gate.value), between, by, f"{gate.outcome}{reason}"]


def standards(record: Record) -> Table:
    """A row for each id: its figure, or that it was not tested, or that it failed."""
    listed = mapping(record)
    counts = Counter(row.status for row in listed)
    told = ", ".join(f"{counts[status]} {status}" for status in ("measured", "failed", "not tested") if counts[status])
    rows: list[list[Text]] = [
        [row.id, row.source, row.title, row.status, "; ".join(map(_figure, row.figures)) or MISSING, row.said]
        for row in listed
    ]
    columns = ["Id", "Source", "What it names", "Outcome", "Figures", "What was done"]
    caption = "Ids and what was measured of them"
    return Table(caption, columns, rows, words=(1, 2, 3, 4, 5), summary=f"{len(listed)} ids: {told}")


def _figure(figure: Figure) -> str:
    if figure.kind == "median-distance":
        return f"{figure.title} {number(figure.value)}"
    bounds = interval(figure.low, figure.high)
    return f"{figure.title} {percent(figure.value)}" + (f" ({bounds})" if bounds else "")
