"""The checks of whether the attacks did what they were asked to: both sides of every limit, and every figure."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.record.measured import Cell
from tests.assessment.asking import SEVERITY, about, ask, numbers, one, says
from tests.engine.test_findings import N, cell, honest

INF = float("inf")


def test_failed_cells() -> None:
    record = honest()
    check, found = ask(record, "attacks-completed")
    assert (check.outcome, check.value, found) == ("pass", 0.0, [])
    assert numbers(check.measured) == [0, 4]
    record.cells[1].status, record.cells[1].reason = "failed", "MemoryError"
    record.cells[3].status, record.cells[3].reason = "failed", "later"
    check, finding = one(record, "attacks-completed")
    assert (check.outcome, check.value) == ("fail", 0.5)
    assert (finding.code, finding.severity) == ("cells-failed", "alarm")
    assert numbers(finding.sentence) == numbers(check.measured) == [2, 4]
    assert finding.evidence == {"first": "none/pgd/l2", "reason": "MemoryError"}
    assert finding.cells == ["none/pgd/l2", "none/square/l2"]
    record.cells = record.cells[1:2]
    assert ask(record, "attacks-completed")[0].value == 1.0
    record.cells = []
    assert ask(record, "attacks-completed")[0].value == 0.0


def test_every_norm_that_was_asked_about_needs_an_attack_on_the_bare_model() -> None:
    record = honest()
    check, found = ask(record, "norms-attacked")
    assert (check.outcome, check.value, found) == ("pass", 4.0, [])
    assert numbers(check.measured) == [4]
    record.cells.append(cell("pgd", 0.1, norm="linf", id="x"))
    check, found = ask(record, "norms-attacked")
    assert (check.outcome, check.value) == ("pass", 1.0)  # the norm with the fewest is told of
    assert says(check.measured, "linf")
    for change in ({"status": "failed"}, {"knowledge": "adaptive"}):
        record.cells[-1] = cell("pgd", 0.1, norm="linf", id="x", **change)
        check, finding = one(record, "norms-attacked")
        assert (check.outcome, check.value) == ("fail", 0.0)
        assert (finding.code, finding.severity, finding.evidence) == ("nothing-attacked", "alarm", {"norm": "linf"})
        assert says(finding.sentence, "linf")
    record = honest()
    record.suite.norms = ["l0", "l2"]
    check, finding = one(record, "norms-attacked")
    assert (check.outcome, finding.evidence) == ("fail", {"norm": "l0"})
    record.suite.norms, record.cells = [], []
    check, finding = one(record, "norms-attacked")
    assert (check.outcome, check.value, finding.code, finding.severity) == ("fail", 0.0, "nothing-attacked", "alarm")


def test_excluded_cells() -> None:
    record = honest()
    check, found = ask(record, "attacks-excluded")
    assert (check.outcome, check.value, found) == ("pass", 0.0, [])
    assert numbers(check.measured) == [0, 4]
    for place in (3, 1, 1):
        record.cells[place].status, record.cells[place].reason = "excluded", f"reason {place}"
    check, finding = one(record, "attacks-excluded")
    assert (check.outcome, check.value) == ("warn", 2.0)
    assert numbers(check.measured) == [2, 4]
    assert (finding.code, finding.severity) == ("attacks-excluded", "warning")
    assert numbers(finding.sentence)[0] == 2
    assert "pgd, square" in finding.sentence
    assert finding.evidence == {"first": "none/pgd/l2", "reason": "reason 1"}
    assert finding.cells == ["none/pgd/l2", "none/square/l2"]


def test_cells_of_defences_without_data_to_learn_from_are_no_gap() -> None:
    record = honest()
    for name in ("hidden-space", "denoiser"):
        row = dataclasses.replace(record.pipelines[0], defense=name, status="excluded", reason=f"{name} learns")
        record.pipelines.append(row)
        record.cells.append(cell("pgd", [], defense=name, knowledge="adaptive", status="excluded"))
    check, finding = one(record, "attacks-excluded")
    assert (check.outcome, check.value) == ("pass", 0.0)
    assert numbers(check.measured) == [0, 6, 2]
    assert (finding.code, finding.severity) == ("defences-unfitted", "info")
    assert finding.evidence == {"defences": 2, "reason": "hidden-space learns"}
    assert "The defences denoiser, hidden-space were" in finding.sentence
    assert finding.cells == []
    record.pipelines.pop()
    record.cells.pop()
    assert "The defence hidden-space was" in one(record, "attacks-excluded")[1].sentence
    record.cells[0].status = "excluded"
    check, found = ask(record, "attacks-excluded")
    assert (check.outcome, check.value, len(found)) == ("warn", 1.0, 2)
    assert numbers(check.measured) == [1, 5, 1]


@pytest.mark.parametrize(
    ("count", "expected", "points"),
    [
        (0, "fail", 98),
        (1, "fail", 98),
        (29, "fail", 18),
        (30, "warn", 18),
        (99, "warn", 10),
        (100, "pass", 10),
        (400, "pass", 5),
    ],
)
def test_few_samples(count: int, expected: str, points: int) -> None:
    record = honest()
    record.data.samples = count
    check, found = ask(record, "samples")
    assert check.outcome == expected
    assert check.value == pytest.approx(0.98 / max(count, 1) ** 0.5)
    assert numbers(check.measured) == [count, 50, points]
    if expected == "pass":
        assert found == []
    else:
        (finding,) = found
        assert (finding.code, finding.severity, finding.evidence) == (
            "few-samples",
            SEVERITY[expected],
            {"samples": count},
        )
        assert numbers(finding.sentence) == [count, 50, points]


@pytest.mark.parametrize(
    ("different", "expected"),
    [(N, "pass"), (N - N // 10, "pass"), (N - N // 10 - 1, "warn"), (30, "warn"), (29, "fail")],
)
def test_images_that_are_there_more_than_once_are_no_new_ones(different: int, expected: str) -> None:
    record = honest()
    record.data.hashes = [f"h{place % different}" for place in range(N)]
    check, found = ask(record, "samples")
    assert check.outcome == expected
    assert [finding.code for finding in found] == ([] if expected == "pass" else ["repeated-samples"])
    if found:
        assert numbers(found[0].sentence) == [different, N]
        assert found[0].evidence == {"samples": N, "different": different}


def never(count: int) -> list[float | None]:
    return [None] * count + [0.3] * (N - count)


@pytest.mark.parametrize(
    ("left", "expected"), [(0, "pass"), (4, "pass"), (5, "warn"), (40, "warn"), (41, "fail"), (N, "fail")]
)
def test_an_unbounded_attack_that_does_not_win(left: int, expected: str) -> None:
    record = honest()
    record.cells = [cell("ddn", never(left)), cell("noise", 0.1, "decision"), cell("pgd", never(left))]
    check, found = ask(record, "unbounded")
    assert (check.outcome, check.value) == (expected, left / N)
    assert numbers(check.measured)[1] == N
    if expected != "pass":
        (finding,) = found
        assert (finding.code, finding.severity) == ("unbounded-not-zero", SEVERITY[expected])
        assert numbers(finding.sentence) == [100 * left / N]
        assert says(finding.sentence, "l2")
        assert finding.cells == ["none/ddn/l2", "none/pgd/l2"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([cell("pgd", never(N))], "not-applicable"),  # a budget
        ([cell("pgd", never(N), norm="linf", eps=0.5)], "fail"),  # that allows a grey image
        ([cell("pgd", never(N), norm="linf", eps=0.49)], "not-applicable"),
        ([cell("pgd", never(N), norm="linf", eps=None)], "not-applicable"),
        ([cell("pgd", never(N), norm="linf", eps=0.1), cell("apgd", never(N), norm="linf", eps=0.6)], "fail"),
        ([cell("pgd", never(N), norm="l1", eps=0.9)], "not-applicable"),
        ([cell("ddn", never(N), "decision")], "not-applicable"),
        ([cell("ddn", never(N), target="class 3")], "not-applicable"),
        ([cell("ddn", never(N), target="least-likely"), cell("pgd", never(N))], "not-applicable"),
        ([cell("ddn", never(N), target="all")], "fail"),
        ([cell("ddn", never(N)), cell("deepfool", 0.4, "scores")], "pass"),
        ([cell("ddn", never(N), status="failed")], "not-applicable"),
        ([cell("ddn", never(N), knowledge="adaptive")], "not-applicable"),
        ([cell("ddn", never(N)), cell("ddn", 0.2, norm="linf")], "fail"),  # every norm on its own
        ([cell("ddn", 0.2, norm="l1"), cell("ddn", never(N))], "fail"),
        ([cell("pgd", 0.3, norm="l1"), cell("ddn", never(N))], "fail"),  # one without a wide attack before it
    ],
)
def test_which_attacks_are_unbounded(cells: list[Cell], expected: str) -> None:
    record = honest()
    record.cells = cells
    assert ask(record, "unbounded")[0].outcome == expected


def test_a_grey_image_is_half_of_the_range_away() -> None:
    record = honest()
    record.model.bounds = [-1.0, 1.0]
    record.cells = [cell("pgd", never(N), norm="linf", eps=0.99)]
    assert ask(record, "unbounded")[0].outcome == "not-applicable"
    record.cells[0].eps = 1.0
    assert ask(record, "unbounded")[0].outcome == "fail"
    record.cells = [cell("ddn", [])]
    assert ask(record, "unbounded")[0].value == 0.0
    record.cells = [cell("ddn", [None])]
    assert ask(record, "unbounded")[0].value == 1.0


@pytest.mark.parametrize(
    ("met", "lost", "expected"),
    [
        (19, 19, "not-applicable"), (20, 20, "fail"), (100, 0, "pass"), (100, 2, "pass"), (100, 3, "warn"),
        (100, 20, "warn"),
        (100, 21, "fail"),
    ],
)  # fmt: skip
def test_wins_met_and_lost(met: int, lost: int, expected: str) -> None:
    record = honest()
    record.cells[1].watched = {"met": met, "lost": lost}
    check, found = ask(record, "silent-success")
    assert check.outcome == expected
    if expected != "not-applicable":
        assert check.value == lost / met
        assert numbers(check.measured) == [lost, met]
        assert says(check.measured, "pgd", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("silent-success", SEVERITY[expected])
        assert finding.evidence == {"share": lost / met, "met": met, "lost": lost}
        assert numbers(finding.sentence) == [met, lost]
        assert says(finding.sentence, "pgd", "l2")
        assert finding.cells == ["none/pgd/l2"]


def test_wins_of_each_attack_on_the_bare_model_are_counted() -> None:
    record = honest()
    record.cells[0].watched = {"met": 5, "lost": 5}
    record.cells[1].watched = {"met": 100, "lost": 50}
    record.cells[2].watched = {"met": 100}
    check, found = ask(record, "silent-success")
    assert (check.outcome, check.value, len(found)) == ("fail", 0.5, 1)
    record.cells[1].knowledge = "adaptive"
    assert ask(record, "silent-success")[0].value == 0.0
    record.cells[2].watched = {"lost": 100}
    assert ask(record, "silent-success")[0].outcome == "not-applicable"


@pytest.mark.parametrize(
    ("fooled", "short", "expected"),
    [
        (19, 19, "not-applicable"), (20, 20, "fail"), (100, 0, "pass"), (100, 20, "pass"), (100, 21, "warn"),
        (100, 60, "warn"),
        (100, 61, "fail"),
    ],
)  # fmt: skip
def test_what_fools_the_twin_only(fooled: int, short: int, expected: str) -> None:
    record = honest()
    record.cells[1].watched = {"fooled": fooled, "not_carried": short}
    check, found = ask(record, "transfer")
    assert check.outcome == expected
    if expected != "not-applicable":
        assert check.value == short / fooled
        assert numbers(check.measured) == [short, fooled]
        assert says(check.measured, "pgd", "l2")
    if expected in SEVERITY:
        (finding,) = found
        assert (finding.code, finding.severity) == ("transfer-failure", SEVERITY[expected])
        assert finding.evidence == {"share": short / fooled, "fooled": fooled}
        assert numbers(finding.sentence) == [about(short / fooled)]
        assert says(finding.sentence, "pgd", "l2", "none")
        assert finding.cells == ["none/pgd/l2"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, "fail"), ({"needs": "scores"}, "not-applicable"), ({"knowledge": "oblivious"}, "not-applicable"),
        ({"knowledge": "adaptive", "defense": "d"}, "fail"), ({"status": "failed"}, "not-applicable"),
        ({"watched": {"not_carried": 90}}, "not-applicable"), ({"watched": {"fooled": 90}}, "pass"),
    ],
)  # fmt: skip
def test_which_attacks_are_asked_about_their_twin(change: dict[str, Any], expected: str) -> None:
    record = honest()
    record.cells = [
        cell("a", 0.1), cell("pgd", 0.4, **({"watched": {"fooled": 90, "not_carried": 90}} | change)), cell("b", 0.1),
    ]  # fmt: skip
    assert ask(record, "transfer")[0].outcome == expected
    if expected == "pass":
        assert ask(record, "transfer")[0].value == 0.0
