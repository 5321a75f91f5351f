"""Checks as data: their rows, their page in the docs, and how outcomes become a grade."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.checks import CHECKS, run_checks
from robusteval.assessment.checks.certificates import CERTIFIED
from robusteval.assessment.checks.completeness import slope
from robusteval.assessment.checks.cross_attack import gap
from robusteval.assessment.checks.more_effort import power
from robusteval.assessment.checks.spec import Measured, Spec
from robusteval.assessment.gates.every_norm import gate_met
from robusteval.engine.preflight.checks import ITEMS
from robusteval.record.run import Finding, Planted, Record, Search, Strength
from tests.engine.test_findings import N, cell, honest

ROOT = Path(__file__).parents[2]
INF = float("inf")


def test_every_check_is_described_and_everything_described_is_a_check() -> None:
    page = (ROOT / "docs" / "method.md").read_text(encoding="utf-8")
    known: list[Any] = [*ITEMS, *CHECKS, *CERTIFIED]
    assert re.findall(r"^### `([a-z0-9-]+)`", page, re.MULTILINE) == [check.id for check in known]
    flat = " ".join(page.split())
    for check in known:
        for text in (check.title, check.formula, check.threshold, check.why, check.source):
            assert " ".join(text.split()) in flat, (check.id, text)
    assert " ".join(verdict.RULE.split()) in flat.replace(" > ", " ")


def test_every_check_makes_one_row_with_all_that_an_auditor_needs() -> None:
    checks, _ = run_checks(honest())
    assert [check.id for check in checks] == [check.id for check in CHECKS]
    assert len({check.id for check in checks}) == len(checks)
    for check in checks:
        assert all((check.title, check.source, check.formula, check.threshold, check.why, check.measured)), check.id


def outcome(record: Record, name: str) -> str:
    return next(check.outcome for check in run_checks(record)[0] if check.id == name)


def test_the_worst_measurement_counts_and_all_findings_are_told() -> None:
    found = [Finding(code, "info", "", {}, "") for code in ("a", "b")]
    rows = [Measured(0.9, "x", "warn", found[0]), Measured(0.2, "y", "fail", found[1]), Measured(0.99, "z")]
    check, told = Spec("i", "t", "s", "f", "l", "w", "none", lambda record: rows).run(honest())
    assert (check.outcome, check.measured, check.value, check.codes) == ("fail", "y", 0.2, ["a", "b"])
    assert told == found
    check, _ = Spec("i", "t", "s", "f", "l", "w", "none here", lambda record: []).run(honest())
    assert (check.outcome, check.measured, check.value) == ("not-applicable", "none here", None)


@pytest.mark.parametrize(
    ("strong", "weak", "expected"),
    [
        ([1.0, 1.0], [1.0, 1.0], 0.0),
        ([1.0, 1.0], [1.04, 1.04], 0.0),  # the search resolves no better
        ([1.0, 1.0], [2.0, 2.0], 1.0),
        ([1.0, 2.0], [2.0, 1.0], 0.0),  # single samples go either way
        ([0.5, INF, INF, INF], [INF, INF, INF, INF], 0.25),
        ([0.0, 1.0], [0.0, INF], 1.0),  # wrong when clean does not count
        ([INF], [INF], 0.0),
    ],
)
def test_accuracies_are_compared_at_equal_budgets(strong: list[float], weak: list[float], expected: float) -> None:
    assert gap(strong, weak) == pytest.approx(expected)


def test_a_black_box_that_is_nearer_on_single_samples_only_is_no_sign_of_masking() -> None:
    record = honest()
    record.cells[1].distance = [0.1, 0.2] * (N // 2)
    record.cells[2].distance = [0.1, 0.2] * (N // 2)
    record.cells[3].distance = [0.2, 0.1] * (N // 2)
    checks, found = run_checks(record)
    assert next(check.outcome for check in checks if check.id == "black-box") == "pass"
    assert {finding.severity for finding in found if finding.code == "black-box-nearer"} == {"info"}


def test_adversarials_of_the_bare_model_that_beat_adaptive_attacks_show_a_hidden_gradient() -> None:
    record = honest()
    record.pipelines.append(dataclasses.replace(record.pipelines[0], defense="d", plugin="d", kind="preprocessor"))
    for name, distance in (("pgd", 0.4), ("bare-adversarials", 0.1)):
        needs = "gradient" if name == "pgd" else "decision"
        record.cells.append(cell(name, distance, needs, defense="d", knowledge="adaptive", id=f"d/{name}/l2/adaptive"))
    assert outcome(record, "black-box") == "fail"


def trace(values: list[float], key: str = "margin", samples: float = 10.0) -> list[dict[str, float]]:
    return [{"run": 1.0, "samples": samples, key: value} for value in values]


@pytest.mark.parametrize(
    ("values", "expected"),
    [([float(n) for n in range(21)], 1.0), ([min(n, 10) / 10 for n in range(21)], 0.0), ([0.0, 0.0, 0.0], 0.0)],
)
def test_a_straight_line_has_not_come_to_rest(values: list[float], expected: float) -> None:
    assert slope(cell("pgd", 0.4, trace=trace(values))) == pytest.approx(expected)


def test_nothing_is_said_of_a_trace_that_says_nothing() -> None:
    assert slope(cell("pgd", 0.4)) is None
    assert slope(cell("pgd", 0.4, trace=trace([1.0]))) is None
    mixed = [*trace([1.0, 2.0], "step"), {"run": 2.0, "samples": 10.0, "margin": 0.0}]  # a cascade's: others noted else
    assert slope(cell("pgd", 0.4, trace=mixed)) is None
    done = trace([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    done[-1]["won"] = 1.0
    assert slope(cell("pgd", 0.4, trace=done)) is None


def test_one_attack_that_came_to_rest_is_enough() -> None:
    record = honest()
    record.cells[1].trace = trace([float(n) for n in range(21)])
    assert outcome(record, "optimisation-complete") == "fail"
    record.cells[2].trace = trace([min(n, 10) / 10 for n in range(21)])
    assert outcome(record, "optimisation-complete") == "pass"


@pytest.mark.parametrize(("lost", "expected"), [(0, "pass"), (1, "pass"), (5, "warn"), (50, "fail")])
def test_wins_that_were_lost(lost: int, expected: str) -> None:
    record = honest()
    record.cells[1].watched = {"asked": 200, "met": 100, "lost": lost, "fooled": 100 - lost, "not_carried": 0}
    assert outcome(record, "silent-success") == expected


@pytest.mark.parametrize(("short", "expected"), [(10, "pass"), (40, "warn"), (90, "fail")])
def test_what_fools_the_twin_alone(short: int, expected: str) -> None:
    record = honest()
    record.cells[1].watched = {"asked": 200, "met": 0, "lost": 0, "fooled": 100, "not_carried": short}
    assert outcome(record, "transfer") == expected


@pytest.mark.parametrize(
    ("hits", "luck", "expected"),
    [(20, 0, "pass"), (18, 0, "warn"), (9, 0, "fail"), (20, 15, "warn")],
)
def test_planted_adversarials_that_were_not_found(hits: int, luck: int, expected: str) -> None:
    row = Planted("l2", 1.0, {}, "done", samples=list(range(20)), random=[n < luck for n in range(20)])
    row.found = {"pgd": [n < hits for n in range(20)], "square": [True] * 20}
    row.needs = {"pgd": "gradient", "square": "scores"}
    record = honest()
    record.planted = [row]
    assert outcome(record, "planted") == expected
    record.checks, record.findings = run_checks(record)
    assert f"found {100 * hits / 20:.0f} %" in " ".join(verdict.write(record).sentences)


def test_power_is_what_any_of_the_attacks_found() -> None:
    found, needs = {"a": [True, False], "b": [False, False]}, {"a": "scores", "b": "gradient"}
    assert power(found, needs) == 0.5
    assert power(found, needs, "gradient") == 0.0
    assert power({}, {}) == 0.0


@pytest.mark.parametrize(("distance", "expected"), [(0.39, "pass"), (0.28, "pass"), (0.2, "warn")])
@pytest.mark.parametrize("label", ["twice-steps", "other-start"])
def test_more_effort_that_helps(label: str, distance: float, expected: str) -> None:
    """0.28 is far nearer than pgd itself, at 0.4, and no nearer than ddn, at 0.3: the reported number stands."""
    record = honest()
    record.probes = [cell("pgd", [distance] * 64, id=f"probe/{label}/none/pgd/l2")]
    assert outcome(record, label) == expected


@pytest.mark.parametrize(("distance", "expected"), [(0.4, "pass"), (0.2, "fail")])
def test_noise_and_targeted_attacks_that_beat_the_others(distance: float, expected: str) -> None:
    record = honest()
    record.cells.append(cell("noise", distance, "decision"))
    assert outcome(record, "random-search") == expected
    record = honest()
    record.cells.append(cell("least-likely", distance))
    assert outcome(record, "targeted") == expected


@pytest.mark.parametrize(("hits", "expected"), [([0] * 8, "pass"), ([3] + [0] * 7, "warn"), ([1] * 8, "fail")])
def test_noise_that_finds_something(hits: list[int], expected: str) -> None:
    record = honest()
    record.searches = [Search("l2", 10_000, list(range(8)), [0.1] * 8, hits)]
    assert outcome(record, "noise-draws") == expected


@pytest.mark.parametrize(("shares", "expected"), [((0.2, 0.9), "pass"), ((0.9, 0.7), "warn"), ((0.9, 0.1), "fail")])
def test_a_bigger_budget_that_does_not_help(shares: tuple[float, float], expected: str) -> None:
    record = honest()
    record.cells[1].strengths = [
        Strength(float(place), 0.0, 0.0, [n < share * N for n in range(N)], [0] * N)
        for place, share in enumerate(shares)
    ]
    assert outcome(record, "bigger-budget") == expected


@pytest.mark.parametrize(("column", "name"), [("unstable_again", "repeat"), ("unstable_batch", "batch")])
@pytest.mark.parametrize(
    ("share", "expected"), [(None, "not-applicable"), (0.0, "pass"), (0.005, "warn"), (0.5, "fail")]
)
def test_answers_that_change(column: str, name: str, share: float | None, expected: str) -> None:
    record = honest()
    setattr(record.pipelines[0], column, share)
    assert outcome(record, f"predictions-{name}") == expected


def test_a_check_that_fails_many_times_counts_once_and_strangers_count_beside() -> None:
    record = honest()
    for attacked in record.cells[:2]:  # the third still follows its gradients
        attacked.zero_gradients = 8 * N
    record.checks, record.findings = run_checks(record)
    assert verdict.write(record).grade == "D"
    record.findings.append(Finding("near-chance", "alarm", "It guesses.", {}, ""))
    assert verdict.write(record).grade == "F"


def test_the_grade_fails_closed() -> None:
    record = honest()
    record.suite.norms = ["l2", "linf"]
    judged = verdict.write(record)  # no check was made, no finding is there
    assert (judged.grade, judged.status) == ("F", "inconclusive")
    record.verdict = judged
    assert not gate_met(record, 0.0)
    record.cells, record.suite.norms = [], []
    assert verdict.write(record).grade == "F"


def test_a_gate_needs_a_value_in_every_norm() -> None:
    record = honest()
    record.verdict = verdict.write(record)
    assert gate_met(record, 0.3)
    assert not gate_met(record, 0.31)
    excluded = cell("pgd", [], id="none/pgd/linf", norm="linf", status="excluded")
    record.cells.append(excluded)
    assert not gate_met(record, 0.0)
