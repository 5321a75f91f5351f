"""The check of planted adversarials: both sides of every limit, and every figure."""

from __future__ import annotations

from typing import Any

import pytest

from robusteval.assessment.checks.more_effort import power
from robusteval.record.run import Planted
from tests.assessment.asking import SEVERITY, ask, numbers, one, says
from tests.engine.test_findings import honest


def planted(hits: int, luck: int = 0, count: int = 100, needs: str = "gradient", **more: Any) -> Planted:
    row = Planted("l2", 0.25, {}, "done", samples=list(range(count)), random=[n < luck for n in range(count)])
    row.found = {"pgd": [n < hits for n in range(count)], "square": [True] * count}
    row.needs = {"pgd": needs, "square": "scores"}
    for name, value in more.items():
        setattr(row, name, value)
    return row


@pytest.mark.parametrize(
    ("hits", "luck", "expected", "code"),
    [
        (100, 0, "pass", ""), (95, 0, "pass", ""), (94, 0, "warn", "planted-missed"), (50, 0, "warn", "planted-missed"),
        (49, 0, "fail", "planted-missed"), (0, 0, "fail", "planted-missed"), (100, 50, "pass", ""),
        (100, 51, "warn", "planted-too-easy"), (95, 51, "warn", "planted-too-easy"), (94, 51, "warn", "planted-missed"),
        (40, 51, "fail", "planted-missed"),
    ],
)  # fmt: skip
def test_planted_adversarials(hits: int, luck: int, expected: str, code: str) -> None:
    record = honest()
    record.planted = [planted(hits, luck, features="penultimate: relu")]
    check, found = ask(record, "planted")
    assert (check.outcome, check.value) == (expected, hits / 100)
    assert numbers(check.measured) == [hits, 100, luck]
    assert says(check.measured, "attacks with gradients", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == (code, SEVERITY[expected])
        assert finding.evidence == {
            "power": hits / 100, "random": luck / 100, "samples": 100, "features": "penultimate: relu"
        }  # fmt: skip
        assert numbers(finding.sentence) == [hits, 100, 0.25, luck]
        assert says(finding.sentence, "attacks with gradients", "l2")
        assert ("too easy" in finding.advice) is (code == "planted-too-easy")


def test_without_gradients_all_attacks_are_asked() -> None:
    record = honest()
    record.planted = [planted(10, needs="scores")]
    check, _ = ask(record, "planted")
    assert (check.outcome, check.value) == ("pass", 1.0)
    assert not says(check.measured, "with gradients")
    assert says(check.measured, "attacks")


def test_the_worst_norm_of_the_planted_test_is_told_of() -> None:
    record = honest()
    record.planted = [planted(80), planted(70, norm="l1"), planted(90, norm="linf")]
    check, found = ask(record, "planted")
    assert (check.value, len(found)) == (0.7, 3)
    assert says(check.measured, "l1")
    assert found[0].evidence == {"power": 0.8, "random": 0.0, "samples": 100}  # an older record knows no features


def test_planted_tests_that_could_not_be_made() -> None:
    record = honest()
    record.planted = [planted(100, status="excluded"), planted(100, status="failed", reason="no features", norm="l1")]
    check, finding = one(record, "planted")
    assert (check.outcome, check.value) == ("warn", None)
    assert says(check.measured, "l1", "no features")
    assert (finding.code, finding.severity, finding.evidence) == ("planted-failed", "info", {"reason": "no features"})
    assert says(finding.sentence, "l1")
    record.planted = record.planted[:1]
    assert ask(record, "planted")[0].outcome == "not-applicable"
    record.planted = [planted(0, status="failed"), planted(100, status="excluded"), planted(10)]
    assert ask(record, "planted")[0].outcome == "fail"
    record.planted = [planted(0, count=0)]
    check, finding = one(record, "planted")
    assert (check.outcome, check.value) == ("fail", 0.0)
    assert numbers(check.measured) == [0, 0, 0]


def test_the_budget_of_the_planted_test_is_written_as_everywhere() -> None:
    record = honest()
    for norm, bounds, said in (
        ("linf", [0.0, 1.0], "linf 8/255"), ("linf", [-1.0, 1.0], "linf 8/255"), ("linf", [0.0, 255.0], "linf 0.03137"),
        ("linf", [-128.0, 127.0], "linf 0.03137"), ("l2", [0.0, 1.0], "l2 0.03137"),
    ):  # fmt: skip
        record.model.bounds = bounds
        record.planted = [planted(10, norm=norm, eps=8 / 255)]
        assert f"within {said} on this" in one(record, "planted")[1].sentence


def test_a_single_planted_adversarial() -> None:
    record = honest()
    record.planted = [planted(1, luck=1, count=1)]
    check, finding = one(record, "planted")
    assert (check.outcome, finding.evidence["random"]) == ("warn", 1.0)


def test_power() -> None:
    found = {"a": [True, False, False, False], "b": [False, True, False, False], "c": [True, True, True, False]}
    needs = {"a": "gradient", "b": "gradient", "c": "scores"}
    assert power(found, needs) == 0.75
    assert power(found, needs, "gradient") == 0.5
    assert power(found, needs, "scores") == 0.75
    assert power(found, needs, "decision") == 0.0
    assert power({"a": [], "b": []}, needs) == 0.0
    with pytest.raises(ValueError, match="argument"):
        power({"a": [True], "b": []}, needs)
