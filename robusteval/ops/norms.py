"""The four norms of a perturbation, per sample."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float, Float64, Shaped
from torch import Tensor

Norm = Literal["l0", "l1", "l2", "linf"]
NORMS: tuple[Norm, ...] = get_args(Norm)


def norm_named(name: str) -> Norm:
    """The norm with that name; ValueError where there is none."""
    for norm in NORMS:
        if norm == name:
            return norm
    raise ValueError(f"unknown norm {name!r}")


def per_sample(values: Shaped[Tensor, " b"], like: Shaped[Tensor, " any *shape"]) -> Shaped[Tensor, " b *ones"]:
    """Values [B] shaped [B, 1, 1, ...] so that they broadcast against `like` [B, *shape]."""
    return values.reshape(-1, *[1] * (like.dim() - 1))


def pixel_size(delta: Float[Tensor, " b *shape"]) -> Float[Tensor, "b p"]:
    """Magnitude of each pixel of delta: the L2 norm over channels for images [B, C, H, W], |delta| otherwise: [B,
    P]."""
    if delta.dim() == 4:
        magnitude: Tensor = torch.linalg.vector_norm(delta, dim=1)
        return magnitude.flatten(1)
    return delta.abs().flatten(1)


def size(delta: Float[Tensor, " b *shape"], norm: Norm) -> Float[Tensor, " b"]:
    """Norm of each sample's perturbation, [B, *shape] -> [B], in delta's own precision.

    l0 counts changed pixels: for images [B, C, H, W] a pixel counts once, whichever of its channels changed.
    Raises ValueError for an unknown norm.
    """
    flat = delta.flatten(1)
    if norm == "linf":
        return flat.abs().amax(1) if flat.shape[1] else flat.new_zeros(len(flat))
    if norm == "l2":
        length: Tensor = torch.linalg.vector_norm(flat, dim=1)
        return length
    if norm == "l1":
        return flat.abs().sum(1)
    if norm == "l0":
        changed = (delta != 0).any(1) if delta.dim() == 4 else delta != 0
        return changed.flatten(1).sum(1).to(delta.dtype)
    raise ValueError(f"unknown norm {norm!r}; one of {', '.join(NORMS)}")


def distance(x0: Float[Tensor, " b *shape"], x: Float[Tensor, " b *shape"], norm: Norm) -> Float64[Tensor, " b"]:
    """Distance of each sample x from its clean x0, measured in float64: [B, *shape] twice -> float64 [B]."""
    return size(x.double() - x0.double(), norm)


def ascent(grad: Float[Tensor, " b *shape"], norm: Norm) -> Float[Tensor, " b *shape"]:
    """Direction of steepest ascent of unit size in the norm, [B, *shape] -> [B, *shape].

    linf: the sign; l2: the normalised gradient; l1 and l0: the one coordinate with the largest gradient, by sign.
    A zero gradient gives zero, never NaN.
    """
    if norm == "linf":
        return grad.sign()
    if norm == "l2":
        # scale first: squares of tiny gradients underflow in float32
        peak = size(grad, "linf").clamp_min(torch.finfo(grad.dtype).tiny)
        scaled = grad / per_sample(peak, grad)
        return scaled / per_sample(size(scaled, "l2").clamp_min(1e-30), grad)
    if norm in ("l1", "l0"):
        flat = grad.flatten(1)
        top = flat.abs().argmax(1, keepdim=True)
        return torch.zeros_like(flat).scatter_(1, top, flat.gather(1, top).sign()).reshape(grad.shape)
    raise ValueError(f"unknown norm {norm!r}; one of {', '.join(NORMS)}")
