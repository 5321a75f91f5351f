"""`Problem`: access levels, meters and the shapes of its answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import pytest
import torch
from torch import Generator, Tensor

import robusteval.testing
from robusteval.api import Problem
from robusteval.contracts.meter import Meter, Trace
from robusteval.contracts.plugins import Needs
from robusteval.errors import AccessError
from robusteval.testing import linear


@dataclass(frozen=True)
class Plane:
    """Three linear scores; NaN where the first value exceeds `cliff`; if random, each draw has its own shift."""

    cliff: float = 9.0
    shift: float = 0.0
    random: bool = False

    def scores(self, x: Tensor) -> Tensor:
        return self.twin(x)

    def twin(self, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        first = flat[:, 0] * torch.where(flat[:, 0] > self.cliff, torch.nan, 1.0)
        return torch.stack([first, flat[:, 1], 0 * flat[:, 2] + self.shift], dim=1)

    def draw(self, rng: Generator) -> Plane:
        return Plane(self.cliff, float(torch.rand((), generator=rng))) if self.random else self


def pose(
    needs: Literal["gradient", "scores", "decision"],
    batch: int = 4,
    draws: int = 1,
    cliff: float = 9.0,
    eps: float | None = 0.5,
    random: bool = False,
) -> Problem:
    x = torch.rand((batch, 3), generator=Generator().manual_seed(0))
    safe = torch.tensor([[True, False, False]]).expand(batch, 3).clone()
    budget = None if eps is None else torch.full((batch,), eps)
    rng = Generator().manual_seed(1)
    rows, meter = torch.arange(batch), Meter(batch)
    return Problem(
        x, safe, "l2", budget, (0.0, 1.0), rng, needs, Plane(cliff, random=random), meter, rows, draws, Trace()
    )


@pytest.mark.parametrize(
    ("needs", "call"),
    [
        ("decision", lambda p: p.scores(p.x)),
        ("decision", lambda p: p.loss(p.x)),
        ("decision", lambda p: p.grad(p.x)),
        ("decision", lambda p: p.jacobian(p.x, torch.zeros(4, 1, dtype=torch.int64))),
        ("scores", lambda p: p.grad(p.x)),
        ("scores", lambda p: p.jacobian(p.x, torch.zeros(4, 1, dtype=torch.int64))),
    ],
)
def test_asking_for_more_than_declared_is_an_access_error(needs: Needs, call: Callable[[Problem], object]) -> None:
    problem = pose(needs)
    with pytest.raises(AccessError, match=f"needs = '{needs}'"):
        call(problem)
    assert int(problem.meter.forwards.sum()) == 0


@pytest.mark.parametrize("needs", ["decision", "scores", "gradient"])
def test_what_is_declared_is_allowed(needs: Needs) -> None:
    problem = pose(needs)
    assert problem.won(problem.x).shape == (4,)
    assert problem.labels(problem.x).dtype == torch.int64
    if needs != "decision":
        assert problem.loss(problem.x, "ce").shape == (4,)
    if needs == "gradient":
        answer = problem.grad(problem.x, "ce")
        assert answer.grad.shape == problem.x.shape
        assert torch.equal(answer.won, problem.won(problem.x))


def test_a_problem_without_budget_says_so() -> None:
    with pytest.raises(AccessError, match="no budget"):
        _ = pose("gradient", eps=None).budget


def test_every_pass_is_counted_once_a_sample_and_draw() -> None:
    problem = pose("gradient", draws=3)
    problem.scores(problem.x)
    assert problem.meter.forwards.tolist() == [3] * 4
    problem.grad(problem.x)
    assert problem.meter.forwards.tolist() == [6] * 4
    assert problem.meter.backwards.tolist() == [3] * 4
    problem.jacobian(problem.x, torch.tensor([[0, 1]] * 4))
    assert problem.meter.forwards.tolist() == [9] * 4
    assert problem.meter.backwards.tolist() == [9] * 4


def test_fewer_samples_share_the_meters() -> None:
    problem = pose("gradient")
    part = problem[torch.tensor([False, True, False, True])]
    assert len(part) == 2
    part.grad(part.x)
    nested = part[torch.tensor([1])]
    nested.scores(nested.x)
    assert problem.meter.forwards.tolist() == [0, 1, 0, 2]
    assert problem.meter.backwards.tolist() == [0, 1, 0, 1]
    assert torch.equal(nested.x, problem.x[3:])
    assert torch.equal(nested.budget, problem.budget[3:])


def test_repeated_rows_count_each_time() -> None:
    problem = pose("scores")
    twice = problem[torch.tensor([2, 2, 0])]
    twice.scores(twice.x)
    assert problem.meter.forwards.tolist() == [1, 0, 2, 0]


def test_a_query_of_another_size_is_refused() -> None:
    problem = pose("scores")
    with pytest.raises(ValueError, match="use problem\\[rows\\]"):
        problem.scores(problem.x[:2])


def test_gradients_that_are_not_finite_become_zero_and_are_counted() -> None:
    problem = pose("gradient", cliff=0.5)
    broken = problem.x[:, 0] > 0.5
    assert 0 < int(broken.sum()) < 4
    answer = problem.grad(problem.x, lambda scores: scores.sum(1))
    assert torch.equal(answer.grad[broken], torch.zeros_like(answer.grad[broken]))
    assert bool((answer.grad[~broken] != 0).any(1).all())
    assert torch.equal(problem.meter.bad_gradients, broken.long())
    assert not bool(answer.won[broken].any())
    _, grads = problem.jacobian(problem.x, torch.tensor([[0, 1]] * 4))
    assert torch.equal(problem.meter.bad_gradients, 3 * broken.long())  # one pass, and one for each of two classes
    assert torch.equal(grads[broken], torch.zeros_like(grads[broken]))
    assert torch.equal(grads[~broken][:, 0], torch.eye(3)[:1].expand(int((~broken).sum()), 3))


def test_gradients_that_are_zero_are_counted() -> None:
    problem = pose("gradient")
    problem.grad(problem.x, lambda scores: scores[:, 2])
    problem.jacobian(problem.x, torch.tensor([[2]] * 4))
    assert problem.meter.zero_gradients.tolist() == [2] * 4
    assert problem.meter.bad_gradients.tolist() == [0] * 4


def test_random_pipelines_are_averaged_over_draws_from_the_problems_generator() -> None:
    one, same, more = (pose("scores", draws=n, random=True) for n in (1, 1, 400))
    assert torch.equal(one.scores(one.x), same.scores(same.x))
    assert not torch.equal(one.scores(one.x), one.scores(one.x))
    assert torch.allclose(more.scores(more.x)[:, 2], torch.full((4,), 0.5), atol=0.06)


@pytest.mark.parametrize("needs", ["gradient", "scores"])
def test_a_problem_of_no_samples_answers_with_nothing(needs: Needs) -> None:
    problem = pose(needs, batch=0)
    assert problem.scores(problem.x).shape == (0, 3)
    assert problem.won(problem.x).shape == (0,)
    assert problem.project(problem.x).shape == (0, 3)
    if needs == "gradient":
        assert problem.grad(problem.x).grad.shape == (0, 3)
        assert problem.jacobian(problem.x, torch.zeros(0, 2, dtype=torch.int64))[1].shape == (0, 2, 3)


def test_trace_points_hold_only_finite_numbers() -> None:
    problem = pose("scores")
    problem.note(loss=torch.tensor([1.0, 3.0, torch.inf, torch.nan]), step=2.0, best=torch.full((4,), torch.inf))
    problem[torch.zeros(4, dtype=torch.bool)].note(loss=torch.zeros(0))
    assert problem.trace is not None
    assert problem.trace.points == [{"samples": 4.0, "loss": 2.0, "step": 2.0}, {"samples": 0.0}]


def test_memory_is_shared_by_sub_problems_and_by_no_others() -> None:
    problem = pose("decision")
    problem[torch.tensor([2, 0])].memory["seen"] = 1
    assert problem.memory == {"seen": 1}
    assert pose("decision").memory == {}


def test_the_mask_answers_to_its_old_name_and_says_the_new_one() -> None:
    problem = pose("scores")
    with pytest.warns(DeprecationWarning, match=r"Problem\.keep is called safe"):
        assert problem.keep is problem.safe  # type: ignore[attr-defined]
    other = ~problem.safe
    with pytest.warns(DeprecationWarning, match=r"Problem\(keep=\.\.\.\) is called safe"):
        assert torch.equal(replace(problem, keep=other).safe, other)  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="keep_labels is called safe_labels"):
        assert robusteval.testing.keep_labels is robusteval.testing.safe_labels
    with pytest.raises(AttributeError, match="keep_nothing"):
        _ = robusteval.testing.keep_nothing


def test_what_a_model_was_trained_on_answers_to_its_old_name() -> None:
    info = linear((3,)).info
    with pytest.warns(DeprecationWarning, match="training_fingerprints"):
        assert replace(info, learnt="abc").training_fingerprints == "abc"  # type: ignore[call-arg]
    with pytest.warns(DeprecationWarning, match="training_fingerprints"):
        assert info.learnt == ""  # type: ignore[attr-defined]
