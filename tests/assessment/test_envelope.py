"""The worst case and its median, in closed form."""

from __future__ import annotations

import math

import pytest

from robusteval.assessment.evidence.worst_case import envelope, envelope_of, held, median_loss, surely
from robusteval.record.run import Cell
from tests.engine.test_findings import cell, honest

INF = math.inf


def test_the_worst_case_is_the_smallest_distance_of_each_sample() -> None:
    cells = [cell("a", [0.5, None, 0.0, 3.0]), cell("b", [0.4, None, 0.0, None]), cell("c", [0.6, None, 0.0, 2.0])]
    assert envelope(cells) == [0.4, INF, 0.0, 2.0]
    assert envelope(cells[:1]) == [0.5, INF, 0.0, 3.0]
    assert envelope([]) == []


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        envelope([cell("a", [0.5, 1.0]), cell("b", [0.5])])


def test_only_finished_attacks_that_know_the_pipeline_count() -> None:
    record = honest()
    record.cells = [
        cell("a", [0.5, 0.5]),
        cell("b", [0.1, 0.1], status="failed"),
        cell("c", [0.1, 0.1], norm="linf"),
        cell("d", [0.1, 0.1], defense="d", knowledge="adaptive"),
        cell("e", [0.1, 0.1], knowledge="oblivious"),
        cell("f", [0.4, 0.6], knowledge="adaptive"),
    ]
    assert envelope_of(record, "l2", "none") == [0.4, 0.5]
    assert envelope_of(record, "linf", "none") == [0.1, 0.1]
    assert envelope_of(record, "l2", "d") == [0.1, 0.1]
    assert envelope_of(record, "l1", "none") == []


@pytest.mark.parametrize(
    ("distances", "expected"),
    [
        ([], 0.0),
        ([0.0, 0.0], 0.0),
        ([0.3], 0.3),
        ([0.3, 0.1], 0.1),  # at .1 half of them are lost
        ([0.3, 0.1, 0.2], 0.2),
        ([0.4, 0.3, 0.1, 0.2], 0.2),
        ([0.0, 0.3, 0.1, 0.2, 0.0], 0.2),  # wrong when clean does not count
        ([INF, 0.1], 0.1),
        ([INF, INF, 0.1], INF),
        ([1e-9, 0.5, 0.6], 0.5),
        ([None, 0.1], 0.1),
        ([None, None, 0.1], INF),
        ([None], INF),
    ],
)
def test_the_median_is_where_half_of_the_right_ones_are_lost(distances: list[float | None], expected: float) -> None:
    assert median_loss(distances) == expected


def test_the_lower_end_of_the_median_is_of_the_samples_that_were_right() -> None:
    column = [float(place) for place in range(1, 101)]
    assert surely(column) == 40.0  # of 100 coins 39 heads or fewer have 1.8 %, and 40 or fewer 2.8 %
    assert surely([*[0.0] * 10, *column]) == 40.0
    assert surely([*column[:39], *[None] * 61]) == INF
    assert surely(column[:5]) == surely([*column[:5], *[0.0] * 100]) == surely([]) == 0.0  # too few


def test_what_half_of_the_samples_hold_against() -> None:
    record = honest()
    record.cells = [
        cell("pgd", [0.2, 0.4, None, 0.0], eps=0.5),
        cell("square", [0.3, 0.3, None, 0.0], "scores", eps=9.0),
    ]
    assert held(record, "l2") == 0.3
    assert held(record, "linf") == 0.0  # nothing was tried
    record.cells[0].distance = record.cells[1].distance = [0.2, None, None, 0.0]
    assert held(record, "l2") == 0.5  # as far as attacks with gradients went
    record.cells.append(cell("apgd", [None] * 4, eps=0.75))
    assert held(record, "l2") == 0.75
    record.cells.append(cell("ddn", [None] * 4, eps=None))
    assert held(record, "l2") == INF
    for change in (
        {"status": "failed"},
        {"norm": "linf"},
        {"knowledge": "adaptive", "defense": "d"},
        {"defense": "d"},
        {"knowledge": "oblivious"},
    ):
        record.cells = [cell("pgd", [None] * 4, eps=0.5), cell("apgd", [0.01] * 4, **change)]
        assert held(record, "l2") == 0.5, change


def test_attacks_at_one_budget_hold_at_the_largest_at_which_half_do() -> None:
    def at(eps: float, distances: list[float | None], needs: str = "gradient") -> Cell:
        return cell("auto", distances, needs, eps=eps, threat="budget", id=f"auto@{eps}")

    record = honest()
    half: list[float | None] = [0.1, 0.1, None, None]
    more: list[float | None] = [0.1, None, None, None]
    none: list[float | None] = [None] * 4
    record.cells = [at(0.3, half), at(0.1, none), at(0.2, more)]
    assert held(record, "l2") == 0.2
    record.cells[0].distance = more
    assert held(record, "l2") == 0.3
    record.cells = [at(0.1, half), at(0.2, none)]
    assert held(record, "l2") == 0.0  # what is lost within .1 is lost within .2
    record.cells = [at(0.1, none, "scores"), at(0.2, none)]
    assert held(record, "l2") == 0.2
    record.cells = [at(0.1, none), at(0.2, none, "scores")]
    assert held(record, "l2") == 0.1
    record.cells = [at(0.1, none), at(0.2, half, "scores")]
    assert held(record, "l2") == 0.1  # whoever took them
    record.cells = [at(0.2, none), at(0.1, half, "scores")]
    assert held(record, "l2") == 0.0
    record.cells = [at(0.1, none), cell("pgd", [0.05] * 4, eps=None, threat="budget")]
    assert held(record, "l2") == 0.0  # a budget that is not told binds nothing
    record.cells = [at(0.3, half), cell("pgd", none, eps=0.25)]
    assert held(record, "l2") == 0.1  # beside a search, a cascade's wins count as they are
