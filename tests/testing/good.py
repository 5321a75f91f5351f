"""Plugins that keep every promise, small enough to be read, and the stems of the bad ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Generator, Tensor

from robusteval.api import (
    AttackInfo,
    Classifier,
    DataError,
    DatasetInfo,
    Defended,
    DefenseInfo,
    LoaderInfo,
    LoadOptions,
    MetricInfo,
    ModelError,
    ModelInfo,
    Problem,
    Record,
    Result,
    Samples,
    Split,
    ascent,
    param,
    per_sample,
)
from robusteval.testing import Linear, LinearDetector, linear


@dataclass(frozen=True)
class Walk:
    """A straight walk along the first gradient, as far as it has to."""

    info: ClassVar[AttackInfo] = AttackInfo(
        "test.walk", "1", ("l2", "linf"), "minimal", "gradient", "Walks along the gradient.", "Nobody, 2000."
    )
    steps: int = param(80, "Steps along the way.", minimum=1)

    def run(self, problem: Problem) -> Tensor:
        lost = problem.won(problem.x)
        best = problem.x.clone()
        direction = ascent(problem.grad(problem.x, "margin").grad, problem.norm)
        reach = (problem.bounds[1] - problem.bounds[0]) * (1.0 if problem.norm == "l2" else 0.4)
        for step in range(1, self.steps + 1):
            x = problem.clip(problem.x + direction * reach * step / self.steps)
            won = problem.won(x)
            best = torch.where(per_sample(won & ~lost, x), x, best)
            lost = lost | won
        return best


@dataclass(frozen=True)
class Step:
    """One step to the edge of the ball."""

    info: ClassVar[AttackInfo] = AttackInfo(
        "test.step", "1", ("l2", "linf"), "fixed", "gradient", "One step.", "Nobody, 2000."
    )

    def run(self, problem: Problem) -> Tensor:
        step = ascent(problem.grad(problem.x, "margin").grad, problem.norm)
        return problem.project(problem.x + step * per_sample(problem.budget, step))


@dataclass(frozen=True)
class Blurred:
    """A model that sees its samples squeezed towards grey."""

    inner: Classifier
    share: float

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(self._squeeze(x))

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(self._squeeze(x))

    def _squeeze(self, x: Tensor) -> Tensor:
        low, high = self.info.bounds
        return ((1 - self.share) * x + self.share * (low + high) / 2).clamp(low, high)


@dataclass(frozen=True)
class Grey:
    info: ClassVar[DefenseInfo] = DefenseInfo(
        "test.grey", "1", "preprocessor", False, "Greys samples.", "Nobody, 2000."
    )
    share: float = param(0.2, "How far towards grey.", minimum=0, maximum=1)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Blurred(model, self.share))


@dataclass(frozen=True)
class Loud:
    """A detector of loud samples."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.loud", "1", "detector", True, "Hears loudness.", "Nobody, 2000.")
    share: float = param(0.05, "False alarms.")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        if data is None:
            raise DataError("The detector needs samples to learn from.", "Give --fit-data.")
        direction = torch.ones(model.info.input_shape) / data.x[0].numel()
        loudness = LinearDetector(direction, 0.0).score(data.x)
        return Defended(model, LinearDetector(direction, float(loudness.quantile(1 - self.share))))


@dataclass(frozen=True)
class Dice:
    """Draws how far towards grey."""

    inner: Classifier

    def __call__(self, rng: Generator) -> Defended:
        return Defended(Blurred(self.inner, float(torch.rand((), generator=rng)) / 2))


@dataclass(frozen=True)
class RandomGrey:
    info: ClassVar[DefenseInfo] = replace(Grey.info, name="test.random-grey", stochastic=True)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Blurred(model, 0.1), draw=Dice(model))


class Count:
    info: ClassVar[MetricInfo] = MetricInfo("test.count", "1", "Counts finished cells.", "Nobody, 2000.")

    def compute(self, record: Record) -> Iterable[Result]:
        yield Result("test.count", "cells", "scalar", "Finished cells", value=float(len(record.done())))


class Plain:
    """Reads the weights of a linear model of eight values, one text line a class."""

    info: ClassVar[LoaderInfo] = LoaderInfo("test.plain", "1", (".plain",), "Reads weights as text.")

    def load(self, path: Path, options: LoadOptions) -> Linear:
        if options.mean or options.std:
            raise ModelError("Weights as text know no --mean and --std.", "Leave them out.")
        try:
            rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines()]
            weight = torch.tensor(rows)
            if weight.shape[1:] != (8,):
                raise ValueError("not eight values a line")
        except (OSError, ValueError, IndexError) as error:
            raise ModelError(f"This is no linear model: {error}.", "Write eight numbers a line.") from None
        return replace(linear((8,), len(weight), options.bounds), weight=weight)


class Stripes:
    """Noise with a bright upper or lower half, made from a seed for each part."""

    info: ClassVar[DatasetInfo] = DatasetInfo("test.stripes", "Grey 4x4 noise, half of it bright.", "CC0-1.0")

    def raw(self, split: Split) -> tuple[Any, Any, Any]:
        labels = np.arange(20) % 2
        images = np.random.default_rng({"test": 0, "fit": 1}[split]).integers(0, 100, (20, 4, 4))
        images[labels == 0, :2] += 100
        images[labels == 1, 2:] += 100
        return images.astype(np.uint8), labels, ("up", "down")
