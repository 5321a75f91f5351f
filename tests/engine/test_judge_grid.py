"""The judge on a grid, of the suite or of a file that takes whole numbers."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from robusteval.engine.search.judge import Threat, common_grid, judge
from robusteval.engine.seeding import generator
from robusteval.errors import SuiteError
from tests.engine.plain import Rule, pipeline
from tests.engine.test_judge import BOX, always, column, judged, kept
from tests.sure import sure

# On a grid: 0, 1/4, 1/2, 3/4, 1


def between(low: float, high: float) -> Rule:
    return lambda x: ((x[:, 0] > low) & (x[:, 0] < high)).long()


def test_on_a_grid_the_nearest_point_counts_where_it_wins() -> None:
    found = judged(always, column(0.0, 0.0), column(0.6, 0.7), levels=4)
    assert found.x.tolist() == [[0.5], [0.75]]
    assert found.distance.tolist() == [0.5, 0.75]
    assert found.rejected == {}


def test_where_rounding_loses_the_win_it_is_looked_for_away_and_then_towards() -> None:
    found = judged(between(0.55, 0.8), column(0.0), column(0.6), levels=4)  # .5 loses
    assert found.x.tolist() == [[0.75]]
    found = judged(between(0.45, 0.55), column(0.0), column(0.7), levels=4)  # .75 loses
    assert found.x.tolist() == [[0.5]]
    assert found.distance.tolist() == found.l2.tolist() == [0.5]
    assert found.won.all()
    assert found.answer.tolist() == [1]
    assert found.rejected == {}
    found = judged(between(0.9, 1.1), column(0.0), column(0.7), levels=4)
    assert not found.won.any()
    assert found.rejected == {"not a win": 1}
    assert found.x.tolist() == [[0.75]]  # as first judged


def test_away_goes_before_towards() -> None:
    """Of two values at .6, rounded to .5 each: both ways win."""
    x0 = torch.zeros(1, 2, dtype=torch.float64)
    found = judged(lambda x: ((x == 0.5).sum(1) != 2).long(), x0, torch.full_like(x0, 0.6), levels=4)
    assert found.x.tolist() == [[0.75, 0.75]]


def test_the_rows_of_a_grid_keep_their_own_budgets_goals_and_reasons() -> None:
    """Rows: wins at once; wins away; over its budget as proposed; no goal of its own; never wins; not finite."""
    x0 = column(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    candidates = column(0.76, 0.6, 0.6, 0.6, 0.1, torch.nan)
    safe = kept(6)
    safe[3] = True
    found = judged(between(0.55, 0.8), x0, candidates, eps=[0.8, 0.61, 0.59, 1.0, 1.0, 1.0], levels=4, safe=safe)
    assert found.won.tolist() == [True, True, False, False, False, False]
    assert found.distance.tolist() == [0.75, 0.75, *[torch.inf] * 4]  # beyond the budget of .61 by rounding only
    assert found.rejected == {"over budget": 1, "not a win": 2, "not finite": 1}
    assert found.answer[:2].tolist() == [1, 1]


def test_a_grid_s_second_look_takes_the_detector_s_score_too() -> None:
    one = pipeline(between(0.55, 0.8), suspicion=lambda x: x[:, 0] / 2)
    found = judged(one, column(0.0, 0.0), column(0.6, 0.1), levels=4, safe=kept(2, 3))
    assert sure(found.detector_score).tolist() == [0.375, 0.0]
    assert found.won.tolist() == [True, False]
    assert found.rejected == {"not a win": 1}


def test_a_single_losing_row_among_winners_is_looked_at_again() -> None:
    found = judged(between(0.55, 0.8), column(0.0, 0.0, 0.0), column(0.7, 0.6, 0.74), levels=4)
    assert found.won.all()
    assert found.rejected == {}


def test_several_recovered_rows_are_all_taken_off_the_count() -> None:
    found = judged(between(0.55, 0.8), column(*[0.0] * 4), column(0.6, 0.6, 0.6, 0.1), levels=4)
    assert found.rejected == {"not a win": 1}
    found = judged(between(0.45, 0.55), column(*[0.0] * 3), column(0.7, 0.66, 0.1), levels=4)
    assert found.rejected == {"not a win": 1}


# The grid of a file that takes whole numbers


def test_the_grid_of_the_suite_or_else_of_the_file() -> None:
    safe = kept(1)
    assert Threat(safe, "l2", (-1.0, 1.0)).grid == ()
    assert Threat(safe, "l2", (-1.0, 1.0), 4).grid == (-1.0, 1.0, 4)
    assert Threat(safe, "l2", (-1.0, 1.0), 0, (0.0, 2.0, 8)).grid == (0.0, 2.0, 8)


def test_values_beside_on_a_grid() -> None:
    x0, x = column(0.5, 0.5, 0.5, 0.5), column(0.6, 0.4, 0.5, 0.75)
    for threat in (Threat(kept(4), "l2", BOX, 4), Threat(kept(4), "l2", BOX, 0, (0.0, 1.0, 4))):
        assert threat.round_directed(x0, x, True).tolist() == [[0.75], [0.25], [0.5], [0.75]]
        assert threat.round_directed(x0, x, False).tolist() == [[0.5], [0.5], [0.5], [0.75]]
    assert Threat(kept(4), "l2", BOX).round_directed(x0, x, True).tolist() == x.tolist()


@pytest.mark.parametrize(
    ("levels", "bounds", "file", "expected"),
    [
        (0, BOX, (), (0, ())), (4, BOX, (), (4, ())), (0, BOX, (0.0, 1.0, 8), (0, (0.0, 1.0, 8))),
        (4, BOX, (0.0, 1.0, 8), (4, ())), (8, BOX, (0.0, 1.0, 8), (8, ())),
        (16, BOX, (0.0, 1.0, 8), (0, (0.0, 1.0, 8))),
        (4, (-1.0, 3.0), (-1.0, 3.0, 8), (4, ())), (4, (0.0, 1000.0), (0.0009, 999.9991, 8), (4, ())),
        (4, BOX, (5e-7, 1.0, 8), (4, ())), (4, BOX, (0.0, 1 - 5e-7, 8), (4, ())),
        (4, (-1000.0, 0.0), (-1000.0, -0.0009, 8), (4, ())),
    ],
)  # fmt: skip
def test_a_grid_that_lies_on_both(
    levels: int, bounds: tuple[float, float], file: Any, expected: tuple[int, tuple[float, ...]]
) -> None:
    assert common_grid(levels, bounds, file) == expected


@pytest.mark.parametrize(
    ("levels", "bounds", "file"),
    [
        (5, BOX, (0.0, 1.0, 8)), (12, BOX, (0.0, 1.0, 8)), (9, BOX, (0.0, 1.0, 8)), (4, BOX, (0.0, 2.0, 8)),
        (4, BOX, (0.5, 1.0, 8)),
        (16, BOX, (0.0, 2.0, 8)), (4, BOX, (2e-6, 1.0, 8)), (4, BOX, (0.0, 1 + 2e-6, 8)),
        (4, (0.0, 1000.0), (0.0011, 1000.0, 8)),
        (4, BOX, (-0.5, 1.0, 8)), (4, (-1.0, 1.0), (1.0, 1.0, 8)), (1, BOX, (0.0, 0.5, 8)),
        (16, (-1.0, 0.0), (0.0, 0.0, 8)),
        (4, (-1.0, 1.0), (0.0, 1.0, 8)), (4, (-2.0, 1.0), (-2.0 + 4e-6, 1.0, 8)),
    ],
)  # fmt: skip
def test_grids_that_have_nothing_in_common_are_refused(
    levels: int, bounds: tuple[float, float], file: tuple[float, float, int]
) -> None:
    with pytest.raises(SuiteError) as error:
        common_grid(levels, bounds, file)
    assert f"images of {levels + 1} levels" in error.value.message
    assert "numbers, 9 of them" in error.value.message
    assert "levels = 8" in error.value.hint


def test_on_a_file_s_grid_the_judge_rounds_as_on_a_suite_s() -> None:
    x0, candidates = column(0.0, 0.0, 0.0), column(0.6, 0.7, 0.26)
    safe = kept(3)
    found = judge(
        pipeline(between(0.55, 0.8)), x0, candidates, Threat(safe, "l2", BOX, 0, (0.0, 1.0, 4)), None, generator(0, "t")
    )
    assert found.x.tolist() == [[0.75], [0.75], [0.25]]
    assert found.won.tolist() == [True, True, False]
