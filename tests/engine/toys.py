"""Small subjects for the engine's tests: classifiers with known distances, and plugins that misbehave."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Defended, DefenseInfo, ModelInfo, Problem, Samples, param, per_sample
from robusteval.contracts.classifier import Classifier
from robusteval.engine.catalogue.catalogue import Catalogue, Entry, discover


@dataclass
class Linear:
    """logits = x W + b on flat inputs; distances to the boundary are known in every norm."""

    weight: Tensor  # [D, K]
    bias: Tensor  # [K]
    info: ModelInfo = field(init=False)

    def __post_init__(self) -> None:
        size, classes = self.weight.shape
        self.info = ModelInfo(
            "linear", "test", f"linear-{float(self.weight.sum()):.6f}", (size,), classes, provider="torch cpu"
        )

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.twin(x)

    def twin(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias

    def smallest(self, x: Tensor, y: Tensor, dual: float) -> Tensor:
        """Distance of each x to the nearest boundary, without the box: [B]. dual: order of the dual norm."""
        scores = self.twin(x.double())
        gap = scores.gather(1, y[:, None]) - scores
        rows = (self.weight.T[y][:, None, :] - self.weight.T[None]).norm(p=dual, dim=2)
        answer: Tensor = (gap / rows.clamp_min(1e-12)).scatter(1, y[:, None], torch.inf).amin(1)
        return answer

    def double(self) -> Linear:
        return Linear(self.weight.double(), self.bias.double())


def linear(size: int = 20, classes: int = 4, seed: int = 0) -> Linear:
    rng = torch.Generator().manual_seed(seed)
    weight = torch.randn(size, classes, generator=rng)
    return Linear(weight, -0.5 * weight.sum(0))  # boundaries pass through the middle of the box


def samples(model: Linear, count: int = 40, seed: int = 1, spread: float = 0.05) -> Samples:
    """Samples near the middle of the box, so that the box does not bind, all classified right."""
    rng = torch.Generator().manual_seed(seed)
    x = 0.5 + spread * torch.randn(count, model.weight.shape[0], generator=rng)
    return Samples(x.clamp(0, 1), model.logits(x).argmax(1), (0.0, 1.0), "toy")


@dataclass(frozen=True)
class Walk:
    """Minimal: walks along the gradient until it wins; wrong when `broken` says so."""

    info: ClassVar[AttackInfo] = AttackInfo("test.walk", "1", ("l2", "linf"), "minimal", "gradient", "toy", "none")
    broken: str = param("", "how it misbehaves")

    def run(self, problem: Problem) -> Tensor:
        if self.broken == "raise":
            raise RuntimeError("this plugin always fails")
        if self.broken == "die":
            os._exit(17)
        if self.broken == "nan":
            return torch.full_like(problem.x, torch.nan)
        if self.broken == "outside":
            return problem.x + 5
        if self.broken == "input":
            return problem.x
        if self.broken == "shape":
            return problem.x[:, :3]
        grad = problem.grad(problem.x, "margin").grad
        step = grad / grad.norm(dim=1, keepdim=True) * 0.02
        x = problem.x.clone()
        for _ in range(200):
            won = problem.won(x)
            if bool(won.all()):
                break
            x = torch.where(per_sample(won, x), x, problem.clip(x + step))
        return x


@dataclass(frozen=True)
class Sign:
    """Fixed: one signed gradient step of the whole budget: optimal on a linear model in linf."""

    info: ClassVar[AttackInfo] = AttackInfo("test.sign", "1", ("linf", "l2"), "fixed", "gradient", "toy", "none")

    def run(self, problem: Problem) -> Tensor:
        return problem.project(
            problem.x + per_sample(problem.budget, problem.x) * problem.grad(problem.x, "margin").grad.sign()
        )


@dataclass(frozen=True)
class Greedy:
    """Declares decision access but asks for gradients."""

    info: ClassVar[AttackInfo] = AttackInfo("test.greedy", "1", ("l2",), "minimal", "decision", "toy", "none")

    def run(self, problem: Problem) -> Tensor:
        return problem.grad(problem.x).grad


@dataclass(frozen=True)
class Nothing:
    """A defence that changes nothing, or cannot be fitted."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.nothing", "1", "preprocessor", False, "toy", "none")
    broken: bool = param(False, "raise in fit")

    def fit(self, model: Classifier, data: Samples | None, rng: torch.Generator) -> Defended:
        if self.broken:
            raise RuntimeError("cannot be fitted")
        return Defended(model)


def catalogue(*plugins: tuple[str, Any]) -> Catalogue:
    """The installed catalogue with these test plugins beside it."""
    rows = tuple(Entry(kind, plugin.info.name, plugin.info.version, "test", "toys", plugin) for kind, plugin in plugins)
    return Catalogue(discover().entries + rows)


TOYS = (("attack", Walk), ("attack", Sign), ("attack", Greedy), ("defense", Nothing))

SUITE = """
name = "toy"
version = "1"
norms = ["l2", "linf"]
samples = 300
probe_samples = 0
[[attack]]
plugin = "test.walk"
[[attack]]
plugin = "test.sign"
search = 8
norms = ["linf"]
[[attack]]
plugin = "noise"
search = 2
[[defense]]
plugin = "test.nothing"
oblivious = ["test.walk", "test.sign"]
adaptive = ["test.walk"]
"""


def entry_point(path: Path, name: str, code: str) -> EntryPoint:
    """An entry point to a module written at path."""
    (path / f"{name}.py").write_text(code)
    return EntryPoint(name, name, "robusteval")
