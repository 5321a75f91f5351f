"""The checks of gradients and of answers that change: both sides of every limit, and every figure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.assessment.asking import SEVERITY, about, ask, numbers, one, says
from tests.engine.test_findings import N, cell, honest
from tests.sure import sure


@pytest.mark.parametrize(
    ("name", "column"), [("gradients-zero", "zero_gradients"), ("gradients-finite", "bad_gradients")]
)
@pytest.mark.parametrize(
    ("count", "expected"), [(0, "pass"), (200, "pass"), (201, "warn"), (1000, "warn"), (1001, "fail"), (2000, "fail")]
)
def test_gradients_that_were_zero_or_not_finite(name: str, column: str, count: int, expected: str) -> None:
    record = honest()
    counted: dict[str, Any] = {column: count}
    record.cells = [cell("pgd", 0.4), cell("ddn", 0.3, defense="d", knowledge="adaptive", **counted)]
    check, found = ask(record, name)
    share = count / (10 * N)
    assert (check.outcome, check.value) == (expected, share)
    if count:
        assert numbers(check.measured) == [about(share), 10 * N]
        assert says(check.measured, "ddn", "l2", "d")
    if expected in SEVERITY:
        (finding,) = found
        kind = "zero" if name == "gradients-zero" else "bad"
        assert (finding.code, finding.severity) == (f"{kind}-gradients", SEVERITY[expected])
        assert finding.evidence == {"share": share, "queries": 10 * N}
        assert numbers(finding.sentence) == [about(share)]
        assert says(finding.sentence, "ddn", "l2", "d", "zero" if kind == "zero" else "non-finite")
        assert finding.cells == ["none/ddn/l2"]


@pytest.mark.parametrize(
    ("name", "column"), [("gradients-zero", "zero_gradients"), ("gradients-finite", "bad_gradients")]
)
def test_only_finished_attacks_that_asked_for_gradients_are_looked_at(name: str, column: str) -> None:
    changes: list[dict[str, Any]] = [{"status": "failed"}, {"backwards": [0] * N}, {"backwards": []}]
    for change in changes:
        record = honest()
        record.cells = [cell("pgd", 0.4, **({column: 10 * N} | change))]
        assert ask(record, name)[0].outcome == "not-applicable", change
        many: dict[str, Any] = {column: 10 * N}
        record.cells.append(cell("ddn", 0.3, **many))
        assert ask(record, name)[0].outcome == "fail"
    other = "bad_gradients" if column == "zero_gradients" else "zero_gradients"
    record.cells = [cell("pgd", 0.4)]
    setattr(record.cells[0], other, 10 * N)
    assert ask(record, name)[0].outcome == "pass"
    record.cells[0].backwards = [1] + [0] * (N - 1)
    setattr(record.cells[0], column, 1)
    assert ask(record, name)[0].value == 1.0


@pytest.mark.parametrize(
    ("name", "column", "code"),
    [
        ("predictions-repeat", "unstable_again", "random-outputs"),
        ("predictions-batch", "unstable_batch", "batch-dependent"),
    ],
)
@pytest.mark.parametrize(
    ("share", "expected"),
    [(None, "not-applicable"), (0.0, "pass"), (1e-6, "warn"), (0.01, "warn"), (0.0101, "fail"), (1.0, "fail")],
)
def test_answers_that_change(name: str, column: str, code: str, share: float | None, expected: str) -> None:
    record = honest()
    record.pipelines.append(dataclasses.replace(record.pipelines[0], defense="jpeg"))
    setattr(record.pipelines[1], column, share)
    check, found = ask(record, name)
    assert (check.outcome, check.value) == (expected, share)
    if expected == "not-applicable":
        assert found == []
    elif expected == "pass":
        assert (numbers(check.measured), found) == ([0], [])
    else:
        (finding,) = found
        assert says(check.measured, "jpeg")
        assert numbers(check.measured) == numbers(finding.sentence) == [about(sure(share))]
        assert (finding.code, finding.severity, finding.evidence) == (code, SEVERITY[expected], {"share": share})
        assert finding.sentence.startswith("jpeg gave")
        assert ("batch" in finding.sentence) is (code == "batch-dependent")
        assert ("export with batch size one" in finding.advice) is (code == "batch-dependent")
        setattr(record.pipelines[0], column, share)
        assert [finding.sentence.split(" gave")[0] for finding in ask(record, name)[1]] == ["The model", "jpeg"]


def test_a_model_that_says_itself_that_it_is_random() -> None:
    record = honest()
    record.model.notes = ["Flattened.", "No random word in a note decides."]
    assert ask(record, "predictions-repeat")[1] == []
    record.model.traits = {"random-outputs": "Random: dropout is on."}
    check, finding = one(record, "predictions-repeat")
    assert (check.outcome, check.value, check.measured) == ("warn", None, "Random: dropout is on.")
    assert (finding.code, finding.severity) == ("random-outputs", "warning")
    assert finding.evidence == {"note": "Random: dropout is on."}
    record.pipelines[0].unstable_again = 0.0
    assert one(record, "predictions-repeat")[0].outcome == "warn"
    record.pipelines[0].unstable_again = 0.5
    assert len(ask(record, "predictions-repeat")[1]) == 1  # measured, so the note adds nothing
    assert ask(record, "predictions-batch")[0].outcome == "not-applicable"
