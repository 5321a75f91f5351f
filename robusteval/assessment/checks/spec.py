"""What a check is: one question to the evaluation, asked of the record alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from robusteval.record.run import Cell, Check, Finding, Record, Scalar

Outcome = Literal["pass", "warn", "fail"]
_RANK = {"pass": 0, "warn": 1, "fail": 2}
_SEVERITY: dict[str, Literal["info", "warning", "alarm"]] = {"pass": "info", "warn": "warning", "fail": "alarm"}


@dataclass(frozen=True)
class Measured:
    """One measurement of a check. said: where and what, in words; finding: what a reader is told, if anything; bad: how
    bad it is beside others of the same outcome, where that is not the value itself."""

    value: float | None
    said: str
    outcome: Outcome = "pass"
    finding: Finding | None = None
    bad: float | None = None

    @property
    def rank(self) -> tuple[int, float]:
        """The larger the worse."""
        value = self.value if self.bad is None else self.bad
        return _RANK[self.outcome], -math.inf if value is None else value


Measure = Callable[[Record], Iterable[Measured]]


@dataclass(frozen=True)
class Spec:
    """A check: what it is, and how it measures. No measurement at all: not applicable, for the reason `without`."""

    id: str
    title: str
    source: str
    formula: str
    threshold: str
    why: str
    without: str
    measure: Measure

    def run(self, record: Record) -> tuple[Check, list[Finding]]:
        """The worst measurement as a row of the record, and the findings of all of them."""
        rows = list(self.measure(record))
        found = [row.finding for row in rows if row.finding is not None]
        check = Check(
            self.id, self.title, self.source, self.formula, self.threshold, self.why, "not-applicable", self.without
        )
        if rows:
            worst = max(rows, key=lambda row: row.rank)
            check.outcome, check.measured, check.value = worst.outcome, worst.said, worst.value
        check.codes = sorted({finding.code for finding in found})
        return check, found


def graded(value: float, warn: float, fail: float) -> Outcome:
    """The outcome of a value that is the worse the larger it is; both limits are exclusive."""
    return "fail" if value > fail else "warn" if value > warn else "pass"


def measured(
    value: float,
    said: str,
    outcome: Outcome,
    code: str,
    sentence: str,
    advice: str,
    evidence: dict[str, Scalar] | None = None,
    cells: list[str] | None = None,
) -> Measured:
    """A measurement whose finding has the severity of its outcome; none where it passed."""
    if outcome == "pass":
        return Measured(value, said)
    facts: dict[str, Scalar] = {"share": value} if evidence is None else evidence
    return Measured(value, said, outcome, Finding(code, _SEVERITY[outcome], sentence, facts, advice, cells or []))


def from_rule(
    rule: Callable[[Record], Iterator[Finding]], applies: Callable[[Record], bool], values: tuple[str, ...], fine: str
) -> Measure:
    """The measure of a rule that only speaks up when something is wrong. values: the first of these keys that its
    evidence has is the measured number; fine: what is said when nothing is wrong."""

    def measure(record: Record) -> Iterator[Measured]:
        if not applies(record):
            return
        rows = list(rule(record))
        for row in rows:
            outcome: Outcome = {"alarm": "fail", "warning": "warn"}.get(row.severity, "pass")  # type: ignore[assignment]
            number = next((row.evidence[key] for key in values if key in row.evidence), None)
            yield Measured(number if isinstance(number, float) else None, row.sentence, outcome, row)
        if not rows:
            yield Measured(0.0, fine)

    return measure


def percent(share: float) -> str:
    """A share in words; small ones with a decimal."""
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.1 else f"{100 * share:.1f} %"


def far(values: list[float | None]) -> list[float]:
    """A column with inf for never."""
    return [math.inf if value is None else value for value in values]


def pairs(one: Cell, other: Cell) -> list[tuple[float, float]]:
    """The distances of two cells, sample by sample, of those attacked and lost to at least one of them."""
    both = zip(far(one.distance), far(other.distance), strict=False)  # a probe has fewer samples
    return [(a, b) for a, b in both if a != 0 and not (math.isinf(a) and math.isinf(b))]


def where(cell: Cell) -> str:
    """A cell in words."""
    return f"{cell.attack}, {cell.norm}" + ("" if cell.defense == "none" else f", {cell.defense}")
