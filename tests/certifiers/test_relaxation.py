"""Both lines about an activation bound it everywhere between its ends, and so does the interval of its values."""

from __future__ import annotations

import math

import pytest
import torch
from robusteval_certifiers._common.relaxation import interval, lines

from robusteval.api import GraphNode, activation_value
from robusteval.contracts.certificates.graph import KINDS
from robusteval.verify.proofs.graph import Node
from robusteval.verify.proofs.lines import lines as numpy_lines


def node(kind: str, size: int) -> GraphNode:
    slope = torch.linspace(0, 1, size, dtype=torch.float64)
    settings = {"kind": kind, "low": -0.4, "high": 0.7, "rate": 1.7}
    if kind == "round":
        settings |= {"low": -2.0, "high": 5.0}
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


@pytest.mark.parametrize(("first", "last"), [(-2.0, 5.0), (0.0, 1.0), (-math.inf, 4.0), (-math.inf, math.inf)])
def test_at_a_half_both_neighbours_are_within_the_lines(first: float, last: float) -> None:
    """ONNX Runtime rounds halves to even, some kernels after adding the zero point, and others away from zero."""
    low, high = ends()
    low[0, 5:90], high[0, 5:90] = low[0, 5:90].mul(2).round() / 2, high[0, 5:90].mul(2).round() / 2
    activation = GraphNode("activation", (0,), (300,), {}, {"kind": "round", "low": first, "high": last})
    fitted, (least, most) = lines(activation, low, high), interval(activation, low, high)
    settings = {"kind": "round", "low": max(first, -1e300), "high": min(last, 1e300)}
    numpys = Node("activation", (0,), (300,), settings, {})
    theirs = numpy_lines(numpys, low[0].numpy(), high[0].numpy())
    seen = 0
    for half in torch.arange(-30, 31, dtype=torch.float64) + 0.5:
        inside = (low <= half) & (half <= high)
        seen += int(inside.sum())
        for value in (half - 0.5, half + 0.5):
            y = value.clamp(first, last)
            assert ((fitted.low_slope * half + fitted.low_shift <= y + 1e-9) | ~inside).all()
            assert ((fitted.high_slope * half + fitted.high_shift >= y - 1e-9) | ~inside).all()
            assert (((least <= y) & (y <= most)) | ~inside).all()
            held = inside[0].numpy()
            assert ((theirs.below * float(half) + theirs.under <= float(y) + 1e-9) | ~held).all()
            assert ((theirs.above * float(half) + theirs.over >= float(y) - 1e-9) | ~held).all()
    assert seen > 300


def test_rounding_between_two_halves_is_one_number() -> None:
    low, high = torch.tensor([[1.51, 1.5, -0.4]]).double(), torch.tensor([[2.49, 2.4, 0.5]]).double()
    fitted = lines(node("round", 3), low, high)
    assert [float(value[0, 0]) for value in fitted[:4]] == [0.0, 2.0, 0.0, 2.0]
    least, most = interval(node("round", 3), low, high)
    assert least.tolist() == [[2.0, 1.0, 0.0]], "a half may go down"
    assert most.tolist() == [[2.0, 2.0, 1.0]], "and up"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "round"])
def test_between_near_ends_the_lines_are_near(kind: str) -> None:
    middle = torch.linspace(-3, 3, 61, dtype=torch.float64)[None]
    low, high = middle - 1e-3, middle + 1e-3
    fitted = lines(node(kind, 61), low, high)
    gap = (fitted.high_slope - fitted.low_slope) * middle + fitted.high_shift - fitted.low_shift
    assert (gap >= -1e-12).all()
    assert gap.max() < 2e-3
