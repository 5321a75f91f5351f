"""Adversarials of the moment, for training: one step or several, in Linf."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from robusteval.api import clip

Bounds = tuple[float, float]


def slope(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The gradient of the cross-entropy by x, [B, *shape]; parameters gather none."""
    leaf = x.detach().requires_grad_(True)
    (grad,) = torch.autograd.grad(F.cross_entropy(net(leaf), y, reduction="sum"), leaf)
    return grad


def fgsm(net: nn.Module, x: Tensor, y: Tensor, eps: float, bounds: Bounds) -> Tensor:
    """One step of eps (in units of the pixels) along the gradient's sign."""
    return clip(x + eps * slope(net, x, y).sign(), bounds)


def pgd(
    net: nn.Module, x: Tensor, y: Tensor, eps: float, bounds: Bounds, steps: int, step: float, rng: Generator
) -> Tensor:
    """Steps of `step` (same units) from a random start, each brought back into the cube of half-width eps."""
    noise = torch.rand(x.shape, generator=rng, device=rng.device).to(x.device, x.dtype)
    found = clip(x + eps * (2 * noise - 1), bounds)
    for _ in range(steps):
        found = found + step * slope(net, found, y).sign()
        found = clip(x + (found - x).clamp(-eps, eps), bounds)
    return found
