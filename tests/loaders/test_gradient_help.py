"""A gradient helps where its steps lower the true margin more than random ones do, and only there."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.loaders.gradient_help import gradient_help, rows_to_ask

WEIGHT = torch.randn(1, 8, 8, generator=torch.Generator().manual_seed(0))
BOUNDS = (0.0, 1.0)


def images(n: int = 40) -> Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def margin(x: Tensor) -> Tensor:
    return (x * WEIGHT).flatten(1).sum(1).abs().sqrt() + 0.1


def gradient(x: Tensor) -> Tensor:
    leaf = x.clone().requires_grad_(True)
    return torch.autograd.grad(margin(leaf).sum(), leaf)[0]


def test_the_true_gradient_and_a_poor_relation_of_it_help() -> None:
    noise = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(2))
    true = gradient_help(margin, gradient, images(), BOUNDS)
    poor = gradient_help(margin, lambda x: gradient(x).sign() + 3 * noise, images(), BOUNDS)
    assert true.helps
    assert poor.helps
    assert true.drop > poor.drop > poor.chance
    assert (true.dead, true.rows) == (0.0, 40)


def always(answer: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: answer


def test_noise_the_wrong_way_and_nothing_at_all_do_not_help() -> None:
    for seed in range(10):
        noise = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        assert not gradient_help(margin, always(noise), images(), BOUNDS).helps
    assert not gradient_help(margin, lambda x: -gradient(x), images(), BOUNDS).helps
    for nothing in (torch.zeros(40, 1, 8, 8), torch.full((40, 1, 8, 8), float("nan"))):
        found = gradient_help(margin, always(nothing), images(), BOUNDS)
        assert (found.helps, found.dead) == (False, 1.0)


def test_zero_gradients_on_some_rows_are_counted_and_the_others_decide() -> None:
    alive = (torch.arange(40) < 12).reshape(-1, 1, 1, 1)
    found = gradient_help(margin, lambda x: gradient(x) * alive, images(), BOUNDS)
    assert found.helps
    assert abs(found.dead - 0.7) < 1e-9


def test_a_gradient_of_any_size_and_answers_that_are_not_finite() -> None:
    assert gradient_help(margin, lambda x: 1e-36 * gradient(x), images(), BOUNDS).helps
    broken = gradient_help(lambda x: margin(x) / (torch.arange(40) > 3), gradient, images(), BOUNDS)
    assert broken.helps
    assert broken.rows == 36


def test_fewer_rows_of_large_inputs() -> None:
    assert [rows_to_ask(s) for s in ((1, 28, 28), (3, 32, 32), (3, 224, 224))] == [64, 32, 8]
