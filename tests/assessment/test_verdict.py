"""The verdict: every boundary between grades, every figure in its sentences, and that it fails closed."""

from __future__ import annotations

from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.record.run import Check, Finding, Record
from tests.assessment.asking import numbers, says
from tests.engine.test_findings import N, cell, honest


def checks(*outcomes: Any, codes: tuple[str, ...] = ()) -> list[Check]:
    return [
        Check(f"c{place}", "t", "s", "f", "l", "w", outcome, "m", codes=list(codes))
        for place, outcome in enumerate(outcomes)
    ]


def findings(*rows: tuple[str, Any]) -> list[Finding]:
    return [Finding(code, weight, f"{code} is told.", {}, "do") for code, weight in rows]


def sentences(record: Record, word: str) -> list[str]:
    return [sentence for sentence in verdict.write(record).sentences if word in sentence]


# Grades


@pytest.mark.parametrize(
    ("fails", "warns", "grade"),
    [
        (0, 0, "A"), (0, 1, "B"), (0, 2, "B"), (0, 3, "C"), (0, 20, "C"), (1, 0, "D"), (1, 1, "D"), (1, 20, "D"),
        (2, 0, "F"), (2, 5, "F"), (7, 0, "F"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("by", ["checks", "findings"])
def test_grades(fails: int, warns: int, grade: str, by: str) -> None:
    record = honest()
    record.checks = checks("pass", "not-applicable")
    if by == "checks":
        record.checks += checks(*["fail"] * fails, *["warn"] * warns)
    else:
        rows = [(f"a{n}", "alarm") for n in range(fails)] + [(f"w{n}", "warning") for n in range(warns)]
        record.findings = findings(*rows)
    judged = verdict.write(record)
    assert judged.grade == grade
    assert judged.status == ("inconclusive" if grade in "DF" else "conclusive")
    assert numbers(judged.grade_reason)[:2] == [fails, warns]
    assert numbers(judged.grade_reason)[2] == 1 + (fails + warns if by == "checks" else 0)
    assert judged.grade_reason.endswith(verdict.RULE)
    assert judged.sentences[0].startswith("INCONCLUSIVE: ") is (grade in "DF")


def test_what_checks_raised_counts_once_and_a_code_of_another_finding_once() -> None:
    record = honest()
    record.checks = checks("fail", codes=("known",))
    record.findings = findings(("known", "alarm"), ("known", "warning"), ("told", "info"))
    assert verdict.write(record).grade == "D"
    assert numbers(verdict.write(record).grade_reason)[:2] == [1, 0]
    record.findings += findings(("stranger", "warning"), ("stranger", "warning"), ("other", "warning"))
    assert numbers(verdict.write(record).grade_reason)[:2] == [1, 2]


def test_a_norm_in_which_nothing_was_measured_is_an_f() -> None:
    record = honest()
    record.suite.norms = ["l2", "linf"]
    judged = verdict.write(record)
    assert (judged.grade, judged.status) == ("F", "inconclusive")
    assert says(judged.sentences[0], "INCONCLUSIVE")
    assert "linf" in judged.sentences[0].lower()
    record.suite.norms = []
    record.cells[0] = cell("fgsm", 0.5, norm="l1", status="failed")
    assert verdict.write(record).grade == "F"
    record.cells[0] = cell("fgsm", 0.5, norm="l1", knowledge="adaptive", defense="d")
    assert verdict.write(record).grade == "F"
    record.cells = []
    judged = verdict.write(record)
    assert judged.grade == "F"
    assert "any norm" in judged.sentences[0]


def test_the_norms_without_a_measurement() -> None:
    record = honest()
    assert verdict.unmeasured(record) == []
    record.suite.norms = ["linf", "l1", "l2"]
    assert verdict.unmeasured(record) == ["l1", "linf"]
    record.cells, record.suite.norms = [], []
    assert verdict.unmeasured(record) == [""]


def test_the_first_sentence_gives_the_first_two_alarms() -> None:
    record = honest()
    record.findings = findings(("a", "alarm"), ("w", "warning"), ("b", "alarm"), ("c", "alarm"))
    assert verdict.write(record).sentences[0] == "INCONCLUSIVE: a is told. b is told."


def test_where_no_finding_says_why_the_checks_do() -> None:
    record = honest()
    record.checks = checks("fail", "warn", "fail")
    record.checks[0].title, record.checks[2].title = "First", "Third"
    assert verdict.write(record).sentences[0] == "INCONCLUSIVE: This did not hold: First; Third."
    record.findings = findings(("no-gradients", "alarm"))  # no norm is blind
    assert verdict.write(record).sentences[0] == "INCONCLUSIVE: no-gradients is told."


def test_all_norms_without_working_gradients_are_named_even_strange_ones() -> None:
    record = honest()
    record.suite.norms = ["lp", "linf"]
    record.cells += [cell("square", 0.2, "scores", norm=norm) for norm in ("linf", "lp")]
    said = verdict.write(record).sentences
    assert "was made in Linf, lp, because" in said[0]
    assert any("in lp, half of" in sentence for sentence in said)
    record.cells[-1].distance = [None] * N
    assert any("in lp, of the" in sentence for sentence in verdict.write(record).sentences)
    record.cells[-1].status = "failed"
    assert "In lp nothing was measured." in verdict.write(record).sentences
    record.cells[-1].status = "skipped"
    assert any("(1 in lp)" in sentence for sentence in verdict.write(record).sentences)
    record.cells[-1].status, record.cells[-1].distance = "done", [0.0] * N
    assert any("In lp there was nothing to lose" in sentence for sentence in verdict.write(record).sentences)


def test_without_working_gradients_in_a_norm_the_grade_is_a_d_at_best() -> None:
    record = honest()
    record.suite.norms = ["l2", "linf"]
    record.cells.append(cell("square", 0.2, "scores", norm="linf"))
    for warns in (0, 1, 3):
        record.checks = checks(*["warn"] * warns)
        judged = verdict.write(record)
        assert (judged.grade, judged.status) == ("D", "inconclusive")
    assert "Linf" in judged.sentences[0]
    assert "L2" not in judged.sentences[0]
    record.checks = checks("fail", "fail")
    assert verdict.write(record).grade == "F"
    record.findings = findings(("no-gradients", "alarm"), ("white-box-missing", "alarm"), ("x", "alarm"))
    first = verdict.write(record).sentences[0]
    assert "x is told." in first  # the others say the same again
    assert "no-gradients is told." not in first
    assert "white-box-missing is told." not in first
    (said,) = sentences(record, "in Linf, half")
    assert said.startswith("An upper bound from black-box attacks only: ")
    (said,) = sentences(record, "in L2, half")
    assert said.startswith("An upper bound at best: ")
