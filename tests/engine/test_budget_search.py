"""The budget search of a fixed attack, and the search in l0, step by step on a line."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.engine.plain import beyond, line, pulled, sweep_of
from tests.sure import sure


def searched(bars: tuple[float, ...], largest: float = 0.8, halvings: int = 3, **more: Any) -> Any:
    """What was asked for: [(rows, budgets)], and the nearest wins. The attack goes exactly as far as it may."""
    x0 = line(len(bars), width=2)
    told: list[tuple[list[int], list[bool]]] = []
    one = sweep_of(beyond(*bars), x0, settle=lambda *said: told.append((said[0].tolist(), said[2].tolist())), **more)
    asked: list[tuple[list[int], list[float]]] = []

    def propose(rows: torch.Tensor, eps: torch.Tensor | None) -> torch.Tensor:
        assert sure(eps).dtype == torch.float64
        asked.append((rows.tolist(), sure(eps).tolist()))
        far = x0[rows].clone()
        far[:, 0] += sure(eps)
        return far

    return asked, told, one.fixed(propose, largest, halvings), one


def test_losing_samples_go_up_by_four_to_the_largest_budget_and_no_farther() -> None:
    asked, told, best, _ = searched((2.0,))
    assert asked == [([0], [pytest.approx(eps)]) for eps in (0.05, 0.2, 0.8)]
    assert told == [([0], [False])] * 3
    assert best.distance.tolist() == [torch.inf]
    assert best.rejected == {"not a win": 3}


def test_winning_samples_go_down_by_a_third_until_a_budget_failed_and_then_by_halves() -> None:
    asked, _, best, _ = searched((0.3,))
    near = pulled(0.3, 0.8)
    expected, low = [0.05, 0.2, 0.8], 0.2
    for _ in range(3):
        expected.append((low + near) / 2)
        low = expected[-1]  # it fails: below the bar
    assert [eps for _, (eps,) in asked] == pytest.approx(expected)
    assert best.distance.item() == pytest.approx(near)

    asked, _, best, _ = searched((0.001,))
    expected, near = [0.05], pulled(0.001, 0.05)
    for _ in range(5):  # three halvings and two climbs that were not needed
        expected.append(0.35 * near if len(expected) == 1 else (0.35 * pulled(0.001, 0.05) + near) / 2)
        break
    assert [eps for _, (eps,) in asked][:2] == pytest.approx(expected)
    assert best.distance.item() == pytest.approx(0.001, rel=0.05)


def test_a_third_is_taken_as_long_as_every_budget_wins() -> None:
    """The attack wins at any budget, and the pull back is blocked: only the end of its way wins."""
    x0 = line(1, width=2)
    one = sweep_of(lambda x: ((x[:, 0] > 0) & (x[:, 0] == reached[-1])).long(), x0)
    reached: list[float] = []

    def propose(rows: torch.Tensor, eps: torch.Tensor | None) -> torch.Tensor:
        reached.append(sure(eps).item())
        far = x0[rows].clone()
        far[:, 0] += sure(eps)
        return far

    best = one.fixed(propose, 0.8, 2)
    assert reached == pytest.approx([0.05 * 0.35**n for n in range(5)])
    assert best.distance.item() == reached[-1]


def test_a_bracket_narrower_than_a_hundredth_is_closed() -> None:
    """Won at .8 and pulled to .3008; .25 and .275 fail, .2879 and .2944 too; .2976 comes within a hundredth."""
    asked, _, best, _ = searched((0.3,), halvings=20)
    near = pulled(0.3, 0.8)
    expected, low = [0.05, 0.2, 0.8], 0.2
    while near - low > 0.01 * near:
        low = (low + near) / 2
        expected.append(low)
        if low > 0.3:
            break
    assert [eps for _, (eps,) in asked] == pytest.approx(expected)
    assert best.distance.item() == pytest.approx(near)


def test_in_l0_a_bracket_of_one_pixel_is_closed() -> None:
    x0 = torch.zeros(1, 64, dtype=torch.float64)
    asked = []

    def propose(rows: torch.Tensor, eps: torch.Tensor | None) -> torch.Tensor:
        asked.append(sure(eps).item())
        far = x0[rows].clone()
        far[:, : int(sure(eps).item())] = 1.0
        return far

    one = sweep_of(lambda x: (x.sum(1) > 20).long(), x0, "l0")
    best = one.fixed(propose, 64.0, 20)
    assert best.distance.item() == 21.0
    # undone to 21 of 64 pixels, so between 16 and 21: 18.5, 19.75, 20.375, and there less than one is left
    assert asked == [4.0, 16.0, 64.0, 18.5, 19.75, 20.375]
    asked.clear()
    one = sweep_of(lambda x: (x.sum(1) > 17).long(), x0, "l0")
    assert one.fixed(propose, 64.0, 20).distance.item() == 18.0
    assert asked == [4.0, 16.0, 64.0, 17.0]  # exactly one is left


def test_samples_are_searched_each_on_its_own() -> None:
    asked, told, best, _ = searched((0.01, 0.3, 2.0), halvings=2)
    rows = [row for row, _ in asked]
    assert rows[:3] == [[0, 1, 2]] * 3
    assert all(row == [0, 1] for row in rows[3:])  # the third has failed at the largest budget
    assert len(rows) == 5
    assert best.distance.tolist() == pytest.approx([0.01, pulled(0.3, 0.8), torch.inf], rel=0.05)
    assert [won for _, won in told[:3]] == [[True, False, False], [False, False, False], [False, True, False]]


@pytest.mark.parametrize(("halvings", "runs"), [(0, 3), (1, 4), (2, 5)])
def test_so_many_halvings_and_two_climbs(halvings: int, runs: int) -> None:
    assert len(searched((0.3,), halvings=halvings)[0]) == runs


def test_budgets_bind_the_candidates_of_a_fixed_attack() -> None:
    x0 = line(1, width=2)
    far = x0.clone()
    far[:, 0] = 0.9
    one = sweep_of(beyond(0.3), x0)
    best = one.fixed(lambda rows, eps: far, 0.5, 2)
    assert best.distance.tolist() == [torch.inf]
    assert best.rejected == {"over budget": 3}


def test_budgets_are_handed_over_in_the_samples_precision() -> None:
    x0 = line(1).float()
    seen = []

    def propose(rows: torch.Tensor, eps: torch.Tensor | None) -> torch.Tensor:
        seen.append(sure(eps).dtype)
        return x0[rows]

    sweep_of(beyond(0.3), x0).fixed(propose, 0.5, 0)
    assert set(seen) == {torch.float32}


# Pixels put back


def test_in_l0_needless_pixels_go_back_and_are_counted() -> None:
    x0 = torch.zeros(2, 6, dtype=torch.float64)
    one = sweep_of(lambda x: ((x[:, 0] > 0) & (x[:, 4] > 0)).long(), x0, "l0")
    far = torch.tensor([[0.5, 0.4, 0.9, 0.0, 0.3, 0.0], [0.0, 0.4, 0.9, 0.0, 0.0, 0.0]], dtype=torch.float64)
    best = one.minimal(lambda rows, eps: far)
    assert best.distance.tolist() == [2.0, torch.inf]
    assert best.x[0].tolist() == pytest.approx([0.5, 0, 0, 0, 0.3, 0])
    assert one.meter.forwards.tolist() == [4, 3]  # four changed pixels one by one; three points beyond the loser


def test_in_l0_the_grid_holds_for_what_is_put_back() -> None:
    x0 = torch.full((1, 4), 0.25, dtype=torch.float64)
    seen = []

    def rule(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.clone())
        return (x[:, 0] > 0.4).long()

    far = torch.tensor([[0.5, 1.0, 0.25, 0.75]], dtype=torch.float64)
    best = sweep_of(rule, x0, "l0", levels=4).minimal(lambda rows, eps: far)
    assert best.x.tolist() == [[0.5, 0.25, 0.25, 0.25]]
    assert all(((x * 4) % 1 == 0).all() for x in seen)
