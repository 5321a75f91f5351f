"""A Markdown summary for a pull request: gates, what changed since the baseline, verdict, figures."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.record.run import Gate, Record
from robusteval.report.summary import render_markdown
from robusteval.text import markdown


def summary(record: Record, changes: Sequence[str] = ()) -> str:
    """The text; nothing from the record can become markup. changes: sentences about the run beside a baseline."""
    parts = [render_markdown(record).rstrip()]
    if record.gates:
        parts.append(_gates(record.gates))
    if changes:
        parts.append("\n".join(["## Since the baseline", "", *(f"* {markdown(sentence)}" for sentence in changes)]))
    return "\n\n".join(parts) + "\n"


def _gates(gates: Sequence[Gate]) -> str:
    rows = ["## Gates", "", "| Gate | Measured | Lower end of 95 % | Judged by | Outcome |", "|---|---|---|---|---|"]
    for gate in gates:
        value = gate.grade or ("-" if gate.value is None else f"{gate.value:.4g}")
        low = "-" if gate.low is None else f"{gate.low:.4g}"
        outcome = f"**{gate.outcome}**" + (f": {markdown(gate.reason)}" if gate.reason else "")
        rows.append(f"| {markdown(gate.asked)} | {value} | {low} | {gate.judged} | {outcome} |")
    return "\n".join(rows)
