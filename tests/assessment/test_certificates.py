"""Certificates beside attacks: the check that a win refutes them, and what is told of those that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from robusteval.assessment.checks import CHECKS, run_checks
from robusteval.assessment.checks.certificates import CERTIFIED
from robusteval.assessment.checks.spec import Measured
from robusteval.record.run import Certificate, Check, Finding, Record
from tests.assessment.asking import complete, find
from tests.engine.test_findings import N, cell, honest

ADVICE = (
    "Believe the attack, whose image can be checked, and no certificate of this certifier; report it to whoever "
    "wrote it."
)


def certified(radii: dict[int, float], norm: str = "l2", certifier: str = "crown", **more: Any) -> Certificate:
    """A finished certificate of these samples."""
    return Certificate(
        certifier, "1", {}, norm, **{"status": "done", "samples": [*radii], "radius": [*radii.values()], **more}
    )


def attacked() -> Record:
    """All is right when clean; in L2 and Linf sample 5 is lost at .25, sample 9 at .125, all others at .5."""
    record = honest()
    distances = [0.5] * N
    distances[5], distances[9] = 0.25, 0.125
    record.cells = [cell("pgd", distances), cell("pgd", distances, norm="linf")]
    return record


def measured(*certificates: Certificate) -> list[Measured]:
    record = attacked()
    record.certificates = [*certificates]
    (spec,) = CERTIFIED
    return list(spec.measure(record))


def broken(sentence: str, count: int, sample: int, radius: float, distance: float) -> Finding:
    evidence: dict[str, Any] = {"count": count, "sample": sample, "radius": radius, "distance": distance}
    return Finding("certificate-broken", "alarm", sentence, evidence, ADVICE, [])


def test_balls_without_a_win_pass() -> None:
    (row,) = measured(certified({3: 0.4999, 5: 0.2499, 9: 0.0}))
    assert row == Measured(0.0, "0 of 3 samples (l2)", "pass", None, None)


def test_a_win_on_the_sphere_is_inside_the_ball_and_is_told_in_full() -> None:
    (row,) = measured(certified({3: 0.4999, 5: 0.25, 7: 0.1, 9: 0.0}))
    sentence = (
        "On 1 of 4 samples an attack won inside a ball that crown proved to hold no adversarial (l2); the first is "
        "sample 5, proved up to 0.25 and broken at 0.25."
    )
    assert row == Measured(0.25, "1 of 4 samples (l2)", "fail", broken(sentence, 1, 5, 0.25, 0.25))
    assert row.finding is not None
    complete(row.finding)


def test_all_certifiers_that_are_refuted_are_named_once_and_the_first_sample_is_shown() -> None:
    (row,) = measured(
        certified({3: 0.1, 5: 0.3, 9: 0.1, 11: 0.1, 12: 0.75}, certifier="zonotopes"),
        certified({2: 0.0, 9: 1 / 3, 5: 0.2}),
        certified({3: 0.2, 4: 0.1}, certifier="sound"),
    )
    sentence = (
        "On 3 of 7 samples an attack won inside a ball that crown, zonotopes proved to hold no adversarial (l2); the "
        "first is sample 5, proved up to 0.3 and broken at 0.25."
    )
    assert row == Measured(3 / 7, "3 of 7 samples (l2)", "fail", broken(sentence, 3, 5, 0.3, 0.25))


def test_figures_have_six_digits() -> None:
    (row,) = measured(certified({9: 1 / 3}))
    assert row.finding is not None
    assert row.finding.sentence.endswith("the first is sample 9, proved up to 0.333333 and broken at 0.125.")
    assert row.finding.evidence == {"count": 1, "sample": 9, "radius": 1 / 3, "distance": 0.125}


def test_each_norm_is_measured_once_and_one_without_attacks_is_none() -> None:
    rows = measured(
        certified({0: 9.0}, "l1"),  # nobody attacked there
        certified({3: 0.1}, "linf"),
        certified({4: 0.1}, "linf", "other"),
        certified({5: 0.1, 9: 0.2}),
    )
    assert [(row.value, row.said, row.outcome) for row in rows] == [
        (0.0, "0 of 2 samples (linf)", "pass"),
        (0.5, "1 of 2 samples (l2)", "fail"),
    ]
    assert measured(certified({0: 9.0}, "l1")) == []
    assert measured(certified({5: 9.0}, status="failed")) == []


def test_the_check_s_row() -> None:
    record = attacked()
    record.certificates = [certified({3: 0.1}, "linf"), certified({5: 0.25})]
    checks, findings = run_checks(record)
    row = checks[-1]
    assert row.id == "certificates"
    assert (row.outcome, row.measured, row.value) == ("fail", "1 of 1 samples (l2)", 1.0)
    assert row.codes == ["certificate-broken"]
    assert [finding.code for finding in findings if finding.severity == "alarm"] == ["certificate-broken"]
    record.certificates = [certified({3: 0.1}, "l1")]
    row = run_checks(record)[0][-1]
    assert row == Check(
        "certificates", row.title, row.source, row.formula, row.threshold, row.why, "not-applicable",
        "no certifier finished beside attacks in the same norm",
    )  # fmt: skip


def test_the_check_is_made_where_certificates_were_asked_for_and_nowhere_else() -> None:
    record = attacked()
    usual = [spec.id for spec in CHECKS]
    assert [check.id for check in run_checks(record)[0]] == usual
    record.certificates = [certified({}, status="excluded")]
    assert [check.id for check in run_checks(record)[0]] == [*usual, "certificates"]


@pytest.mark.parametrize(
    ("status", "severity"), [("excluded", "info"), ("failed", "warning"), ("skipped", "warning"), ("done", "")]
)
def test_certificates_that_are_not_there(status: str, severity: Any) -> None:
    record = attacked()
    record.certificates = [
        certified({5: 0.1}),
        certified({}, "linf", "zonotopes", status=status, reason="no graph"),
        certified({9: 0.1}, "linf"),
    ]
    rows = [finding for finding in find(record) if finding.code not in {row.code for row in find(attacked())}]
    expected = Finding(
        "no-certificate", severity, "zonotopes gave no certificate in linf: no graph.",
        {"certifier": "zonotopes", "norm": "linf", "reason": "no graph"},
        "What is not proved is unknown, not false; docs/certificates.md lists what is covered.", [],
    )  # fmt: skip
    assert rows == ([expected] if severity else [])
