"""The rules that only tell: outputs, CLEVER, the time budget; and the order of all findings."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from robusteval.assessment.findings import examine
from robusteval.record.run import Estimate, Finding, Record
from tests.assessment.asking import complete, find, numbers, says
from tests.engine.test_findings import N, cell, honest


def told(record: Record, code: str) -> list[Finding]:
    rows = [row for row in find(record, False) if row.code == code]
    for row in rows:
        complete(row)
    return rows


def test_alarms_come_first_and_codes_in_order() -> None:
    record = honest()
    record.cells[0].status = "failed"
    record.cells[1].status = "excluded"
    record.model.output = "probabilities"
    record.data.samples = 50
    record.estimates = [estimate([], "failed")]
    checks, found = examine(record, True)
    weights = [row.severity for row in found]
    assert weights == sorted(weights, key=["alarm", "warning", "info"].index)
    assert [row.code for row in found if row.severity == "warning"] == [
        "attacks-excluded", "few-samples", "labels-from-model",
    ]  # fmt: skip
    assert [row.code for row in found if row.severity == "info"] == ["clever-failed", "outputs-are-probabilities"]
    assert found == find(record, True)
    assert len(checks) > 10
    (row,) = [row for row in found if row.code == "labels-from-model"]
    complete(row)
    assert (row.severity, row.evidence) == ("warning", {})
    assert "labels-from-model" not in {row.code for row in find(record, False)}


def test_what_a_model_puts_out() -> None:
    record = honest()
    (row,) = told_after(record, "labels", "labels-only")
    assert (row.severity, row.evidence) == ("warning", {})
    record.model.rung = "C"
    for output in ("probabilities", "log-probabilities"):
        (row,) = told_after(record, output, "outputs-are-probabilities")
        assert (row.severity, row.evidence) == ("info", {"rung": "C"})
        assert f"returns {output}," in row.sentence
        assert told(record, "labels-only") == []
    assert told_after(record, "logits", "outputs-are-probabilities") == []


def told_after(record: Record, output: str, code: str) -> list[Finding]:
    record.model.output = output
    return told(record, code)


def estimate(
    values: list[float | None], status: Literal["done", "failed", "excluded"] = "done", norm: str = "l2", **more: Any
) -> Estimate:
    return Estimate("clever", norm, {}, status, samples=list(range(len(values))), value=values, **more)


def test_clever_above_an_attack() -> None:
    record = honest()
    record.cells = [cell("pgd", [0.4, 0.4, 0.0, None, 0.5, 0.2, *[0.4] * (N - 6)])]
    record.estimates = [estimate([0.4, 0.5, 0.9, 9.0, None, 0.8])]
    (row,) = told(record, "clever-above-attack")
    assert row.severity == "info"
    # equal is not above; wrong when clean, never lost and not fitted are not compared
    assert row.evidence == {"samples": 3, "above": 2, "largest_ratio": 0.8 / 0.2}
    assert numbers(row.sentence) == [2, 3]
    assert says(row.sentence, "l2")
    record.estimates = [estimate([0.4, 0.3])]
    assert told(record, "clever-above-attack") == []


def test_clever_is_compared_with_the_worst_case_of_its_norm_on_its_own_samples() -> None:
    record = honest()
    record.estimates = [estimate([0.29, 0.31])]
    record.estimates[0].samples = [3, 7]
    record.cells[2].distance = [*[0.3] * 7, 0.32, *[0.3] * (N - 8)]
    assert told(record, "clever-above-attack") == []
    record.cells[2].distance[7] = 0.305
    assert len(told(record, "clever-above-attack")) == 1
    for other in (estimate([9.0], norm="linf"), estimate([9.0], "excluded")):
        record.estimates = [other, estimate([0.1])]
        assert told(record, "clever-above-attack") == []
    record.estimates = [estimate([9.0], norm="linf"), estimate([], "excluded"), estimate([9.0])]
    assert len(told(record, "clever-above-attack")) == 1
    record.cells = [cell("pgd", 0.1, knowledge="adaptive")]
    assert told(record, "clever-above-attack") == []
    record.cells, record.estimates[-1].value = [cell("pgd", 0.1)], [9.0, 9.0]
    with pytest.raises(ValueError, match="argument"):
        told(record, "clever-above-attack")


def test_clever_that_failed() -> None:
    record = honest()
    record.estimates = [estimate([], "failed", reason="no gradients"), estimate([9.0])]
    (row,) = told(record, "clever-failed")
    assert (row.severity, row.evidence) == ("info", {"reason": "no gradients"})
    assert says(row.sentence, "l2")
    assert len(told(record, "clever-above-attack")) == 1
    record.estimates = [estimate([], "failed", norm="l1")]  # nothing was attacked there
    assert told(record, "clever-failed") == []


@pytest.mark.parametrize(
    ("cells", "probes", "tests", "said"),
    [
        (2, 0, [], "2 of 4 cells were"), (0, 1, [], "1 of 2 probes were"), (0, 0, ["a"], "the test by a were"),
        (1, 1, [], "1 of 4 cells and 1 of 2 probes were"), (1, 2, ["a", "b"],
         "1 of 4 cells, 2 of 2 probes, the test by a and the test by b were"), (0, 0, [], ""),
    ],
)  # fmt: skip
def test_what_the_time_budget_left_out(cells: int, probes: int, tests: list[str], said: str) -> None:
    record = honest()
    record.probes = [cell("pgd", 0.4, id=f"probe/twice-steps/none/{name}/l2", status="failed") for name in ("pgd", "x")]
    for row in record.cells[:cells] + record.probes[:probes]:
        row.status = "skipped"
    record.skipped = tests
    rows = told(record, "time-budget-ended")
    assert len(rows) == bool(said)
    for finding in rows:
        assert finding.severity == "warning"
        assert f" before {said} done," in finding.sentence
        assert finding.advice.startswith("The same command without --time-budget goes on from here: ")
        record.environment["units"] = "8 samples each"
        assert told(record, "time-budget-ended")[0].advice.startswith("Give more time: ")
        assert finding.evidence == {"skipped": cells, "cells": 4, "probes": probes, "tests": ", ".join(tests)}
        assert finding.cells == [cell.id for cell in record.cells[:cells]]


def test_an_attack_whose_candidates_are_all_unusable_is_an_alarm() -> None:
    record = honest()
    broken, other = record.cells[:2]
    broken.distance, broken.rejected = [None] * N, {"not finite": 41}
    (row,) = told(record, "candidates-unusable")
    assert (row.severity, row.evidence, row.cells) == ("alarm", {"candidates": 41}, [broken.id])
    assert says(row.sentence, "41", broken.attack, "not finite")
    broken.rejected = {"not finite": 40, "not a win": 1}  # one was asked, so the model was attacked
    other.distance, other.rejected = [0.5] + [None] * (N - 1), {"outside the box": 3}  # one won
    assert told(record, "candidates-unusable") == []


def test_what_was_wrong_when_clean_is_no_win_of_an_attack_whose_candidates_are_unusable() -> None:
    record = honest()
    fine, broken = record.cells[:2]
    fine.rejected = {"not a win": 5}  # the rows after it are looked at too
    broken.distance, broken.rejected = [0.0, *[None] * (N - 1)], {"outside the box": 3, "not finite": 4, "a win": 0}
    (row,) = told(record, "candidates-unusable")
    assert (row.severity, row.evidence, row.cells) == ("alarm", {"candidates": 7}, [broken.id])
    assert row.sentence == (
        "All 7 candidates of pgd (l2, none) were not finite or outside the box, so it attacked nothing; that is not "
        "robustness."
    )
    broken.distance[0] = 1e-9
    assert told(record, "candidates-unusable") == []


def test_oblivious_cells_attack_nothing_themselves() -> None:
    record = honest()
    first, second = record.cells[:2]
    for attacked in (first, second):
        attacked.distance, attacked.rejected = [None] * N, {"over budget": 2}
    first.knowledge = "oblivious"
    (row,) = told(record, "candidates-unusable")
    assert row.cells == [second.id]
