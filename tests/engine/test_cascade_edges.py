"""A cascade's bookkeeping: who won, within which budget, and who is asked no more."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from robusteval.contracts.meter import Meter
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Threat
from robusteval.engine.seeding import generator
from robusteval.engine.units.cascade import run_cascade
from tests.engine.plain import beyond, pipeline, random_pipeline
from tests.sure import sure


def member(budget: str) -> SimpleNamespace:
    return SimpleNamespace(attack=SimpleNamespace(info=SimpleNamespace(budget=budget)))


FIXED: Any = member("fixed")
MINIMAL: Any = member("minimal")


def sweep_of(bars: tuple[float, ...], levels: int = 0, dtype: torch.dtype = torch.float64) -> Sweep:
    x0 = torch.zeros(len(bars), 2, dtype=dtype)
    x0[:, 1] = torch.arange(len(bars)) / 10
    safe = torch.zeros(len(bars), 2, dtype=torch.bool)
    safe[:, 0] = True
    return Sweep(
        pipeline(beyond(*bars)), x0, Threat(safe, "linf", (0.0, 1.0), levels), generator(0, "c"), Meter(len(bars))
    )


def run(sweep: Sweep, answers: list[tuple[Any, dict[int, float]]], eps: float = 0.5) -> tuple[Any, Any, Any]:
    """answers: for each member how far it goes for each row. What was asked: [(rows, budgets or None)]."""
    asked: list[tuple[list[int], list[float] | None]] = []

    def ask(one: object, rows: torch.Tensor, budget: torch.Tensor | None) -> torch.Tensor:
        reach = answers[len(asked)][1]
        assert one is answers[len(asked)][0]
        asked.append((rows.tolist(), None if budget is None else budget.tolist()))
        far = sweep.x0[rows].clone()
        far[:, 0] += torch.tensor([reach.get(row, 0.0) for row in rows.tolist()], dtype=far.dtype)
        return far

    best, by = run_cascade(sweep, tuple(answer for answer, _ in answers), eps, ask)
    return asked, best, by


def test_each_attack_gets_what_the_ones_before_it_left() -> None:
    sweep = sweep_of((0.1, 0.2, 0.3, 0.9))
    asked, best, by = run(
        sweep,
        [
            (FIXED, {0: 0.15, 1: 0.15}),
            (MINIMAL, {1: 0.3, 2: 0.6, 3: 0.95}),  # wins beyond the budget are none
            (FIXED, {2: 0.5, 3: 0.5}),
        ],
    )
    assert asked == [([0, 1, 2, 3], [0.5] * 4), ([1, 2, 3], None), ([2, 3], [0.5, 0.5])]
    assert by.tolist() == [0, 1, 2, -1]
    assert by.dtype == torch.int64
    assert best.distance.tolist() == pytest.approx([0.15, 0.3, 0.5, torch.inf])
    assert best.l2.tolist() == pytest.approx([0.15, 0.3, 0.5, torch.inf])
    assert best.x[:, 0].tolist() == pytest.approx([0.15, 0.3, 0.5, 0.0])
    assert best.rejected == {"not a win": 3 + 1}


def test_nobody_is_asked_once_all_are_lost() -> None:
    asked, best, by = run(sweep_of((0.1, 0.2)), [(FIXED, {0: 0.4, 1: 0.4}), (FIXED, {})])
    assert len(asked) == 1
    assert by.tolist() == [0, 0]
    assert best.distance.isfinite().all()


def test_the_last_sample_is_still_asked_for() -> None:
    asked, _, by = run(sweep_of((0.1, 0.2)), [(FIXED, {0: 0.4}), (FIXED, {1: 0.4})])
    assert asked[1][0] == [1]
    assert by.tolist() == [0, 1]


@pytest.mark.parametrize("kind", [FIXED, MINIMAL])
@pytest.mark.parametrize(("over", "lost"), [(-0.01, True), (0.0, True), (5e-7, True), (2e-6, False), (0.05, False)])
def test_the_budget_binds_every_kind_of_attack_to_a_millionth(kind: Any, over: float, lost: bool) -> None:
    _, best, by = run(sweep_of((0.1,)), [(kind, {0: 0.5 * (1 + over)})])
    assert by.tolist() == [0 if lost else -1]
    assert best.distance.isfinite().tolist() == best.l2.isfinite().tolist() == [lost]
    # what a fixed attack proposes beyond its budget is thrown out, a minimal one has none
    assert best.rejected == ({"over budget": 1} if kind is FIXED and not lost else {})


def test_a_win_that_rounding_to_the_grid_takes_beyond_the_budget_is_none() -> None:
    for reach, lost in ((0.49, True), (0.4, False)):  # .49 is .5 on quarters, .4 has to go up to win
        bars = (0.45,) if lost else (0.6,)
        _, best, by = run(sweep_of(bars, levels=4), [(FIXED, {0: reach})], eps=0.5)
        assert by.tolist() == [0 if lost else -1]
        assert best.distance.tolist() == [0.5 if lost else torch.inf]
    _, best, by = run(sweep_of((0.6,), levels=4), [(FIXED, {0: 0.65})], eps=0.7)  # .65 is lawful, .75 is not
    assert by.tolist() == [-1]
    assert best.distance.tolist() == best.l2.tolist() == [torch.inf]


@pytest.mark.parametrize("kind", [FIXED, MINIMAL])
def test_random_pipelines_are_drawn_from_the_run_s_generator(kind: Any) -> None:
    """The draw refuses anything else."""
    one, drawn = random_pipeline([beyond(0.1)])
    _, _, by = run(dataclasses.replace(sweep_of((0.1,)), pipeline=one), [(kind, {0: 0.4})])
    assert by.tolist() == [0]
    assert len(drawn) == 11


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_budgets_come_in_the_samples_precision(dtype: torch.dtype) -> None:
    sweep = sweep_of((0.1,), dtype=dtype)
    seen = []

    def ask(one: object, rows: torch.Tensor, budget: torch.Tensor | None) -> torch.Tensor:
        seen.append(sure(budget).dtype)
        return sweep.x0[rows]

    best, by = run_cascade(sweep, (FIXED,), 0.1, ask)
    assert seen == [dtype]
    assert by.tolist() == [-1]
    assert best.distance.tolist() == [torch.inf]
