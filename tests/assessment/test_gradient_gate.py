"""Whose gradients the attacks followed, where they worked, and what else speaks there: both sides of every limit."""

from __future__ import annotations

import pytest

from robusteval.record.run import Cell, Planted, Record
from tests.assessment.asking import SEVERITY, about, ask, complete, find, numbers, one, says
from tests.engine.test_findings import N, cell, honest


def following(kind: str) -> Record:
    record = honest()
    record.model.gradients, record.model.gradients_reason = kind, "because"
    return record


# Available


def test_exact_gradients_need_no_word() -> None:
    check, found = ask(honest(), "gradients-available")
    assert (check.outcome, check.value, found) == ("pass", None, [])
    assert says(check.measured, "exact")


@pytest.mark.parametrize(
    ("kind", "outcome", "code", "severity"),
    [("straight-through", "pass", "straight-through", "info"), ("surrogate", "warn", "surrogate-gradients", "warning")],
)
def test_gradients_that_are_not_the_model_s_own(kind: str, outcome: str, code: str, severity: str) -> None:
    check, finding = one(following(kind), "gradients-available")
    assert (check.outcome, check.value) == (outcome, None)
    assert says(check.measured, kind)
    assert (finding.code, finding.severity, finding.evidence) == (code, severity, {"reason": "because"})


@pytest.mark.parametrize("kind", ["none", "unheard of"])
def test_no_gradients_fail(kind: str) -> None:
    check, finding = one(following(kind), "gradients-available")
    assert (check.outcome, check.value) == ("fail", None)
    assert says(check.measured, kind)
    assert (finding.code, finding.severity) == ("no-gradients", "alarm")
    assert finding.evidence == {"gradients": kind, "reason": "because"}


@pytest.mark.parametrize(("kind", "outcome"), [("straight-through", "warn"), ("surrogate", "fail")])
def test_where_nothing_else_speaks_they_are_doubted(kind: str, outcome: str) -> None:
    record = following(kind)
    record.cells = [cell("pgd", 0.4), cell("pgd", 0.4, norm="linf"), cell("square", 0.5, "scores", norm="l1")]
    check, finding = one(record, "gradients-available")
    assert (check.outcome, check.value) == (outcome, 2.0)
    assert (finding.code, finding.severity) == ("gradients-unchecked", SEVERITY[outcome])
    assert finding.evidence == {"reason": "because"}
    assert says(check.measured, kind)
    for text in (check.measured, finding.sentence):
        assert "in l2, linf" in text
    assert says(finding.sentence, kind)
    record.planted = [Planted("linf", 0.1, {}, "done", samples=[0])]
    assert one(record, "gradients-available")[0].value == 1.0
    record.cells.append(cell("hopskipjump", 0.5, "decision"))
    assert ask(record, "gradients-available")[0].outcome == ("pass" if kind == "straight-through" else "warn")


@pytest.mark.parametrize(
    "more",
    [
        cell("noise", 0.4, "decision"), cell("square", 0.4, "scores", status="failed"),
        cell("square", 0.4, "scores", knowledge="adaptive"), cell("apgd", 0.4),
        cell("square", 0.4, "scores", norm="linf"),
        Planted("l2", 0.1, {}, "failed", samples=[0]), Planted("l2", 0.1, {}, "done"),
        Planted("l1", 0.1, {}, "done", samples=[0]),
    ],
)  # fmt: skip
def test_what_does_not_speak(more: Cell | Planted) -> None:
    record = following("surrogate")
    record.cells = [cell("pgd", 0.4)]
    if isinstance(more, Planted):
        record.planted.append(more)
    else:
        record.cells.append(more)
    assert "gradients-unchecked" in {found.code for found in ask(record, "gradients-available")[1]}


# Worked


@pytest.mark.parametrize(
    ("count", "expected"), [(N, "pass"), (190, "pass"), (189, "warn"), (160, "warn"), (159, "fail"), (0, "fail")]
)
def test_samples_without_working_gradients(count: int, expected: str) -> None:
    record = honest()
    record.cells = [cell("pgd", 0.4, backwards=[10] * count + [0] * (N - count)), cell("ddn", 0.1, norm="linf")]
    check, found = ask(record, "gradients-worked")
    assert (check.outcome, check.value) == (expected, count / N)
    assert numbers(check.measured) == [about(count / N)]
    assert says(check.measured, "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("white-box-missing", SEVERITY[expected])
        assert finding.evidence == {"share": count / N}
        assert numbers(finding.sentence) == [about(count / N)]
        assert says(finding.sentence, "l2", "not finite")


def test_where_there_is_nothing_to_be_asked() -> None:
    record = following("none")
    assert ask(record, "gradients-worked")[0].outcome == "not-applicable"
    record = honest()
    record.suite.norms = ["l0", "l2"]  # nothing was done in l0, which norms-attacked tells
    record.cells.append(cell("square", 0.1, "scores", norm="l1", defense="d", knowledge="adaptive"))
    assert ask(record, "gradients-worked")[0].outcome == "pass"
    record.cells = [cell("square", 0.1, "scores"), cell("pgd", 0.1, norm="linf", status="failed")]
    check, found = ask(record, "gradients-worked")
    assert (check.outcome, check.value, len(found)) == ("fail", 0.0, 1)
    record.cells = [cell("pgd", 0.1, norm="l1", status="failed"), cell("square", 0.1, "scores")]
    assert ask(record, "gradients-worked")[0].outcome == "fail"


# Adaptive


@pytest.mark.parametrize(
    ("count", "expected"), [(N, "pass"), (160, "pass"), (159, "warn"), (100, "warn"), (99, "fail"), (0, "fail")]
)
def test_adaptive_attacks_without_working_gradients(count: int, expected: str) -> None:
    record = honest()
    record.cells += [
        cell("pgd", 0.4, defense="jpeg", knowledge="adaptive", backwards=[10] * count + [0] * (N - count)),
        cell("pgd", 0.4, defense="a", knowledge="adaptive"),
        cell("pgd", 0.4, defense="b", knowledge="oblivious", backwards=[0] * N),
    ]
    check, found = ask(record, "gradients-adaptive")
    assert (check.outcome, check.value) == (expected, count / N)
    if count < N:
        assert numbers(check.measured) == [about(count / N)]
        assert says(check.measured, "jpeg", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("adaptive-blind", SEVERITY[expected])
        assert finding.evidence == {"share": count / N}
        assert numbers(finding.sentence) == [about(count / N)]
        assert says(finding.sentence, "jpeg", "l2")


def test_adaptive_attacks_are_asked_norm_by_norm() -> None:
    record = honest()
    record.cells += [
        cell("pgd", 0.4, norm=norm, defense="d", knowledge="adaptive", backwards=[10] * count + [0] * (N - count))
        for norm, count in (("linf", N), ("l2", 50))
    ]
    check, finding = one(record, "gradients-adaptive")
    assert (check.value, finding.evidence) == (0.25, {"share": 0.25})
    assert says(finding.sentence, "l2")


def test_without_defences_or_gradients_nothing_is_asked_of_adaptive_attacks() -> None:
    assert ask(honest(), "gradients-adaptive")[0].outcome == "not-applicable"
    record = following("none")
    record.cells.append(cell("square", 0.4, "scores", defense="d", knowledge="adaptive"))
    assert ask(record, "gradients-adaptive")[0].outcome == "not-applicable"
    record.model.gradients = "exact"
    assert ask(record, "gradients-adaptive")[0].outcome == "fail"


# Black boxes beside gradients that are not the model's own


@pytest.mark.parametrize(
    ("kind", "count", "expected"),
    [
        ("exact", 20, "pass"), ("exact", 50, "warn"), ("surrogate", 10, "pass"), ("surrogate", 11, "warn"),
        ("surrogate", 20, "warn"), ("surrogate", 21, "fail"), ("straight-through", 11, "warn"),
        ("straight-through", 21, "fail"),
    ],
)  # fmt: skip
def test_a_black_box_counts_more_where_gradients_are_not_exact(kind: str, count: int, expected: str) -> None:
    record = following(kind)
    record.cells = [cell("pgd", 0.4), cell("square", [0.1] * count + [0.9] * (N - count), "scores")]
    assert ask(record, "black-box")[0].outcome == expected
    for row in record.cells:
        row.defense, row.knowledge = "d", "adaptive"
    assert ask(record, "black-box")[0].outcome == ("pass" if count <= 20 else "warn")


def test_cascades_that_ran_without_some_of_their_members() -> None:
    record = honest()
    record.cells[0].attack, record.cells[0].without = "auto without square@0.1", {"square": "no scores"}
    record.cells[1].attack, record.cells[1].without = "auto without square@0.2", {"fab": "no time"}
    record.cells[3].attack, record.cells[3].without = "two without apgd@0.2", {"apgd": "no gradients"}
    record.cells[2].without, record.cells[2].status = {"x": "y"}, "failed"
    (finding,) = [row for row in find(record, False) if row.code == "cascade-shortened"]
    complete(finding)
    assert (finding.severity, finding.evidence) == (
        "warning",
        {"square": "no scores", "fab": "no time", "apgd": "no gradients"},
    )
    assert finding.sentence.endswith(": auto without square; two without apgd.")
    assert finding.cells == ["none/fgsm/l2", "none/pgd/l2", "none/square/l2"]
    assert "cascade-shortened" not in {row.code for row in find(honest(), False)}
