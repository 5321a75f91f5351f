"""The kernels of our own against torch's: the same numbers, the same gradients, and torch's where they do not apply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robusteval.ops import OwnKernels
from robusteval.ops.kernels import _convolution, _pooling
from tests.devices import DEVICE

pytestmark = pytest.mark.skipif(DEVICE.type != "cpu", reason="these kernels are for processors")


def _both(call: Callable[..., Any], x: torch.Tensor) -> list[Any]:
    answers = []
    for own in (False, True):
        leaf = x.clone().requires_grad_(True)
        if own:
            with OwnKernels():
                out = call(leaf)
            assert type(out.grad_fn).__name__.startswith("_"), "the kernel of our own was not taken"
        else:
            out = call(leaf)
        weight = torch.linspace(-1, 1, out.numel()).reshape(out.shape)
        answers.append((out.detach(), torch.autograd.grad((out * weight).sum(), leaf)[0]))
    return answers


@pytest.mark.parametrize("channels", [1, 3, 6])
@pytest.mark.parametrize(("side", "padding"), [((5, 5), 0), ((3, 3), 1), ((2, 4), (1, 2)), ((1, 3), 0)])
def test_convolutions_agree_with_torch(channels: int, side: tuple[int, int], padding: int | tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.rand((17, channels, 9, 11), generator=rng)
    weight, bias = torch.randn((7, channels, *side), generator=rng), torch.randn(7, generator=rng)
    for more in (bias, None):
        (out, grad), (own, ours) = _both(lambda leaf, more=more: F.conv2d(leaf, weight, more, padding=padding), x)
        assert torch.allclose(out, own, atol=2e-5)
        assert torch.allclose(grad, ours, atol=2e-5)


@pytest.mark.parametrize("sides", [(8, 8), (7, 8), (8, 9), (2, 3)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_pools_agree_bit_for_bit_and_ties_go_to_the_first(sides: tuple[int, int], channels_last: bool) -> None:
    # three values only, so that most windows hold ties
    x = torch.randint(-1, 2, (16, 3, *sides), generator=torch.Generator().manual_seed(0)).float()
    x[0] = 0.0
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    for call in (nn.MaxPool2d(2), lambda leaf: F.max_pool2d(leaf, (2, 2), [2, 2])):
        (out, grad), (own, ours) = _both(call, x)
        assert torch.equal(out, own)
        assert torch.equal(grad, ours)


def test_the_smallest_difference_still_decides() -> None:
    x = torch.zeros(16, 1, 2, 2)
    x[:, :, 1, 1] = 1e-45
    (_, grad), (_, ours) = _both(nn.MaxPool2d(2), x)
    assert torch.equal(grad, ours)
    assert ours[0, 0].tolist()[0] == [0.0, 0.0]


def test_what_does_not_apply_is_left_to_torch() -> None:
    x, weight = torch.rand(16, 4, 8, 8), torch.rand(4, 4, 3, 3)
    learned = weight.clone().requires_grad_(True)
    for arguments in (
        (x, weight, None, 2),
        (x, weight, None, 1, "same"),
        (x, weight, None, 1, 0, 2),
        (x, torch.rand(4, 1, 3, 3), None, 1, 0, 1, 4),
        (x, weight, None, 1, 3),
        (x, torch.rand(4, 4, 1, 1)),
        (x, learned),
        (x[:3], weight),
        (x.double(), weight.double()),
    ):
        assert _convolution(*arguments) is None
        with OwnKernels():
            assert torch.equal(F.conv2d(*arguments), torch.conv2d(*arguments))
    for kernel, options in ((3, {}), (2, {"stride": 1}), (2, {"padding": 1}), (2, {"ceil_mode": True})):
        assert _pooling(x, kernel, **options) is None
        with OwnKernels():
            found = F.max_pool2d(x, kernel, **options)
        assert torch.equal(found, F.max_pool2d(x, kernel, **options))
    assert _pooling(x[:, :, :1], 2) is None
    with OwnKernels():
        values, places = F.max_pool2d(x, 2, return_indices=True)
    assert values.shape == places.shape == (16, 4, 4, 4)


def test_gradients_of_weights_are_torchs() -> None:
    layer = nn.Conv2d(4, 4, 3)
    with OwnKernels():
        layer(torch.rand(16, 4, 8, 8)).sum().backward()
    assert layer.weight.grad is not None


def test_batched_gradients_fail_aloud_or_agree() -> None:
    """The calibration falls back to one class after the other where an operator cannot be batched."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3))
    model.requires_grad_(False)
    x = torch.rand(16, 1, 8, 8, requires_grad=True)
    expected = torch.stack([torch.autograd.grad(model(x)[:, k].sum(), x)[0] for k in range(3)])
    with OwnKernels():
        scores = model(x)
    directions = torch.eye(3)[:, None].expand(-1, 16, -1)
    try:
        (found,) = torch.autograd.grad(scores, x, directions, is_grads_batched=True)
    except RuntimeError:
        return
    assert torch.allclose(found, expected, atol=1e-5)
