"""Gradient steps on models of the attacker's own, and small networks whose weights come from a given generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import skip_init

from robusteval.api import Problem, ascent, per_sample

_SPARSITY = 0.05  # share of the values that an l1 step moves
_COARSEST = 8  # images are pooled until a side is no longer than this
_BATCH = 64


def climb(problem: Problem, value_of: Callable[[Tensor], Tensor], steps: int, step: float) -> Tensor:
    """Projected steepest ascent of value_of ([B, *shape] -> [B], the attacker's own) inside ball and box.

    step: as a share of the budget. Returns the iterate of largest value of each sample; the oracle is not asked.
    """
    x = problem.x.clone()
    best, best_value = x.clone(), x.new_full((len(x),), -math.inf)
    for number in range(steps + 1):
        leaf = x.detach().requires_grad_(True)
        with torch.enable_grad():
            value = value_of(leaf)
            (grad,) = torch.autograd.grad(value.sum(), leaf)
        better = value.detach() > best_value
        best = torch.where(per_sample(better, x), x, best)
        best_value = torch.where(better, value.detach(), best_value)
        problem.note(surrogate=best_value)
        if number == steps:
            break
        grad = torch.nan_to_num(grad, nan=0.0, posinf=0.0, neginf=0.0)
        if problem.norm == "l0":
            x = problem.project(_fill_pixels(problem, x, grad, (number + 1) / steps))
        else:
            x = problem.project(x + _move(problem, grad) * per_sample(step * problem.budget.to(x.dtype), x))
    return best


def _move(problem: Problem, grad: Tensor) -> Tensor:
    """Direction of unit size in the norm; in l1 the values with the largest gradients share it."""
    if problem.norm != "l1":
        return ascent(grad, problem.norm)
    flat = grad.flatten(1)
    count = max(1, round(_SPARSITY * flat.shape[1]))
    top = flat.abs().topk(count, dim=1).indices
    return torch.zeros_like(flat).scatter_(1, top, flat.gather(1, top).sign() / count).reshape(grad.shape)


def _fill_pixels(problem: Problem, x: Tensor, grad: Tensor, share: float) -> Tensor:
    """x with that share of the l0 budget used: pixels of the largest gain to first order go to an end of the range."""
    low, high = problem.bounds
    gain = grad.abs() * torch.where(grad > 0, high - x, x - low)
    changed = x != problem.x
    if x.dim() == 4:
        gain, changed = gain.sum(1), changed.any(1)
    gain = gain.flatten(1).masked_fill(changed.flatten(1), math.inf)
    count = (problem.budget * share).ceil()
    chosen = gain.argsort(dim=1, descending=True, stable=True).argsort(dim=1) < count[:, None]
    chosen = chosen.reshape(len(x), 1, *x.shape[2:]).expand_as(x) if x.dim() == 4 else chosen.reshape(x.shape)
    extreme = torch.where(grad > 0, torch.full_like(x, high), torch.full_like(x, low))
    return torch.where(chosen & (grad != 0), extreme, x)


def dense(inputs: int, outputs: int, rng: Generator) -> nn.Module:
    """A fully connected layer with He's initialisation from rng; the global generator is not touched."""
    return _seeded(skip_init(nn.Linear, inputs, outputs), inputs, rng)


def conv(inputs: int, outputs: int, rng: Generator) -> nn.Module:
    """A 3x3 convolution that keeps height and width, initialised likewise."""
    return _seeded(skip_init(nn.Conv2d, inputs, outputs, 3, padding=1), 9 * inputs, rng)


def _seeded(layer: nn.Module, fan: int, rng: Generator) -> nn.Module:
    with torch.no_grad():
        for weight in layer.parameters():
            if weight.dim() > 1:
                weight.normal_(0, math.sqrt(2 / fan), generator=rng)
            else:
                weight.zero_()
    return layer


@dataclass(frozen=True)
class Substitute:
    """A small trained network as a function from inputs [B, *shape] in bounds to scores [B, K]."""

    net: nn.Module
    bounds: tuple[float, float]

    def __call__(self, x: Tensor) -> Tensor:
        low, high = self.bounds
        scores: Tensor = self.net((2 * x - low - high) / (high - low))
        return scores

    def labels(self, x: Tensor) -> Tensor:
        """Predicted classes, int64 [B]."""
        with torch.no_grad():
            return self(x).argmax(1)


def small_network(x: Tensor, outputs: int, width: int, rng: Generator) -> nn.Module:
    """For images [B, C, H, W] convolutions with pooling, for other inputs a perceptron; its scores are [B, outputs]."""
    layers: list[nn.Module] = []
    shape = x.shape[1:]
    size = math.prod(shape)
    if len(shape) == 3:
        channels, height, side = shape
        wide = width
        layers += [conv(channels, wide, rng), nn.ReLU()]
        channels = wide
        while min(height, side) > _COARSEST:
            wide = min(2 * channels, 4 * width)
            layers += [nn.MaxPool2d(2), conv(channels, wide, rng), nn.ReLU()]
            channels, height, side = wide, height // 2, side // 2
        size = channels * height * side
    layers += [nn.Flatten(), dense(size, 8 * width, rng), nn.ReLU(), dense(8 * width, outputs, rng)]
    return nn.Sequential(*layers).to(x.device)


def fit(model: Substitute, x: Tensor, labels: Tensor, epochs: int, rate: float, rng: Generator) -> None:
    """Cross-entropy epochs of Adam over x [N, *shape] and labels int64 [N], shuffled by rng."""
    optimiser = torch.optim.Adam(model.net.parameters(), lr=rate)
    with torch.enable_grad():
        for _ in range(epochs):
            order = torch.randperm(len(x), generator=rng, device=rng.device).to(x.device)
            for rows in order.split(_BATCH):
                optimiser.zero_grad()
                loss = nn.functional.cross_entropy(model(x[rows]), labels[rows])
                loss.backward()
                optimiser.step()
