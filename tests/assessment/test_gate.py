"""The gate: it is met only by what was measured, in every norm, in a run that can be relied on."""

from __future__ import annotations

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.gates.every_norm import gap, gate_met, unmet
from robusteval.record.run import Record, Verdict
from tests.assessment.asking import numbers, says
from tests.engine.test_findings import N, cell, honest


def concluded(record: Record | None = None) -> Record:
    record = record or honest()
    record.verdict = verdict.write(record)
    return record


def test_the_median_of_the_worst_case_is_what_counts() -> None:
    record = concluded()
    assert gate_met(record, 0.3)
    assert unmet(record, 0.3) == ""
    assert not gate_met(record, 0.3001)
    assert numbers(unmet(record, 0.3001)) == [0.3]
    assert says(unmet(record, 0.3001), "l2")
    record.cells.append(cell("pgd", 0.1, norm="linf"))
    assert gate_met(record, 0.1)
    assert numbers(unmet(record, 0.2)) == [0.1]
    assert numbers(unmet(record, 0.5)) == [0.3, 0.1]


def test_a_run_that_is_inconclusive_meets_no_gate() -> None:
    record = honest()
    assert not gate_met(record, 0.0)
    assert "inconclusive" in unmet(record, 0.0)
    record.verdict = Verdict("inconclusive", "D", "", [])
    assert not gate_met(record, 0.0)
    record.verdict = Verdict("conclusive", "A", "", [])
    assert gate_met(record, 0.0)


def test_nan_meets_no_gate_and_is_met_by_none() -> None:
    record = concluded()
    assert not gate_met(record, float("nan"))


def test_every_norm_that_was_asked_about_needs_a_value() -> None:
    record = concluded()
    record.suite.norms = ["l1", "l2"]
    assert unmet(record, 0.0) == "nothing was measured in l1"
    record.cells.append(cell("pgd", 0.5, norm="linf", status="excluded"))
    assert unmet(record, 0.0) == "nothing was measured in l1, linf"
    record.cells[-1] = cell("pgd", 0.5, norm="linf", defense="d", knowledge="adaptive")
    assert unmet(record, 0.0) == "nothing was measured in l1, linf"
    record.suite.norms, record.cells = [], []
    assert unmet(record, 0.0) == "nothing was measured in any norm"


def test_what_is_missing_in_one_norm_is_told_of_that_norm() -> None:
    record = concluded()
    assert gap(record, "l2") == gap(record) == ""
    assert gap(record, "l1") == "nothing was measured in l1"
    record.pipelines[0].prediction = [1 - label for label in record.data.labels]
    record.cells[0].distance = record.cells[0].l2 = [0.0] * N
    assert gap(record, "l2") == "no sample was right when clean"
    assert gap(record, "l1") == "nothing was measured in l1"


def test_a_norm_without_working_gradients_meets_no_gate() -> None:
    record = concluded()
    record.cells.append(cell("square", 0.9, "scores", norm="linf"))
    assert unmet(record, 0.0) == "no attack with working gradients was made in linf"
    record.cells.append(cell("square", 0.9, "scores", norm="l1"))
    assert unmet(record, 0.0) == "no attack with working gradients was made in l1, linf"


@pytest.mark.parametrize("status", ["failed", "skipped", "pending"])
def test_an_attack_on_the_bare_model_that_was_lost_is_a_gap(status: str) -> None:
    record = concluded()
    record.cells.append(cell("x", [], status=status))
    assert status in unmet(record, 0.0)
    assert numbers(unmet(record, 0.0)) == [1, 5]
    record.cells[-1] = cell("x", [], status=status, defense="d", knowledge="adaptive")
    assert gate_met(record, 0.3)
    record.cells[-1] = cell("x", [], status="excluded")  # what the access does not allow is no gap
    assert gate_met(record, 0.3)


def test_a_cascade_without_some_of_its_members_is_a_gap() -> None:
    record = concluded()
    record.cells[1].without = {"square": "no scores"}
    record.cells[1].attack = "auto without square@0.1"
    assert unmet(record, 0.0) == "a cascade was run without square"
    record.cells[1].knowledge = "adaptive"
    assert gate_met(record, 0.3)


@pytest.mark.parametrize(
    "distances",
    [[0.3] * (N - 1), [0.3] * (N + 1), [-0.1] + [0.3] * (N - 1), [float("nan")] + [0.3] * (N - 1), [float("inf")] * N],
)
def test_a_column_that_is_not_whole_is_a_gap(distances: list[float]) -> None:
    record = concluded()
    record.cells = [cell("pgd", distances)]
    assert not gate_met(record, 0.0)
    record.cells = [cell("pgd", [None] + [0.3] * (N - 1))]
    assert gate_met(record, 0.3)


def test_labels_and_samples_have_to_agree() -> None:
    for name in ("samples", "labels"):
        record = concluded()
        setattr(record.data, name, N - 1 if name == "samples" else [0] * (N - 1))
        assert not gate_met(record, 0.0)


def test_a_model_that_was_right_nowhere_meets_no_gate() -> None:
    record = concluded()
    record.cells.append(cell("pgd", 0.0, defense="d", knowledge="adaptive"))
    assert gate_met(record, 0.3)  # a defence that was wrong everywhere is no matter
    for attacked in record.cells:
        attacked.distance = [0.0] * N
    assert unmet(record, 0.0) == "no sample was right when clean"
    record.cells[0].distance = record.cells[1].distance = [*[0.0] * (N - 1), 0.4]
    record.cells[2].distance = record.cells[3].distance = [*[0.0] * (N - 1), 0.4]
    assert gate_met(record, 0.4)


def test_samples_that_no_attack_took_hold_as_far_as_attacks_with_gradients_went() -> None:
    record = concluded()
    never = [None] * N
    record.cells = [
        cell("pgd", never, eps=0.5),
        cell("apgd", never, eps=0.25),
        cell("square", never, "scores", eps=0.9),
    ]
    assert gate_met(record, 0.5)
    assert not gate_met(record, 0.51)
    record.cells.append(cell("ddn", never, eps=None))
    assert gate_met(record, 1e9)
    record.cells = [cell("ddn", never, eps=None), cell("square", 0.2, "scores")]
    assert gate_met(record, 0.2)
    assert not gate_met(record, 0.21)


def test_of_one_norm_only_its_own_attacks_tell_what_is_missing() -> None:
    """Samples that are wrong when clean are so in all norms, unless a record was changed: then one gives no figure."""
    record = concluded()
    record.cells.append(cell("pgd", 0.0, norm="linf"))
    assert gap(record, "l2") == ""
    assert gap(record, "linf") == "no sample was right when clean"
    assert gap(record) == ""
    record.cells[-1].status = "failed"
    assert gap(record, "l2") == ""
    assert gap(record, "linf") == "1 of 1 attacks on the bare model were failed"
    assert gap(record) == "1 of 5 attacks on the bare model were failed"
