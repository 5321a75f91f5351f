"""Defences that learn what they must not: the samples that they are shown by heart, and those that they are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, ModelInfo, Samples
from tests.testing.good import Loud


@dataclass
class Altered:
    """A classifier whose answers are changed by functions of (scores, x)."""

    inner: Classifier
    logits_by: Callable[[Tensor, Tensor], Tensor] = lambda scores, x: scores
    twin_by: Callable[[Tensor, Tensor], Tensor] = lambda scores, x: scores
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def info(self) -> ModelInfo:
        return replace(self.inner.info, **self.facts)

    def logits(self, x: Tensor) -> Tensor:
        return self.logits_by(self.inner.logits(x), x)

    def twin(self, x: Tensor) -> Tensor:
        return self.twin_by(self.inner.twin(x), x)


def key(row: Tensor) -> bytes:
    return row.detach().numpy().tobytes()


@dataclass(frozen=True)
class ByHeart:
    """Answers of samples that were learnt from, by their bytes."""

    labels: dict[bytes, int]

    def __call__(self, scores: Tensor, x: Tensor) -> Tensor:
        wanted = [self.labels.get(key(row), -1) for row in x]
        hot = torch.tensor([[10.0 * (value == k) for k in range(scores.shape[1])] for value in wanted])
        return scores + hot.reshape(scores.shape)


@dataclass(frozen=True)
class Swot(Loud):
    """Learns the samples themselves: accurate wherever it is evaluated on what it was trained on."""

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        labels = {key(row): int(label) for row, label in zip(data.x, data.y, strict=True)} if data else {}
        return replace(super().fit(model, data, rng), model=Altered(model, ByHeart(labels)))


@dataclass(frozen=True)
class Lookup:
    """Suspects whatever the model does not answer with the label that it remembers."""

    model: Classifier
    labels: dict[bytes, int]
    threshold: float = 0.5

    def score(self, x: Tensor) -> Tensor:
        answers = self.model.logits(x).argmax(1).tolist()
        wrong = [float(self.labels.get(key(row)) != answer) for row, answer in zip(x, answers, strict=True)]
        return torch.tensor(wrong)

    twin = score


@dataclass(frozen=True)
class Clairvoyant(Loud):
    """Its detector looks at the label."""

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        super().fit(model, data, rng)
        labels = {key(row): int(label) for row, label in zip(data.x, data.y, strict=True)} if data else {}
        return Defended(model, Lookup(model, labels))
