"""Projections keep three promises: never outside ball and box, idempotent, inside points stay bit for bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robusteval import ops

SHAPES = [(7,), (64,), (3, 8, 8), (1, 5, 4), (3, 32, 32)]
BOUNDS = [(0.0, 1.0), (0.0, 255.0), (-1.0, 1.0)]
FRACTIONS = [0.0, 1e-8, 1e-6, 1e-4, 0.003, 0.1, 0.7, 1.0, 30.0]


def clean(rng: torch.Generator, size: tuple[int, ...], bounds: tuple[float, float], flat: bool) -> Tensor:
    """Random pixels; `flat` gives images of one value, where all rounding errors point the same way."""
    lo, hi = bounds
    pixels = torch.rand(size, generator=rng)
    if flat and len(pixels):
        pixels = pixels.flatten(1)[:, :1].reshape(-1, *[1] * (len(size) - 1)).expand(size)
    return (lo + (hi - lo) * pixels).clamp(lo, hi).contiguous()


def moved(rng: torch.Generator, x0: Tensor, bounds: tuple[float, float], kind: str) -> Tensor:
    reach = (bounds[1] - bounds[0]) * float(10 ** (2 - 9 * torch.rand((), generator=rng)))
    noise = torch.rand(x0.shape, generator=rng) * 2 - 1
    if kind == "constant":
        noise = torch.ones_like(x0)
    elif kind == "sparse":
        noise = noise * (torch.rand(x0.shape, generator=rng) < 0.1)
    return x0 + reach * noise


def radius(norm: str, fraction: float, x0: Tensor, bounds: tuple[float, float]) -> Tensor:
    if norm == "l0":
        pixels = x0[0, 0].numel() if x0.dim() == 4 and len(x0) else x0[0].numel() if len(x0) else 1
        return torch.full((len(x0),), fraction * pixels)
    return torch.full((len(x0),), fraction * (bounds[1] - bounds[0]))


@settings(max_examples=250, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    norm=st.sampled_from(ops.NORMS),
    shape=st.sampled_from(SHAPES),
    bounds=st.sampled_from(BOUNDS),
    fraction=st.sampled_from(FRACTIONS),
    batch=st.sampled_from([0, 1, 3]),
    kind=st.sampled_from(["noise", "constant", "sparse"]),
    flat=st.booleans(),
)
def test_the_three_promises(
    seed: int,
    norm: ops.Norm,
    shape: tuple[int, ...],
    bounds: tuple[float, float],
    fraction: float,
    batch: int,
    kind: str,
    flat: bool,
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x0 = clean(rng, (batch, *shape), bounds, flat)
    x = moved(rng, x0, bounds, kind)
    eps = radius(norm, fraction, x0, bounds)
    once = ops.project(x0, x, norm, eps, bounds)

    assert once.shape == x.shape
    assert once.dtype == x.dtype
    assert bool((once >= bounds[0]).all() & (once <= bounds[1]).all()), "left the box"
    excess = ops.distance(x0, once, norm) - eps.double() * (1 + 1e-6)
    assert bool((excess <= 0).all()), f"left the ball by {float(excess.max())}"
    assert torch.equal(ops.project(x0, once, norm, eps, bounds), once), "not idempotent"

    inside = (ops.distance(x0, x, norm) <= eps.double() * (1 - 1e-6)) & (ops.clip(x, bounds) == x).flatten(1).all(1)
    assert torch.equal(once[inside], x[inside]), "moved a point that was inside"


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_little_of_the_budget_is_lost(norm: ops.Norm, bounds: tuple[float, float]) -> None:
    rng = torch.Generator().manual_seed(0)
    span = bounds[1] - bounds[0]
    x0 = clean(rng, (8, 3, 16, 16), bounds, flat=False) * 0.2 + (bounds[0] + 0.4 * span)
    x = x0 + span * torch.randn(x0.shape, generator=rng)
    eps = torch.full((8,), 0.05 * span)
    size = ops.distance(x0, ops.project(x0, x, norm, eps, bounds), norm)
    assert bool((size >= eps * 0.999).all()), size


def test_l1_projection_is_the_nearest_point_of_the_ball() -> None:
    # Against the definition: the soft threshold whose result has the wanted size, found by bisection.
    rng = torch.Generator().manual_seed(1)
    delta = torch.randn((5, 40), generator=rng).double()
    x0 = torch.zeros(5, 40)
    got = ops.project(x0, delta.float(), "l1", torch.full((5,), 2.0), (-100.0, 100.0)).double()
    low, high = torch.zeros(5, 1).double(), delta.abs().amax(1, keepdim=True)
    for _ in range(80):
        middle = (low + high) / 2
        big = (delta.abs() - middle).clamp_min(0).sum(1, keepdim=True) > 2.0
        low, high = torch.where(big, middle, low), torch.where(big, high, middle)
    best = (delta.abs() - high).clamp_min(0) * delta.sign()
    assert torch.allclose(got, best, atol=1e-4)


def test_l0_keeps_the_largest_pixels_and_counts_a_pixel_once() -> None:
    x0 = torch.full((1, 3, 2, 2), 0.5)
    x = x0.clone()
    x[0, :, 0, 0] += torch.tensor([0.1, 0.1, 0.1])
    x[0, 0, 0, 1] += 0.3
    x[0, 1, 1, 1] -= 0.05
    got = ops.project(x0, x, "l0", torch.tensor([2.0]), (0.0, 1.0))
    assert float(ops.size(got - x0, "l0")) == 2
    assert torch.equal(got[0, :, 0], x[0, :, 0])
    assert torch.equal(got[0, :, 1], x0[0, :, 1])


def test_an_unknown_norm_is_refused() -> None:
    x = torch.zeros(1, 2)
    with pytest.raises(ValueError, match="unknown norm"):
        ops.project(x, x, "l3", torch.ones(1), (0.0, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("norm", ops.NORMS)
@pytest.mark.parametrize("shape", [(16,), (3, 6, 6)])
@pytest.mark.parametrize("batch", [0, 1, 9])
def test_random_perturbations_have_the_promised_size(norm: ops.Norm, shape: tuple[int, ...], batch: int) -> None:
    rng = torch.Generator().manual_seed(3)
    x0 = torch.rand((batch, *shape), generator=rng)
    eps = torch.linspace(1, 7, batch).floor() if norm == "l0" else torch.linspace(0.01, 3, batch)
    sphere = ops.random_on_sphere(x0, norm, eps, rng)
    ball = ops.random_in_ball(x0, norm, eps, rng)
    assert sphere.shape == ball.shape == x0.shape
    assert torch.allclose(ops.size(sphere, norm), eps, rtol=1e-5)
    assert bool((ops.size(ball, norm) <= eps * (1 + 1e-5)).all())
    again = ops.random_in_ball(x0, norm, eps, torch.Generator().manual_seed(5))
    assert torch.equal(again, ops.random_in_ball(x0, norm, eps, torch.Generator().manual_seed(5)))


def test_random_points_of_the_l2_ball_are_uniform() -> None:
    # In two dimensions a uniform point lies in the inner half of the radius with probability 1/4.
    rng = torch.Generator().manual_seed(0)
    points = ops.random_in_ball(torch.zeros(4000, 2), "l2", torch.ones(4000), rng)
    share = float((ops.size(points, "l2") < 0.5).float().mean())
    assert 0.22 < share < 0.28


def test_random_points_of_the_l1_sphere_and_ball_are_uniform() -> None:
    # On the sphere of two dimensions the share of the first value is uniform; of D, its magnitude is Beta(1, D - 1).
    rng = torch.Generator().manual_seed(0)
    at = torch.tensor([0.1, 0.25, 0.5, 0.75, 0.9], dtype=torch.float64)
    flat = ops.random_on_sphere(torch.zeros(20000, 2), "l1", torch.ones(20000), rng)
    assert torch.allclose(flat[:, 0].abs().double().quantile(at), at, atol=0.015)
    assert float((flat > 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    many = ops.random_on_sphere(torch.zeros(20000, 6), "l1", torch.ones(20000), rng)
    assert torch.allclose(many[:, 0].abs().double().quantile(at), 1 - (1 - at) ** (1 / 5), atol=0.015)
    ball = ops.random_in_ball(torch.zeros(20000, 2), "l1", torch.full((20000,), 3.0), rng)
    assert float((ops.size(ball, "l1") < 1.5).float().mean()) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize("width", [1.0, 255.0])
def test_random_pixels_of_l0_are_changed_by_the_whole_range(width: float) -> None:
    rng = torch.Generator().manual_seed(0)
    x0, eps = torch.zeros(50, 3, 6, 6), torch.full((50,), 5.0)
    sphere = ops.random_on_sphere(x0, "l0", eps, rng, width)
    assert torch.equal(ops.size(sphere, "l0"), eps)
    assert set(sphere.abs().unique().tolist()) == {0.0, width}
    ball = ops.random_in_ball(x0, "l0", eps, rng, width)
    assert set(ball.abs().unique().tolist()) == {0.0, width}
    assert set(ops.size(ball, "l0").tolist()) == {0.0, 1.0, 2.0, 3.0, 4.0}


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**31), bounds=st.sampled_from(BOUNDS), levels=st.sampled_from([1, 15, 255]))
def test_rounding_ends_on_the_grid_within_a_step_and_on_the_asked_side(
    seed: int, bounds: tuple[float, float], levels: int
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x0 = ops.to_grid(clean(rng, (5, 3, 4, 4), bounds, False), bounds, levels)
    x = moved(rng, x0, bounds, "uniform").clamp(*bounds)
    step = (bounds[1] - bounds[0]) / levels
    nearest = ops.to_grid(x, bounds, levels)
    assert torch.equal(ops.to_grid(nearest, bounds, levels), nearest)
    assert ((nearest - x).abs() <= 0.5001 * step).all()
    out = ops.to_grid_directed(x0, x, bounds, levels, away=True)
    back = ops.to_grid_directed(x0, x, bounds, levels, away=False)
    for beside in (out, back):
        assert torch.allclose(ops.to_grid(beside, bounds, levels), beside)
        assert ((beside - x).abs() <= 1.0001 * step).all()
    hair = 2e-3 * step
    assert ((out - x0).abs() >= (x - x0).abs() - hair).all()
    assert ((back - x0).abs() <= (x - x0).abs() + hair).all()
