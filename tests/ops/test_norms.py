"""Norms, steepest ascent and Jacobians."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robusteval import ops

DUAL = {"linf": 1, "l2": 2, "l1": float("inf"), "l0": float("inf")}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    norm=st.sampled_from(ops.NORMS),
    shape=st.sampled_from([(9,), (3, 4, 4)]),
    scale=st.sampled_from([1e-30, 1e-12, 1.0, 1e12, 1e30]),
)
def test_ascent_is_the_dual_norm_maximiser(seed: int, norm: ops.Norm, shape: tuple[int, ...], scale: float) -> None:
    rng = torch.Generator().manual_seed(seed)
    grad = torch.randn((4, *shape), generator=rng) * scale
    step = ops.ascent(grad, norm)
    assert torch.allclose(ops.size(step, norm), torch.ones(4), rtol=1e-5)
    gain = (step.double() * grad.double()).flatten(1).sum(1)
    best = torch.linalg.vector_norm(grad.double().flatten(1), ord=DUAL[norm], dim=1)
    assert torch.allclose(gain, best, rtol=1e-5, atol=0)


@pytest.mark.parametrize("norm", ops.NORMS)
@pytest.mark.parametrize("batch", [0, 1, 2])
def test_a_zero_gradient_gives_a_zero_step(norm: ops.Norm, batch: int) -> None:
    grad = torch.zeros(batch, 3, 2, 2)
    assert torch.equal(ops.ascent(grad, norm), grad)
    assert torch.equal(ops.size(grad, norm), torch.zeros(batch))


def test_sizes_by_hand() -> None:
    delta = torch.zeros(1, 2, 2, 2)
    delta[0, 0, 0, 0], delta[0, 1, 0, 0], delta[0, 0, 1, 1] = 3.0, -4.0, 12.0
    sizes = {norm: float(ops.size(delta, norm)) for norm in ops.NORMS}
    assert sizes == {"l0": 2.0, "l1": 19.0, "l2": 13.0, "linf": 12.0}
    assert float(ops.size(delta.flatten(1), "l0")) == 3.0


def test_distance_is_measured_in_float64() -> None:
    x0 = torch.full((1, 1000), 0.9)
    x = torch.nextafter(x0, torch.ones(()))
    exact = (x.double() - x0.double()).sum()
    assert ops.distance(x0, x, "l1").dtype == torch.float64
    assert float(ops.distance(x0, x, "l1")) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("call", [ops.size, ops.ascent])
def test_an_unknown_norm_is_refused(call: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="unknown norm 'l7'"):
        call(torch.zeros(1, 2), "l7")


class TestClassGradients:
    weight = torch.randn((5, 6), generator=torch.Generator().manual_seed(0))

    def model(self, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.weight.T) * x.flatten(1).sum(1, keepdim=True)

    @pytest.mark.parametrize("shape", [(6,), (1, 2, 3)])
    @pytest.mark.parametrize("batch", [1, 4])
    def test_against_autograd(self, batch: int, shape: tuple[int, ...]) -> None:
        x = torch.rand((batch, *shape), generator=torch.Generator().manual_seed(1))
        classes = torch.tensor([[0, 3, 3], [4, 1, 0], [2, 2, 1], [1, 0, 4]])[:batch]
        scores, grads = ops.class_gradients(self.model, x, classes)
        assert torch.allclose(scores, self.model(x))
        for row in range(batch):
            full = torch.autograd.functional.jacobian(lambda image: self.model(image[None])[0], x[row])
            assert torch.allclose(grads[row], full[classes[row]], atol=1e-6)

    def test_empty_batch_and_no_classes(self) -> None:
        scores, grads = ops.class_gradients(self.model, torch.rand(0, 6), torch.zeros(0, 2, dtype=torch.int64))
        assert scores.shape == (0, 5)
        assert grads.shape == (0, 2, 6)
        _, none = ops.class_gradients(self.model, torch.rand(3, 6), torch.zeros(3, 0, dtype=torch.int64))
        assert none.shape == (3, 0, 6)

    def test_scores_that_do_not_depend_on_the_input_have_zero_gradients(self) -> None:
        classes = torch.zeros(2, 1, dtype=torch.int64)
        scores, grads = ops.class_gradients(lambda x: torch.zeros(len(x), 3), torch.rand(2, 6), classes)
        assert torch.equal(scores, torch.zeros(2, 3))
        assert torch.equal(grads, torch.zeros(2, 1, 6))
