"""Each finding fires on the evaluation that it is meant for, and none of them on an honest one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.findings import examine
from robusteval.record.run import Cell, Data, Model, Pipeline, Record, Strength, Suite
from tests.assessment.asking import find

N = 200


def cell(attack: str, distances: float | Sequence[float | None], needs: str = "gradient", **more: Any) -> Cell:
    column = [distances] * N if isinstance(distances, int | float) else list(distances)
    family = "minimal" if attack in ("ddn", "deepfool") else "fixed"
    made = Cell(
        f"none/{attack}/l2", attack, attack, "1", {}, family, needs, "none", "none", "l2", "curve", 6.0, status="done"
    )
    made.distance = made.l2 = list(column)
    made.forwards = made.backwards = [10] * N
    return dataclasses.replace(made, **more)


def honest() -> Record:
    model = Model("m", "m.onnx", "onnx", "0" * 64, [1, 4, 4], 2, [0.0, 1.0])
    data = Data("d", "d.npz", "1" * 64, N, [0, 1] * (N // 2), [1.0] * N)
    bare = Pipeline("none", "", "", "model", {}, "done", prediction=[0, 1] * (N // 2), surrogate_agreement=1.0)
    cells = [cell("fgsm", 0.5), cell("pgd", 0.4), cell("ddn", 0.3), cell("square", 0.9, "scores")]
    return Record({"name": "robusteval"}, "", 0, {}, model, data, Suite("s", "1", ""), "", [bare], cells)


def codes(record: Record) -> set[str]:
    return {finding.code for finding in find(record, False)}


def test_an_honest_evaluation_has_no_finding_and_grade_a() -> None:
    record = honest()
    record.checks, record.findings = examine(record, False)
    assert record.findings == []
    assert {check.outcome for check in record.checks} == {"pass", "not-applicable"}
    judged = verdict.write(record)
    assert (judged.grade, judged.status) == ("A", "conclusive")


def _crashed(record: Record) -> None:
    record.cells[1].status = "failed"


def _all_crashed(record: Record) -> None:
    for cell in record.cells:
        cell.status = "failed"


def _excluded(record: Record) -> None:
    record.cells[1].status = "excluded"


def _black_box(record: Record) -> None:
    record.cells[3].distance = [0.1] * N


def _one_step(record: Record) -> None:
    record.cells[0].distance = [0.31] * N


def _never_lost(record: Record) -> None:
    for cell in record.cells:
        cell.distance = [None] * N


def _masked(record: Record) -> None:
    record.cells[1].zero_gradients = 8 * N


def _broken_gradients(record: Record) -> None:
    record.cells[1].bad_gradients = 8 * N


def _few(record: Record) -> None:
    record.data.samples = 20


def _no_gradients(record: Record) -> None:
    record.model.gradients, record.model.gradients_reason = "none", "a tree"


def _labels(record: Record) -> None:
    record.model.output = "labels"


def _probe(record: Record) -> None:
    record.probes = [cell("pgd", [0.2] * 64, id="probe/twice-steps/none/pgd/l2")]


def _rejects(record: Record) -> None:
    record.pipelines.append(Pipeline("d", "d", "1", "detector", {}, "done", prediction=[2] * N, threshold=0.0))


def _surrogate(record: Record) -> None:
    right = list(record.pipelines[0].prediction)
    record.pipelines.append(
        Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=right, surrogate_agreement=0.7)
    )


def _adaptive(record: Record) -> None:
    right = list(record.pipelines[0].prediction)
    record.pipelines.append(Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=right))
    strong = Strength(1.25, 0.5, 0.5, [True] * N, right)
    record.cells.append(
        cell("ddn", [], defense="d", knowledge="oblivious", id="d/ddn/l2/oblivious", strengths=[strong])
    )
    record.cells.append(cell("ddn", 0.31, defense="d", knowledge="adaptive", id="d/ddn/l2/adaptive"))


def _too_weak(record: Record) -> None:
    right = list(record.pipelines[0].prediction)
    record.pipelines.append(Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=right))
    strong = Strength(1.0, 0.5, 0.5, [True] * N, [1 - label for label in right])
    record.cells.append(
        cell("ddn", [], defense="d", knowledge="oblivious", id="d/ddn/l2/oblivious", strengths=[strong])
    )
    record.cells.append(cell("ddn", 0.9, defense="d", knowledge="adaptive", id="d/ddn/l2/adaptive"))


def _leak(record: Record) -> None:
    record.pipelines.append(Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=[0] * N))
    strong = Strength(1.0, 0.5, 0.5, [True] * N, list(record.data.labels))
    record.cells.append(
        cell("ddn", [], defense="d", knowledge="oblivious", id="d/ddn/l2/oblivious", strengths=[strong])
    )


def _certificate(record: Record) -> None:
    right = list(record.pipelines[0].prediction)
    record.pipelines.append(Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=right, certified=[1.0] * N))
    record.cells.append(cell("ddn", 0.31, defense="d", knowledge="adaptive", id="d/ddn/l2/adaptive"))


def _mixed(record: Record, stretch: float) -> None:
    """Near and far samples: half of the adversarials lie at 0.1, half at 0.5."""
    right = list(record.pipelines[0].prediction)
    wrong = [1 - label for label in right]
    record.cells[2].distance = [0.1, 0.5] * (N // 2)
    record.pipelines.append(Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=right))
    strong = Strength(stretch, 0.3 * stretch, 0.3 * stretch, [True] * N, wrong)
    record.cells.append(
        cell("ddn", [], defense="d", knowledge="oblivious", id="d/ddn/l2/oblivious", strengths=[strong])
    )
    record.cells.append(cell("ddn", [0.11, 0.55] * (N // 2), defense="d", knowledge="adaptive", id="d/ddn/l2/adaptive"))


def test_attacks_are_compared_sample_by_sample_at_the_distance_of_each() -> None:
    """At the mean distance of 0.36 half of the samples would count as kept, although each needs no more than before."""
    record = honest()
    _mixed(record, 1.2)
    assert "adaptive-too-weak" not in codes(record)
    record = honest()
    _mixed(record, 1.05)
    assert "adaptive-too-weak" in codes(record)


def test_a_defence_that_is_worth_little_takes_nothing_from_the_evaluation_that_shows_it() -> None:
    record = honest()
    before = examine(record, False)[1]
    _adaptive(record)
    found = {finding.code: finding.severity for finding in examine(record, False)[1] if finding not in before}
    assert found["adaptive-much-weaker"] == "info"


def test_what_a_detector_catches_is_held() -> None:
    """All oblivious adversarials are rejected: an adaptive attack that needs to go further is no weak one."""
    record = honest()
    _mixed(record, 1.05)
    record.cells[-2].strengths[0].prediction = [record.model.classes] * N
    assert "adaptive-too-weak" not in codes(record)


CASES: dict[str, tuple[Callable[[Record], None], bool]] = {
    "cells-failed": (_crashed, True),
    "nothing-attacked": (_all_crashed, True),
    "attacks-excluded": (_excluded, False),
    "black-box-stronger": (_black_box, True),
    "one-step-stronger": (_one_step, True),
    "unbounded-not-zero": (_never_lost, True),
    "zero-gradients": (_masked, True),
    "bad-gradients": (_broken_gradients, True),
    "few-samples": (_few, True),
    "no-gradients": (_no_gradients, True),
    "labels-only": (_labels, False),
    "steps-matter": (_probe, False),
    "detector-rejects-most": (_rejects, True),
    "surrogate-disagrees": (_surrogate, True),
    "adaptive-much-weaker": (_adaptive, False),
    "adaptive-too-weak": (_too_weak, False),
    "label-leak": (_leak, False),
    "certificate-broken": (_certificate, True),
}


@pytest.mark.parametrize("code", CASES)
def test_a_finding_fires_on_what_it_is_for(code: str) -> None:
    spoil, inconclusive = CASES[code]
    record = honest()
    spoil(record)
    assert code in codes(record)
    record.checks, record.findings = examine(record, False)
    assert (verdict.write(record).status == "inconclusive") == inconclusive


def test_labels_of_the_models_own_are_said() -> None:
    assert "labels-from-model" in {finding.code for finding in find(honest(), True)}


def test_defences_without_data_to_learn_from_cost_no_grade_and_others_do() -> None:
    record = honest()
    assert verdict.write(record).grade == "A"
    record.pipelines.append(Pipeline("d", "d", "1", "detector", {}, "excluded", "it learns from samples (--fit-data)"))
    record.cells.append(cell("pgd", [], id="d/pgd/l2/adaptive", defense="d", knowledge="adaptive", status="excluded"))
    record.checks, record.findings = examine(record, False)
    (told,) = [finding for finding in record.findings if finding.code == "defences-unfitted"]
    assert told.severity == "info"
    assert "--fit-data" in told.advice
    assert verdict.write(record).grade == "A"
    record.cells.append(cell("square", [], id="none/square/l2", status="excluded"))
    record.checks, record.findings = examine(record, False)
    (warned,) = [finding for finding in record.findings if finding.code == "attacks-excluded"]
    assert warned.cells == ["none/square/l2"]
    assert verdict.write(record).grade == "B"
