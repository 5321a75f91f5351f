"""Architectures for state dicts in the tests: what a user would name with --arch torch_archs:small."""

from __future__ import annotations

import torch
from torch import nn


def small() -> nn.Module:
    """A little CNN for 1 x 12 x 12."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(400, 5))


def not_a_module() -> int:
    """What a factory must not return."""
    return 3


def fails() -> nn.Module:
    """A factory with a mistake."""
    raise KeyError("depth")


class Noisy(nn.Module):
    """Draws random numbers when asked."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.inner(x + 0.1 * torch.randn_like(x))
        return answer


class Coupled(nn.Module):
    """Subtracts half of the mean of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.inner(x - 0.5 * x.mean(0, keepdim=True))
        return answer


class Outside(nn.Module):
    """Leaves torch on its way, so that nothing can be differentiated."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(self.inner(x).detach().numpy() * 1.0)


class Several(nn.Module):
    """Returns features beside its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = small()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"features": x, "scores": self.inner(x)}


def one_layer() -> nn.Module:
    """A single layer, whose names are those of any other."""
    return nn.Linear(144, 144)


class Tied(nn.Module):
    """Two layers with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(144, 144), nn.Linear(144, 144), nn.Linear(144, 5)
        self.second.weight = self.first.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.last(torch.relu(self.second(torch.relu(self.first(x.flatten(1))))))
        return answer
