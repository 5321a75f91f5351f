"""Both lines about an activation bound it everywhere between its ends, and so does the interval of its values."""

from __future__ import annotations

import pytest
import torch
from robusteval_certifiers._common.relaxation import interval, lines

from robusteval.api import GraphNode, activation_value
from robusteval.contracts.certificates.graph import KINDS


def node(kind: str, size: int) -> GraphNode:
    slope = torch.linspace(0, 1, size, dtype=torch.float64)
    settings = {"kind": kind, "low": -0.4, "high": 0.7, "rate": 1.7}
    return GraphNode("activation", (0,), (size,), {"slope": slope} if kind == "leaky_relu" else {}, settings)


def ends() -> tuple[torch.Tensor, torch.Tensor]:
    """Narrow, wide and very wide ones, on either side of zero and across it, and single points."""
    rng = torch.Generator("cpu").manual_seed(0)
    middle = torch.randn(1, 300, generator=rng).double() * 2
    width = torch.rand(1, 300, generator=rng).double() * torch.tensor([1e-6, 0.3, 3.0, 20.0]).repeat(75)
    width[0, :5] = 0.0
    return middle - width, middle + width


@pytest.mark.parametrize("kind", KINDS)
def test_lines_and_interval_hold_at_every_point_between(kind: str) -> None:
    low, high = ends()
    activation = node(kind, low.shape[1])
    fitted, (least, most) = lines(activation, low, high), interval(activation, low, high)
    for share in torch.linspace(0, 1, 1999, dtype=torch.float64):
        x = torch.minimum(low + (high - low) * share, high)
        value = activation_value(activation, x)
        room = 1e-12 * (1 + value.abs() + x.abs())
        assert (fitted.low_slope * x + fitted.low_shift <= value + room).all()
        assert (fitted.high_slope * x + fitted.high_shift >= value - room).all()
        assert (least <= value + room).all()
        assert (most >= value - room).all()


@pytest.mark.parametrize("kind", KINDS)
def test_between_near_ends_the_lines_are_near(kind: str) -> None:
    middle = torch.linspace(-3, 3, 61, dtype=torch.float64)[None]
    low, high = middle - 1e-3, middle + 1e-3
    fitted = lines(node(kind, 61), low, high)
    gap = (fitted.high_slope - fitted.low_slope) * middle + fitted.high_shift - fitted.low_shift
    assert (gap >= -1e-12).all()
    assert gap.max() < 2e-3
