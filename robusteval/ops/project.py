"""Projections on ball and box, and random points of a ball.

Every projection keeps three promises, which the tests check by properties: it never leaves ball and box, it is
idempotent, and it never moves a point that is already inside.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from robusteval.ops.norms import Norm, per_sample, pixel_size, size

# A projected point must measure <= eps in float64. x0 + delta is rounded towards x0 (see `_add`), so only the rounding
# of delta itself is left, which is in proportion to eps.
_ROOM = 1e-6


def clip(x: Float[Tensor, " *shape"], bounds: tuple[float, float]) -> Float[Tensor, " *shape"]:
    """x with every value in [lo, hi]."""
    return x.clamp(bounds[0], bounds[1])


def project(
    x0: Float[Tensor, " b *shape"],
    x: Float[Tensor, " b *shape"],
    norm: Norm,
    eps: Float[Tensor, " b"],
    bounds: tuple[float, float],
) -> Float[Tensor, " b *shape"]:
    """x moved into the ball of radius eps [B] around x0 and into the box; inside points stay bit for bit.

    The box comes first and the ball shrinks towards x0 after it: x0 lies in the box, so the shrunk point does too,
    and none of the budget is lost to the box. Shapes [B, *shape]; raises ValueError for an unknown norm.
    """
    x = clip(x, bounds)
    delta = x - x0
    eps = eps.to(delta.dtype)
    if norm == "linf":
        radius = per_sample(eps, delta)
        moved = _add(x0, delta.clamp(-radius, radius))
        return torch.where(delta.abs() > radius, moved, x)
    if norm == "l2":
        length = size(delta.double(), "l2")
        outside = length > eps
        factor = eps.double() * (1 - _ROOM) / length.clamp_min(1e-300)
        moved = _add(x0, (delta * per_sample(factor, delta)).to(delta.dtype))
    elif norm == "l1":
        outside = size(delta.double(), "l1") > eps
        moved = _add(x0, _shrink_l1(delta, eps.double() * (1 - _ROOM))) if bool(outside.any()) else x
    elif norm == "l0":
        outside = size(delta, "l0") > eps
        moved = torch.where(_largest_pixels(delta, eps), x, x0)
    else:
        raise ValueError(f"unknown norm {norm!r}")
    return torch.where(per_sample(outside, delta), moved, x)


def _add(x0: Tensor, delta: Tensor) -> Tensor:
    """x0 + delta, rounded towards x0: rounded to nearest, a constant image would leave the ball by an ulp a pixel."""
    x = x0 + delta
    return torch.where((x - x0).abs() > delta.abs(), torch.nextafter(x, x0), x)


def _shrink_l1(delta: Tensor, eps: Tensor) -> Tensor:
    """Euclidean projection of each delta on the L1 ball (Duchi et al. 2008): soft threshold by the right amount."""
    flat = delta.flatten(1)
    ordered = flat.abs().sort(dim=1, descending=True).values
    cumulative = ordered.cumsum(1, dtype=torch.float64) - eps[:, None]
    rank = torch.arange(1, flat.shape[1] + 1, device=flat.device, dtype=torch.float64)
    support = (ordered * rank > cumulative).sum(1, keepdim=True).clamp_min(1)
    threshold = (cumulative.gather(1, support - 1) / support).clamp_min(0)
    return ((flat.abs() - threshold).clamp_min(0) * flat.sign()).to(delta.dtype).reshape(delta.shape)


def project_l1_box(
    x0: Float[Tensor, " b *shape"], x: Float[Tensor, " b *shape"], eps: Float[Tensor, " b"], bounds: tuple[float, float]
) -> Float[Tensor, " b *shape"]:
    """The Euclidean projection of x on the intersection of l1 ball (radius eps [B] around x0) and box, exact.

    Box and ball one after the other end inside the ball; the nearest point of both is soft-thresholded, then cut at the
    box, by a threshold at which the cut values sum to eps (Croce & Hein 2021). Shapes [B, *shape].
    """
    delta = (x - x0).flatten(1).double()
    base = x0.flatten(1).double()
    size_, room = delta.abs(), torch.where(delta > 0, bounds[1] - base, base - bounds[0])
    # sum(clamp(size - t, 0, room)) is piecewise linear in t: it starts to grow at size and stops at size - room
    points, order = torch.cat([size_, size_ - room], dim=1).sort(dim=1, descending=True)
    signs = torch.where(order < size_.shape[1], 1.0, -1.0).double()
    slope, height = signs.cumsum(1), (signs * points).cumsum(1)
    length = eps.double()[:, None] * (1 - _ROOM)
    index = ((height - points * slope) < length).sum(1, keepdim=True).sub(1).clamp_min(0)
    threshold = ((height.gather(1, index) - length) / slope.gather(1, index).clamp_min(1)).clamp_min(0)
    cut = torch.minimum((size_ - threshold).clamp_min(0), room) * delta.sign()
    return clip((base + cut).to(x.dtype).reshape(x.shape), bounds)


def _largest_pixels(delta: Tensor, eps: Tensor) -> Tensor:
    """Mask [B, *shape] of the floor(eps) pixels of largest magnitude in each sample."""
    magnitude = pixel_size(delta)
    rank = magnitude.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    kept = rank < eps.floor()[:, None]
    if delta.dim() == 4:
        return kept.reshape(len(delta), 1, *delta.shape[2:]).expand_as(delta)
    return kept.reshape(delta.shape)


def random_on_sphere(
    x0: Float[Tensor, " b *shape"], norm: Norm, eps: Float[Tensor, " b"], rng: Generator, width: float = 1.0
) -> Float[Tensor, " b *shape"]:
    """Random perturbations of size eps [B]: uniform signs for linf; for l2 and l1 uniform on the sphere, by Gaussian
    and by Laplace values; for l0 eps random pixels with random signs, changed by `width`, the pixel range's. [B,
    *shape], on x0's device; the box is not applied."""
    shape, device = x0.shape, x0.device
    if norm == "linf":
        signs = torch.randint(0, 2, shape, generator=rng, device=rng.device).to(device, x0.dtype) * 2 - 1
        return signs * per_sample(eps, x0)
    if norm == "l0":
        order = torch.rand(shape, generator=rng, device=rng.device).to(device)
        signs = torch.randint(0, 2, shape, generator=rng, device=rng.device).to(device, x0.dtype) * 2 - 1
        return torch.where(_largest_pixels(order, eps), width * signs, torch.zeros_like(signs))
    noise = torch.randn(shape, generator=rng, device=rng.device).to(device)
    if norm == "l1":
        # spacings of exponential values are uniform on the simplex, and the sign of each is free
        noise = noise.sign() * -(1 - torch.rand(shape, generator=rng, device=rng.device)).log().to(device)
    return noise / per_sample(size(noise, norm).clamp_min(1e-30), x0) * per_sample(eps, x0)


def random_in_ball(
    x0: Float[Tensor, " b *shape"], norm: Norm, eps: Float[Tensor, " b"], rng: Generator, width: float = 1.0
) -> Float[Tensor, " b *shape"]:
    """Random perturbations inside the ball of radius eps [B]: uniform in it for linf, l2 and l1; for l0 a random number
    of pixels, changed by `width`. [B, *shape]; the box is not applied."""
    if norm == "linf":
        return (torch.rand(x0.shape, generator=rng, device=rng.device).to(x0.device) * 2 - 1) * per_sample(eps, x0)
    radius = torch.rand(len(x0), generator=rng, device=rng.device).to(x0.device)
    if norm in ("l2", "l1"):
        radius = radius ** (1 / max(1, x0[0].numel() if len(x0) else 1))
    return random_on_sphere(x0, norm, eps * radius, rng, width)


def to_grid(x: Float[Tensor, " *shape"], bounds: tuple[float, float], levels: int) -> Float[Tensor, " *shape"]:
    """Each value of x at the nearest of the levels + 1 evenly spaced values from lo to hi, as image files have them."""
    return _from_steps(to_levels(x, bounds, levels), bounds, levels)


def to_levels(x: Float[Tensor, " *shape"], bounds: tuple[float, float], levels: int) -> Float[Tensor, " *shape"]:
    """The number, from 0 to levels, of the grid's value that is nearest to each value of x; as floats."""
    return _steps(x, bounds, levels).round().clamp(0, levels)


def to_grid_directed(
    x0: Float[Tensor, " *shape"], x: Float[Tensor, " *shape"], bounds: tuple[float, float], levels: int, away: bool
) -> Float[Tensor, " *shape"]:
    """x on the grid, each value rounded away from that of x0 or towards it; values that did not move: to the
    nearest."""
    steps, nearest = _steps(x, bounds, levels), _steps(x, bounds, levels).round()
    up = x > x0 if away else x < x0
    directed = torch.where(up, steps.ceil(), steps.floor())
    # A value on the grid is a hair beside it in floating point: it stays.
    stays = (x == x0) | ((steps - nearest).abs() < 1e-3)
    return _from_steps(torch.where(stays, nearest, directed), bounds, levels)


def _steps(x: Tensor, bounds: tuple[float, float], levels: int) -> Tensor:
    return (x - bounds[0]) / (bounds[1] - bounds[0]) * levels


def _from_steps(steps: Tensor, bounds: tuple[float, float], levels: int) -> Tensor:
    return clip(steps.clamp(0, levels) / levels * (bounds[1] - bounds[0]) + bounds[0], bounds)
