"""What follows from the measured columns alone: checks, findings, results, verdict."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from robusteval.record.column import Column, keyed

Scalar = str | int | float | bool | None
Severity = Literal["info", "warning", "alarm"]
Grade = Literal["A", "B", "C", "D", "F"]
GateSource = Literal["command", "suite"]


@dataclass
class Check:
    """One question that the evaluation asks about itself, and what it found. What each is: docs/method.md."""

    id: str
    title: str
    source: str  # where it is published
    formula: str  # what is measured, in words
    threshold: str
    why: str  # why that threshold
    outcome: Literal["pass", "warn", "fail", "not-applicable"]
    measured: str  # the worst case in words; where not applicable, why
    value: float | None = None  # the worst case as a number
    codes: list[str] = field(default_factory=list)  # of the findings that it raised


@dataclass
class Finding:
    """A reason to doubt a number, or a check that passed nothing worth saying."""

    code: str
    severity: Severity
    sentence: str
    evidence: dict[str, Scalar]
    advice: str
    cells: list[str] = field(default_factory=list)


@dataclass
class Point:
    """A point of a curve."""

    x: float
    y: float
    low: float | None = None  # 95 % band
    high: float | None = None


@dataclass
class Curve:
    """One line of a chart."""

    label: str
    points: list[Point]
    group: str = ""  # which chart: "l2", "linf", "roc", ...
    tags: dict[str, Scalar] = field(default_factory=dict)  # attack, defense, knowledge, norm, ...


@dataclass
class Result:
    """What a metric derived: scalars, curves or a table, each with its name.

    Columns may be given as titles alone; then their keys are derived from these, here and nowhere else. Who reads a
    table reads it by `keys` or `named`; titles are for people.
    """

    metric: str
    name: str
    kind: Literal["scalar", "curves", "table"]
    title: str
    description: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    tags: dict[str, Scalar] = field(default_factory=dict)
    x_title: str = ""
    y_title: str = ""
    curves: list[Curve] = field(default_factory=list)
    columns: list[Column] | list[str] = field(default_factory=list)
    rows: list[list[Scalar]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = self.heads()

    def heads(self) -> list[Column]:
        """The columns, each with its key."""
        return keyed(self.columns, str(self.tags.get("norm") or ""))

    def keys(self) -> list[str]:
        return [head.key for head in self.heads()]

    def titles(self) -> list[str]:
        return [head.title for head in self.heads()]

    def named(self) -> list[dict[str, Scalar]]:
        """The rows by key. Raises ValueError where a row is longer or shorter than the columns."""
        keys = self.keys()
        return [dict(zip(keys, row, strict=True)) for row in self.rows]


@dataclass
class Verdict:
    """In plain words; INCONCLUSIVE when the evaluation itself cannot be trusted."""

    status: Literal["conclusive", "inconclusive"]
    grade: Grade
    grade_reason: str
    sentences: list[str]


@dataclass
class Gate:
    """A threshold that the run was to reach (docs/gates.md), and what was measured. What was not measured is never
    met."""

    asked: str  # as it was written, such as linf@8/255>=0.4
    judged: Literal["interval", "value"]  # what is held against it: the lower end of the 95 % interval, or the value
    outcome: Literal["met", "not met", "not measured"]
    value: float | None = None  # a share of the samples, or a distance; None of a grade and where nothing was measured
    low: float | None = None
    high: float | None = None
    grade: str = ""  # of a gate on the grade
    reason: str = ""  # why it is not met, or not measured
    source: GateSource = "command"  # who asked for it
