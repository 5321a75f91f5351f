"""On which samples gradients worked, and what follows where they did not: both sides of every limit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.assessment.evidence.upper_bounds import Bounds
from robusteval.assessment.evidence.white_box import (
    adaptive_share,
    asked,
    bare_share,
    blind_norms,
    steered,
    white_share,
    why_blind,
)
from robusteval.record.run import Cell
from tests.engine.test_findings import N, cell, honest


def few(distances: list[float | None], backwards: list[int], blind: list[int] | None = None, **more: Any) -> Cell:
    made = cell("pgd", distances, backwards=backwards, forwards=backwards)
    return dataclasses.replace(made, **({"blind": blind or []} | more))


def test_a_sample_was_steered_where_at_least_half_of_its_gradients_were_of_use() -> None:
    one = few([0.1] * 6, [10, 10, 10, 10, 0, 1], [0, 5, 6, 10, 0, 1])
    assert steered(one) == [True, True, False, False, False, False]
    assert steered(dataclasses.replace(one, status="failed")) == [False] * 6
    assert steered(dataclasses.replace(one, needs="scores")) == [False] * 6


def test_older_records_share_the_cell_s_own_count() -> None:
    for zero, bad, worked in ((10, 0, True), (0, 10, True), (5, 5, True), (6, 5, False), (0, 11, False)):
        one = few([0.1] * 3, [10, 10, 0], zero_gradients=zero, bad_gradients=bad)
        assert steered(one) == [worked, worked, False], (zero, bad)
    assert steered(few([0.1], [0])) == [False]
    assert steered(few([0.1], [1])) == [True]
    assert steered(few([0.1], [1], zero_gradients=1)) == [False]
    # a column of another length counts for nothing
    assert steered(few([0.1] * 2, [10, 10], [0], zero_gradients=20)) == [False, False]


def test_the_share_of_attacked_samples_on_which_any_attack_was_steered() -> None:
    one = few([0.1, 0.2, 0.0, None], [10, 0, 10, 10], [0, 0, 0, 9])
    two = few([0.1, 0.2, 0.0, None], [0, 0, 0, 0])
    assert white_share([one]) == pytest.approx(1 / 3)  # wrong when clean does not count
    assert white_share([one, two]) == pytest.approx(1 / 3)
    assert white_share([one, few([0.1, 0.2, 0.0, None], [0, 0, 0, 3], [0, 0, 0, 1])]) == pytest.approx(2 / 3)
    assert white_share([]) == white_share([two]) == 0.0
    assert white_share([dataclasses.replace(one, status="failed")]) == 0.0
    assert white_share([few([0.0, 0.0], [10, 10])]) == 0.0
    assert white_share([few([], [])]) == 0.0
    assert white_share([one, few([], [], status="failed"), few([], [])]) == pytest.approx(1 / 3)
    # an attack that some other one found wrong when clean
    assert white_share([few([0.1, 0.0], [10, 10]), few([0.1, 0.1], [10, 10])]) == 1.0


def test_what_a_cascade_lost_is_settled_once_gradients_worked_anywhere() -> None:
    lost = few([0.1, 0.1, None, 0.0], [10, 0, 0, 0], threat="budget", family="cascade")
    assert white_share([lost]) == pytest.approx(2 / 3)
    assert white_share([dataclasses.replace(lost, threat="curve")]) == pytest.approx(1 / 3)
    assert white_share([dataclasses.replace(lost, backwards=[0] * 4)]) == 0.0
    black = few([0.1, 0.1, 0.1, 0.0], [0] * 4, threat="budget", needs="scores")
    assert white_share([black]) == 0.0
    steep = few([0.5, 0.5, None, 0.0], [10, 0, 0, 0])
    assert white_share([black, steep]) == pytest.approx(1 / 3)  # black boxes settle nothing
    assert white_share([lost, black]) == pytest.approx(2 / 3)
    two = few([None, None, 0.1, 0.0], [0, 0, 0, 0], threat="budget")
    assert white_share([lost, two]) == 1.0
    assert white_share([few([None, None, None, 0.0], [10, 0, 0, 0], threat="budget")]) == pytest.approx(1 / 3)


def test_columns_that_do_not_go_together_are_no_proof_of_anything() -> None:
    one = few([0.1, 0.1], [10, 10])
    assert white_share([one]) == 1.0
    for other in (
        few([0.1], [10]), few([0.1, 0.1, 0.1], [10, 10, 10]), few([0.1, 0.1], [10]), few([0.1, 0.1], [10, 10, 10]),
        few([0.1], [10], needs="scores"),
    ):  # fmt: skip
        assert white_share([one, other]) == white_share([other, one]) == 0.0
    assert white_share([few([0.1, 0.1], [10])]) == white_share([few([0.1, 0.1], [])]) == 0.0
    assert white_share([one, few([0.1, 0.1], [10], needs="scores")]) == 1.0  # which asked for no gradients


def test_shares_are_those_of_one_pipeline_and_norm() -> None:
    record = honest()
    record.cells = [
        cell("pgd", 0.1),
        cell("pgd", 0.1, norm="linf", backwards=[0] * N),
        cell("pgd", 0.1, defense="d", knowledge="adaptive", backwards=[10] * 50 + [0] * 150),
        cell("pgd", 0.1, defense="d", knowledge="oblivious"),
        cell("pgd", 0.1, defense="e", knowledge="adaptive"),
        cell("pgd", 0.1, norm="linf", defense="d", knowledge="adaptive"),
    ]
    assert (bare_share(record, "l2"), bare_share(record, "linf"), bare_share(record, "l1")) == (1.0, 0.0, 0.0)
    record.cells += [
        cell("pgd", 0.1, norm="linf", knowledge="oblivious"),
        cell("pgd", 0.1, norm="linf", defense="d", knowledge="none"),
    ]  # fmt: skip
    assert bare_share(record, "linf") == 0.0
    assert (adaptive_share(record, "l2", "d"), adaptive_share(record, "l2", "e")) == (0.25, 1.0)
    assert (adaptive_share(record, "linf", "d"), adaptive_share(record, "linf", "e")) == (1.0, 0.0)


def test_the_norms_that_are_asked_about() -> None:
    record = honest()
    assert asked(record) == ["l2"]
    record.suite.norms = ["linf", "l0"]
    assert asked(record) == ["l0", "l2", "linf"]
    record.cells = []
    assert asked(record) == ["l0", "linf"]


@pytest.mark.parametrize(("count", "blind"), [(160, []), (159, ["l2"]), (N, []), (0, ["l2"])])
def test_a_norm_is_blind_below_four_fifths(count: int, blind: list[str]) -> None:
    record = honest()
    record.cells = [cell("pgd", 0.1, backwards=[10] * count + [0] * (N - count))]
    assert blind_norms(record) == blind
    for kind in ("exact", "straight-through", "surrogate"):
        record.model.gradients = kind
        assert blind_norms(record) == blind
    record.model.gradients = "none"
    assert blind_norms(record) == ["l2"]


def test_every_norm_is_asked_on_its_own() -> None:
    record = honest()
    record.suite.norms = ["l1", "l2", "linf"]
    record.cells.append(cell("square", 0.1, "scores", norm="linf"))
    assert blind_norms(record) == ["l1", "linf"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["done", "failed", "skipped"], "zero, not finite"), (["skipped", "failed", "excluded"], "time budget"),
        (["failed", "excluded"], "failed"), (["excluded"], "left out"), (["pending"], "suite has none"),
        ([], "suite has none"),
    ],
)  # fmt: skip
def test_why_no_gradient_worked(states: list[str], expected: str) -> None:
    record = honest()
    record.cells = [cell("pgd", 0.1, status=state) for state in states]
    # others tell nothing of it
    record.cells += [
        cell("square", 0.1, "scores"), cell("pgd", 0.1, norm="linf"),
        cell("pgd", 0.1, defense="d", knowledge="adaptive"),
    ]  # fmt: skip
    assert expected in why_blind(record, ["l2"])
    assert "zero, not finite" in why_blind(record, ["l2", "linf"])
    record.model.gradients = "none"
    assert "no useful gradient" in why_blind(record, ["l2"])


def test_figures_that_cannot_be_relied_on_are_marked_before_they_are_said() -> None:
    firm = Bounds(("l2",), False)
    assert firm.said("It holds.") == firm.said("It holds.", "l2") == "It holds."
    doubtful = Bounds(("l2",), True)
    only, best = "An upper bound from black-box attacks only: it holds.", "An upper bound at best: it holds."
    assert doubtful.said("It holds.", "l2") == doubtful.said("It holds.") == only
    assert doubtful.said("It holds.", "linf") == best
    assert Bounds((), True).said("It holds.") == Bounds((), True).said("It holds.", "l2") == best
    assert doubtful.said("", "linf") == "An upper bound at best: "


def test_a_defence_s_figure_is_marked_in_the_norms_without_adaptive_gradients() -> None:
    record = honest()
    for norm, count in (("l2", 159), ("linf", 160), ("l1", 0)):
        record.cells.append(
            cell("pgd", 0.1, norm=norm, defense="d", knowledge="adaptive", backwards=[10] * count + [0] * (N - count))
        )
    record.cells.append(cell("pgd", 0.1, defense="e", knowledge="adaptive"))
    record.cells.append(cell("pgd", 0.1, norm="l0", defense="d", knowledge="oblivious"))
    said = Bounds((), False).of_defense(record, "d")
    assert said.endswith("in l1, l2)")
    assert said.startswith(" (an upper bound")
    record.cells = [cell for cell in record.cells if cell.norm == "linf"]
    assert Bounds((), False).of_defense(record, "d") == ""
    assert Bounds((), False).of_defense(record, "e") == ""
