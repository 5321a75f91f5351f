"""What the verdict says of certificates: what is proved, broken and unknown, and that a refuted proof is an F."""

from __future__ import annotations

import pytest

from robusteval.assessment import verdict
from robusteval.metrics._common.columns import REFERENCE
from robusteval.record.run import Check, Record
from tests.assessment.test_certificates import certified
from tests.engine.test_findings import N, cell, honest


def bracketed(norm: str, radii: list[float], distances: list[float], high: float = 1.0) -> Record:
    """A certificate of the first samples in a norm beside one attack; what is not attacked so is lost at 1000."""
    record = honest()
    record.model.bounds = [0.0, high]
    record.cells = [cell("pgd", [*distances, *[1000.0] * (N - len(distances))], norm=norm)]
    record.certificates = [certified(dict(enumerate(radii)), norm)]
    return record


def said(record: Record) -> list[str]:
    return [sentence for sentence in verdict.write(record).sentences if "are proved to be right" in sentence]


def sentence(budget: str, count: int, proved: float, broken: float, unknown: float) -> str:
    return (
        f"At {budget}, of {count} samples {proved:.1f} % are proved to be right, {broken:.1f} % are broken or wrong, "
        f"and of {unknown:.1f} % neither is known."
    )


def test_the_three_shares_at_the_budget_that_is_quoted_first() -> None:
    """.5 of the range is the budget in L2, and what holds or breaks exactly there counts."""
    record = bracketed("l2", [1.0, 1.5, 3.0, 0.5, 0.999, 0.0, 0.0, 0.0], [9.0, 9.0, 9.0, 1.0, 9.0, 9.0, 9.0, 9.0], 2.0)
    assert said(record) == [sentence("L2 1", 8, 37.5, 12.5, 50.0)]
    record.model.bounds = [0.0, 1.0]
    assert said(record) == [sentence("L2 0.5", 8, 62.5, 0.0, 37.5)]


@pytest.mark.parametrize(
    ("high", "budget"),
    [
        (1.0, "8/255"),
        (2.0, "16/255"),
        (4.0, "32/255"),
        (4.00001, "0.1255"),  # a range as wide is told in plain numbers
        (255.0, "8"),
    ],
)
def test_a_budget_in_linf_is_told_in_the_units_of_the_range(high: float, budget: str) -> None:
    record = bracketed("linf", [1000.0, 0.0, 0.0, 0.0], [2000.0, 0.001, 1000.0, 1000.0], high)
    assert said(record) == [sentence(f"Linf {budget}", 4, 25.0, 25.0, 50.0)]


def test_norms_come_once_in_the_order_of_the_certificates_and_one_without_attacks_is_left_out() -> None:
    record = bracketed("linf", [0.5, 0.0], [0.6, 0.7])
    record.certificates.insert(0, certified({0: 9.0}, "l1"))
    record.certificates += [certified({2: 0.5, 3: 0.5}, "linf", "other"), certified({0: 1.0}, "l2")]
    record.cells.append(cell("pgd", [2.0] * N))
    assert said(record) == [sentence("Linf 8/255", 4, 75.0, 0.0, 25.0), sentence("L2 0.5", 1, 100.0, 0.0, 0.0)]
    record.certificates = []
    assert said(record) == []


def test_a_norm_without_a_title_goes_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(REFERENCE, "lp", 0.25)
    assert said(bracketed("lp", [0.25, 0.25], [0.5, 0.5])) == [sentence("lp 0.25", 2, 100.0, 0.0, 0.0)]


def judged(outcome: str, name: str = "certificates") -> Record:
    record = bracketed("l2", [0.1], [0.3])
    record.checks = [Check(name, "t", "s", "f", "l", "w", "pass", "m")]
    record.checks[0].outcome = outcome  # type: ignore[assignment]  # one of the literals
    return record


@pytest.mark.parametrize(
    ("outcome", "grade"), [("fail", "F"), ("pass", "A"), ("warn", "B"), ("not-applicable", "A")]
)  # fmt: skip
def test_a_certificate_that_an_attack_refutes_is_an_f_by_itself(outcome: str, grade: str) -> None:
    found = verdict.write(judged(outcome))
    assert (found.grade, found.status) == (grade, "inconclusive" if grade == "F" else "conclusive")
    other = verdict.write(judged(outcome, "another"))
    assert (other.grade, other.status) == (
        ("D", "inconclusive") if outcome == "fail" else (grade, "conclusive")
    )  # fmt: skip


def test_a_refuted_certificate_counts_beside_other_checks_of_every_outcome() -> None:
    record = judged("fail")
    record.checks.insert(0, judged("pass", "another").checks[0])
    record.checks.append(judged("not-applicable", "third").checks[0])
    assert verdict.write(record).grade == "F"


def test_the_rule_of_certificates_stands_behind_the_others_where_some_were_asked_for() -> None:
    record = judged("pass")
    words = f"0 checks or findings fail and 0 warn; 1 checks were made. {verdict.RULE}"
    assert verdict.write(record).grade_reason == f"{words} {verdict.CERTIFIED_RULE}"
    record.certificates = []
    assert verdict.write(record).grade_reason == words
