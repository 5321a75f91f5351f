"""What all checks share, value by value."""

from __future__ import annotations

import math

import pytest

from robusteval.assessment.checks.spec import Measured, Spec, far, from_rule, graded, measured, pairs, percent, where
from robusteval.record.run import Finding
from tests.engine.test_findings import cell, honest

INF = math.inf


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "pass"), (0.1, "pass"), (0.1001, "warn"), (0.5, "warn"), (0.5001, "fail"), (INF, "fail"), (-1.0, "pass")],
)
def test_limits_are_exclusive(value, expected):
    assert graded(value, 0.1, 0.5) == expected


def test_the_worst_is_by_outcome_and_then_by_value():
    rows = [
        Measured(9.0, "a"), Measured(None, "b"), Measured(0.1, "c", "warn"), Measured(None, "d", "warn"),
        Measured(0.2, "e", "warn"), Measured(9.0, "f", "warn", bad=0.15), Measured(0.0, "g", "fail"),
        Measured(0.5, "h", "fail", bad=-1.0),
    ]  # fmt: skip
    assert [row.said for row in sorted(rows, key=lambda row: row.rank)] == ["b", "a", "d", "c", "f", "e", "h", "g"]
    assert rows[0].rank == (0, 9.0)
    assert rows[1].rank == (0, -INF)
    assert rows[5].rank == (1, 0.15)
    assert rows[6].rank == (2, 0.0)


def spec(*rows: Measured) -> Spec:
    return Spec("i", "t", "s", "f", "l", "w", "without", lambda record: iter(rows))


def test_a_check_s_row_has_what_it_is_and_its_worst_measurement():
    found = [Finding(code, "info", "said", {}, "do") for code in ("b", "a", "b")]
    check, told = spec(
        Measured(0.5, "x", "warn", found[0]), Measured(0.7, "y", "warn", found[1]), Measured(0.9, "z", "pass", found[2])
    ).run(honest())
    assert (check.id, check.title, check.source, check.formula, check.threshold, check.why) == tuple("itsflw")
    assert (check.outcome, check.measured, check.value) == ("warn", "y", 0.7)
    assert check.codes == ["a", "b"]
    assert told == found
    check, told = spec().run(honest())
    assert (check.outcome, check.measured, check.value, check.codes, told) == (
        "not-applicable",
        "without",
        None,
        [],
        [],
    )
    check, _ = spec(Measured(None, "fine")).run(honest())
    assert (check.outcome, check.measured, check.value) == ("pass", "fine", None)


@pytest.mark.parametrize(("outcome", "severity"), [("warn", "warning"), ("fail", "alarm")])
def test_a_measurement_that_did_not_pass_has_a_finding_of_its_weight(outcome, severity):
    row = measured(0.3, "said", outcome, "code", "sentence", "advice", {"a": 1}, ["x"])
    assert row == Measured(0.3, "said", outcome, Finding("code", severity, "sentence", {"a": 1}, "advice", ["x"]))
    row = measured(0.3, "said", outcome, "code", "sentence", "advice")
    assert row.finding == Finding("code", severity, "sentence", {"share": 0.3}, "advice", [])
    row = measured(0.3, "said", outcome, "code", "sentence", "advice", {})
    assert row.finding.evidence == {}
    assert measured(0.3, "said", "pass", "code", "sentence", "advice") == Measured(0.3, "said")


def test_a_rule_s_findings_become_measurements():
    found = [
        Finding("a", "alarm", "first", {"n": 3, "share": 0.5, "more": 0.7}, "do"),
        Finding("w", "warning", "second", {}, "do"),
        Finding("i", "info", "third", {"share": 0.25}, "do"),
        Finding("n", "info", "fourth", {"share": 4}, "do"),  # a count is no share
    ]
    record = honest()
    measure = from_rule(
        lambda given: iter(found if given is record else []), lambda given: True, ("x", "share"), "fine"
    )
    assert list(measure(record)) == [
        Measured(0.5, "first", "fail", found[0]),
        Measured(None, "second", "warn", found[1]),
        Measured(0.25, "third", "pass", found[2]),
        Measured(None, "fourth", "pass", found[3]),
    ]
    assert list(measure(honest())) == [Measured(0.0, "fine")]
    asked = []
    never = from_rule(lambda given: iter(found), lambda given: bool(asked.append(given)), (), "fine")
    assert list(never(record)) == []
    assert asked == [record]


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, "0 %"),
        (0.001, "0.1 %"),
        (0.0999, "10.0 %"),
        (0.1, "10 %"),
        (0.456, "46 %"),
        (1.0, "100 %"),
        (-0.2, "-20.0 %"),
    ],
)
def test_shares_in_words(share, expected):
    assert percent(share) == expected


def test_distances_side_by_side():
    assert far([0.5, None, 0.0]) == [0.5, INF, 0.0]
    one = cell("a", [0.0, 0.5, None, None, 0.7, 0.0, 0.2])
    other = cell("b", [0.3, 0.4, None, 0.6, None, 0.0])  # a probe has fewer samples
    assert pairs(one, other) == [(0.5, 0.4), (INF, 0.6), (0.7, INF)]


def test_a_cell_in_words():
    assert where(cell("pgd", 0.4)) == "pgd, l2"
    assert where(cell("pgd", 0.4, norm="linf", defense="jpeg")) == "pgd, linf, jpeg"
