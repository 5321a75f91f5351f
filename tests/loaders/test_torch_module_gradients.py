"""Modules whose gradients have to be helped: saturated probabilities, steps, nets that are dead on noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.loaders.torch_nets import NET, SATURATED, SHAPE, STEPS, X, Y, gradient, loaded, seen


@pytest.mark.parametrize("kind", SATURATED)
def test_saturated_probabilities_have_the_gradients_of_their_logarithms(kind: str) -> None:
    model = loaded(SATURATED[kind])
    assert model.info.gradients == "exact", model.info.gradients_reason
    assert model.info.rung == "C"
    assert "logarithms" in model.info.gradients_reason
    assert torch.equal(model.logits(X).argmax(1), Y)
    logits = loaded(lambda net, x: 3000 * net(x))
    assert torch.allclose(gradient(model), gradient(logits), rtol=1e-3, atol=1e-3)


def test_large_logits_behind_a_gate_are_not_called_saturated_probabilities() -> None:
    """Something inside is in the order of a sigmoid, and the scores are not."""

    def forward(net: nn.Module, x: Tensor) -> Tensor:
        gate = torch.sigmoid(net(x)) - 0.5
        scores: Tensor = 3000 * net(x).softmax(1).log() + gate
        return scores

    assert (loaded(forward).info.rung, loaded(forward).info.gradients) == ("A", "exact")


def _both(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    p = torch.sigmoid(500 * net(x)[:, :1])
    return torch.cat([1 - p, p], 1)


def test_two_classes_of_one_saturated_probability() -> None:
    y = (NET(X)[:, 0] > 0).long()
    for forward in (
        lambda net, x: torch.sigmoid(500 * net(x)[:, :1]),
        _both,
    ):
        model = loaded(forward, seen(y=y))
        assert (model.info.rung, model.info.classes) == ("C", 2)
        assert torch.equal(model.logits(X).argmax(1), y)
        plain = loaded(lambda net, x: torch.cat([0 * net(x)[:, :1], 500 * net(x)[:, :1]], 1))
        assert torch.allclose(gradient(model), gradient(plain), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", STEPS)
def test_steps_are_passed_straight_through(kind: str) -> None:
    model = loaded(STEPS[kind])
    assert (model.info.gradients, model.info.rung) == ("straight-through", "B"), model.info.gradients_reason
    assert "BPDA" in model.info.gradients_reason
    assert torch.allclose(model.twin(X), model.logits(X), atol=1e-5)
    assert bool((gradient(model).flatten(1).abs().amax(1) > 0).all())
    for row in (0, 1):  # gradients of several classes at once, as attacks ask for them
        leaf = X[:2].clone().requires_grad_(True)
        every = torch.autograd.grad(model.twin(leaf)[row], leaf, torch.eye(5), is_grads_batched=True)[0]
        assert every.shape == (5, 2, *SHAPE)
        assert float(every[:, row].abs().max()) > 0


def test_a_module_dead_on_noise_but_alive_on_its_images_is_differentiated() -> None:
    dark = 0.02 * X

    def threshold(net: nn.Module, x: Tensor) -> Tensor:
        answer: Tensor = net(50 * x) * torch.relu(0.1 - x.mean((1, 2, 3)))[:, None]
        return answer  # every bright image gives zeros

    with torch.no_grad():
        y = threshold(NET, dark).argmax(1)
    model = loaded(threshold, seen(dark, y))
    assert (model.info.gradients, model.info.rung) == ("exact", "A")
    assert loaded(threshold, seen(X, Y)).info.gradients == "none"  # on bright images it is dead indeed


class Random(torch.autograd.Function):
    """A backward pass of its own, that has nothing to do with the forward one."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.randn(grad.shape, generator=torch.Generator("cpu").manual_seed(1))


class Turned(Random):
    """It points away from every adversarial."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return -grad


class Followed(Random):
    """Rounded, with a straight-through backward pass: that one helps."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(4 * x) / 4

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Gone(Random):
    """Zero everywhere."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return torch.zeros_like(grad)


def behind(function: type[Random]) -> Any:
    """The net, shown what a function of autograd's makes of an image."""
    return lambda net, x: net(function.apply(x))  # type: ignore[no-untyped-call]  # torch does not type it


def _seen_through(net: nn.Module, x: Tensor) -> Tensor:
    """Answers the opposite where gradients are wanted."""
    answer: Tensor = net(x)
    return -answer if torch.is_grad_enabled() else answer


@pytest.mark.parametrize(
    ("forward", "gradients"),
    [
        (behind(Random), "none"),
        (behind(Turned), "none"),
        (behind(Followed), "exact"),
        (_seen_through, "none"),
    ],
)
def test_gradients_that_are_there_and_lead_nowhere_are_none(forward: Any, gradients: str) -> None:
    model = loaded(forward)
    assert model.info.gradients == gradients, model.info.gradients_reason
    if gradients == "none":
        assert "do not help" in model.info.gradients_reason


def test_gradients_that_are_zero_on_every_image_are_none() -> None:
    model = loaded(behind(Gone))
    assert (model.info.gradients, model.info.rung) == ("none", "E")
    assert "zero" in model.info.gradients_reason
