"""The judge, line by line: what it throws out, what it counts as a win, what it measures, on a grid and off it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from robusteval.api import JUDGE_DRAWS, Norm
from robusteval.engine.search.judge import Judged, Threat, answers, is_win, judge
from robusteval.engine.seeding import generator
from tests.engine.plain import Rule, beyond, pipeline, random_pipeline
from tests.sure import sure

BOX = (0.0, 1.0)


def column(*values: float) -> Tensor:
    """[B, 1], float64."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


def kept(count: int, classes: int = 2, label: int = 0) -> Tensor:
    safe = torch.zeros(count, classes, dtype=torch.bool)
    safe[:, label] = True
    return safe


def judged(
    rule: Any,
    x0: Tensor,
    candidates: Tensor,
    eps: Any = None,
    norm: Norm = "l2",
    levels: int = 0,
    bounds: tuple[float, float] = BOX,
    safe: Tensor | None = None,
) -> Judged:
    one = pipeline(rule) if not hasattr(rule, "decide") else rule
    threat = Threat(kept(len(x0), one.classes) if safe is None else safe, norm, bounds, levels)
    budget = None if eps is None else torch.tensor(eps, dtype=torch.float64)
    return judge(one, x0, candidates, threat, budget, generator(0, "t"))


def always(x: Tensor) -> Tensor:
    return torch.ones(len(x), dtype=torch.long)


def test_a_win_is_a_finite_answer_outside_keep() -> None:
    safe = torch.tensor([[True, False, False]]).repeat(4, 1)
    assert is_win(torch.tensor([0, 1, 2, -1]), safe).tolist() == [False, True, True, False]
    # not finite is no win where class 0 would be one either
    safe = torch.tensor([[False, False, True]]).repeat(4, 1)
    assert is_win(torch.tensor([0, 1, 2, -1]), safe).tolist() == [True, True, False, False]
    with pytest.raises(RuntimeError):  # on the processor: a GPU would do nothing more after it
        is_win(torch.tensor([3], device="cpu"), safe[:1].cpu())


def test_scores_that_are_not_finite_are_no_win() -> None:
    """With safe on class 1, argmax 0 of NaN scores would be a win."""
    found = judged(lambda x: -always(x), column(0.2), column(0.9), safe=kept(1, label=1))
    assert not found.won.any()
    assert found.answer.tolist() == [-1]
    assert found.rejected == {"not a win": 1}


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize(
    ("over", "admitted"), [(0.0, True), (5e-7, True), (2e-6, False), (1e-3, False), (0.05, False), (-0.01, True)]
)
def test_the_budget_binds_to_a_millionth(norm: Norm, over: float, admitted: bool) -> None:
    x0 = column(0.25)
    found = judged(always, x0, x0 + 0.5 * (1 + over), eps=[0.5], norm=norm)
    assert found.won.item() is admitted
    assert found.rejected == ({} if admitted else {"over budget": 1})


def test_every_sample_has_its_own_budget() -> None:
    found = judged(always, column(0.0, 0.0, 0.0), column(0.3, 0.3, 0.3), eps=[0.2, 0.3, 0.4])
    assert found.won.tolist() == [False, True, True]


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 2.0), (0.1, 0.4)])
def test_the_box_includes_its_edges_and_nothing_beyond(bounds: tuple[float, float]) -> None:
    low, high = bounds
    middle = column(*[(low + high) / 2] * 4)
    found = judged(always, middle, column(low, high, low - 1e-9, high + 1e-9), bounds=bounds)
    assert found.won.tolist() == [True, True, False, False]
    assert found.rejected == {"outside the box": 2}


def test_one_value_outside_is_enough() -> None:
    x0 = torch.full((2, 3), 0.5, dtype=torch.float64)
    candidates = x0.clone()
    candidates[0, 2], candidates[1, 1] = 1.5, torch.nan
    found = judged(always, x0, candidates)
    assert not found.won.any()
    assert found.rejected == {"outside the box": 1, "not finite": 1}


def test_each_candidate_is_thrown_out_for_one_reason() -> None:
    x0 = column(*[0.5] * 8)
    candidates = column(torch.nan, torch.inf, -torch.inf, 1.7, 0.95, 0.6, 0.55, 0.7)
    found = judged(beyond(0.65), x0, candidates, eps=[0.3] * 8)
    assert found.rejected == {"not finite": 3, "outside the box": 1, "over budget": 1, "not a win": 2}
    assert found.won.tolist() == [False] * 7 + [True]
    assert found.distance.tolist() == pytest.approx([torch.inf] * 7 + [0.2])
    assert found.x[:3].tolist() == x0[:3].tolist()  # what is not finite is never asked: the clean sample is
    assert found.x[3:].tolist() == candidates[3:].tolist()
    assert found.answer.tolist() == [0, 0, 0, 1, 1, 0, 0, 1]
    assert isinstance(found.rejected, Counter)


def test_a_win_is_measured_in_the_norm_and_in_l2() -> None:
    x0 = torch.zeros(2, 4, dtype=torch.float64)
    candidates = torch.full((2, 4), 0.5, dtype=torch.float64)
    found = judged(lambda x: torch.tensor([1, 0]), x0, candidates, norm="l1")
    assert found.distance.tolist() == [2.0, torch.inf]
    assert found.l2.tolist() == [1.0, torch.inf]


def test_a_wrong_shape_is_named() -> None:
    with pytest.raises(ValueError, match=r"^the attack returned shape \(2, 1\) for samples \(3, 1\)$"):
        judged(always, column(0.1, 0.2, 0.3), column(0.1, 0.2))


def test_candidates_are_cut_from_their_graph_and_take_the_samples_type() -> None:
    x0 = column(0.1).float()
    found = judged(always, x0, (column(0.9) * torch.ones(1, dtype=torch.float64, requires_grad=True)))
    assert not found.x.requires_grad
    assert found.x.dtype == torch.float32
    assert found.distance.dtype == torch.float64
    assert found.distance.item() == float(torch.tensor(0.9)) - float(torch.tensor(0.1))


# Random pipelines


def constant(answer: int) -> Rule:
    return lambda x: torch.full((len(x),), answer)


@pytest.mark.parametrize("first", [0, 1, 2, -1])
@pytest.mark.parametrize("second", [0, 1, 2, -1])
def test_the_majority_of_eleven_draws_answers(first: int, second: int) -> None:
    one, drawn = random_pipeline([constant(first)] * 6 + [constant(second)] * 5, classes=3)
    answer, suspicion = answers(one, column(0.1, 0.2), generator(0, "t"))
    assert answer.tolist() == [first, first]
    assert suspicion is None
    assert len(drawn) == JUDGE_DRAWS == 11


def test_draws_that_are_not_finite_are_votes_against_a_win() -> None:
    one, _ = random_pipeline([constant(-1)] * 6 + [constant(1)] * 5)
    assert not judged(one, column(0.2), column(0.9)).won.any()


def test_suspicion_is_the_mean_over_draws() -> None:
    rules: list[Any] = [lambda x, n=n: torch.full((len(x),), float(n)) / 100 for n in range(11)]
    one, _ = random_pipeline([constant(1)] * 11, suspicions=rules)
    answer, suspicion = answers(one, column(0.1, 0.2), generator(0, "t"))
    assert answer.tolist() == [1, 1]
    assert sure(suspicion).tolist() == pytest.approx([0.05, 0.05])


def test_a_pipeline_without_randomness_is_asked_once() -> None:
    asked = []

    def rule(x: Tensor) -> Tensor:
        asked.append(len(x))
        return always(x)

    answer, suspicion = answers(pipeline(rule, suspicion=lambda x: x[:, 0]), column(0.1, 0.9), generator(0, "t"))
    assert answer.tolist() == [1, 2]  # the detector fires at the second
    assert sure(suspicion).tolist() == [0.1, 0.9]
    assert asked == [2]


@pytest.mark.parametrize("levels", [0, 4])
def test_random_pipelines_are_drawn_from_the_run_s_generator(levels: int) -> None:
    """The draw refuses anything else."""
    one, drawn = random_pipeline([constant(1)] * 11)
    assert judged(one, column(0.25), column(0.75), levels=levels).won.all()
    assert len(drawn) == 11
    one, drawn = random_pipeline([constant(0)] * 11)
    assert not judged(one, column(0.25), column(0.75), levels=levels).won.any()
    assert len(drawn) == (33 if levels else 11)


def test_what_is_lawful() -> None:
    x = column(-0.2, 0.3, 1.4)
    assert Threat(kept(3), "l2", BOX).round_to_feasible(x).tolist() == [[0.0], [0.3], [1.0]]
    assert Threat(kept(3), "l2", BOX, 4).round_to_feasible(x).tolist() == [[0.0], [0.25], [1.0]]
    assert Threat(kept(3), "l2", BOX, 0, (0.0, 1.0, 2)).round_to_feasible(x).tolist() == [[0.0], [0.5], [1.0]]
    assert Threat(kept(3), "l2", (0.0, 0.7), 0, (0.0, 1.0, 2)).round_to_feasible(x).tolist() == [[0.0], [0.5], [0.5]]
    assert Threat(kept(3), "l2", (-0.1, 0.2)).round_to_feasible(x).tolist() == [[-0.1], [0.2], [0.2]]


def test_rows_of_a_threat_keep_what_is_shared() -> None:
    threat = Threat(torch.eye(3, dtype=torch.bool), "linf", (-1.0, 2.0), 7)
    some = threat[torch.tensor([2, 0])]
    assert some.safe.tolist() == [[False, False, True], [True, False, False]]
    assert (some.norm, some.bounds, some.levels, some.file) == ("linf", (-1.0, 2.0), 7, ())
    assert Threat(threat.safe, "l2", BOX, 0, (0.0, 1.0, 3))[torch.tensor([1])].file == (0.0, 1.0, 3)
