"""Defences that break one promise each (at least that one)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import (
    Classifier,
    Defended,
    DefenseInfo,
    ModelInfo,
    Samples,
)
from robusteval.testing import LinearDetector
from tests.testing.good import Blurred, Dice, Grey, Loud, RandomGrey


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


@dataclass
class OddDetector:
    score_by: Callable[[Tensor], Tensor]
    twin_by: Callable[[Tensor], Tensor]
    threshold: float = 1e9

    def score(self, x: Tensor) -> Tensor:
        return self.score_by(x)

    def twin(self, x: Tensor) -> Tensor:
        return self.twin_by(x)


def mean(x: Tensor) -> Tensor:
    return x.flatten(1).mean(1)


def nan(x: Tensor) -> Tensor:
    return mean(x) * torch.nan


def grow(scores: Tensor, x: Tensor) -> Tensor:
    x.mul_(0.5)
    return scores


def dice(scores: Tensor, x: Tensor) -> Tensor:
    return scores + random.random()


def company(scores: Tensor, x: Tensor) -> Tensor:
    return scores - scores.mean(0) if len(scores) else scores


def nan_scores(scores: Tensor, x: Tensor) -> Tensor:
    return scores * torch.nan


def detached(scores: Tensor, x: Tensor) -> Tensor:
    return scores.detach()


def wrapped(logits_by: Any = None, twin_by: Any = None, **facts: object) -> type:
    """A defence that puts an Altered model in front."""
    ways = {name: way for name, way in (("logits_by", logits_by), ("twin_by", twin_by)) if way is not None}

    @dataclass(frozen=True)
    class Wrapped(Grey):
        def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
            return Defended(Altered(model, facts=dict(facts), **ways))

    return Wrapped


def detecting(score: Callable[[Tensor], Tensor], twin: Callable[[Tensor], Tensor], threshold: float = 1e9) -> type:
    """A defence that brings an OddDetector."""

    @dataclass(frozen=True)
    class Detecting(Grey):
        def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
            return Defended(model, OddDetector(score, twin, threshold))

    return Detecting


@dataclass(frozen=True)
class Mute(Grey):
    info: ClassVar[DefenseInfo] = replace(Grey.info, kind="detector")


@dataclass(frozen=True)
class Careless(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        torch.rand(1)
        return super().fit(model, data, rng)


@dataclass(frozen=True)
class Whimsical(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Blurred(model, random.SystemRandom().random()))


@dataclass(frozen=True)
class Vandal(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        model.weight.mul_(2)  # type: ignore[attr-defined]
        return super().fit(model, data, rng)


@dataclass(frozen=True)
class Undemanding(Loud):
    """Needs samples and does not say so."""

    info: ClassVar[DefenseInfo] = replace(Loud.info, needs_data=False)


@dataclass(frozen=True)
class Overdemanding(Grey):
    info: ClassVar[DefenseInfo] = replace(Grey.info, needs_data=True)


@dataclass(frozen=True)
class Rooted(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Altered(model, lambda scores, x: scores))


@dataclass(frozen=True)
class Undeclared(RandomGrey):
    info: ClassVar[DefenseInfo] = Grey.info


@dataclass(frozen=True)
class OneFace(RandomGrey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(model, draw=lambda rng: Defended(model))


@dataclass(frozen=True)
class OwnDice(RandomGrey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        private = Generator().manual_seed(1)
        return Defended(model, draw=lambda rng: Dice(model)(private))


@dataclass(frozen=True)
class Brightener(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        def brighter(scores: Tensor, x: Tensor) -> Tensor:
            return model.logits(x + 0.5)

        return Defended(Altered(model, brighter))


@dataclass(frozen=True)
class Paranoid(Loud):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        super().fit(model, data, rng)
        return Defended(model, LinearDetector(torch.ones(model.info.input_shape), 0.0))


@dataclass(frozen=True)
class Braggart(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(model, certify=lambda x: torch.full((len(x),), -1.0))


@dataclass(frozen=True)
class NanDetected(Grey):
    """No class is on top where the detector's answer is NaN."""

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(model, OddDetector(nan, nan, 0.0))


def key(row: Tensor) -> bytes:
    return row.detach().numpy().tobytes()


@dataclass(frozen=True)
class ByHeart:
    """Answers of samples that were learnt from, by their bytes."""

    labels: dict[bytes, int]

    def __call__(self, scores: Tensor, x: Tensor) -> Tensor:
        wanted = [self.labels.get(key(row), -1) for row in x]
        hot = torch.tensor([[10.0 * (one == k) for k in range(scores.shape[1])] for one in wanted])
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


def renamed(plugin: type, **changes: object) -> type:
    """The plugin with other facts."""
    return type(plugin.__name__, (plugin,), {"info": replace(plugin.info, **changes)})  # type: ignore[attr-defined]


@dataclass
class Thawed:
    info: ClassVar[DefenseInfo] = Grey.info

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(model)


@dataclass(frozen=True)
class Indebted(Grey):
    debt: float = 1.0


@dataclass(frozen=True)
class Needy:
    share: float
    info: ClassVar[DefenseInfo] = Grey.info

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(model)


@dataclass(frozen=True)
class Stuck(Grey):
    held: object = field(default_factory=lambda: lambda: 0, init=False)


BAD_DEFENSES: dict[str, list[type]] = {
    "declares itself": [renamed(Grey, version="")],
    "has defaults": [Needy],
    "describes its parameters": [Indebted],
    "is frozen": [Thawed],
    "can be pickled": [Stuck],
    "declares its kind": [Mute, renamed(Grey, kind="magic")],
    "fits without global randomness": [Careless, wrapped(dice)],
    "fits reproducibly": [Whimsical],
    "leaves the model alone": [Vandal],
    "is honest about data": [Undemanding, Overdemanding],
    "answers with scores": [wrapped(nan_scores), wrapped(lambda scores, x: scores[:, :2])],
    "keeps the facts": [wrapped(classes=5), wrapped(bounds=(0.0, 2.0))],
    "leaves its input alone": [wrapped(grow)],
    "answers from the input alone": [wrapped(company), wrapped(dice)],
    "has a twin": [wrapped(None, detached), wrapped(None, nan_scores), wrapped(gradients="none")],
    "knows no sample by heart": [Swot, Clairvoyant],
    "can travel": [Rooted],
    "draws as it says": [Undeclared, OneFace, OwnDice, renamed(Grey, stochastic=True)],
    "keeps the box": [Brightener],
    "detects with numbers": [detecting(nan, nan), detecting(mean, mean, float("inf"))],
    "detector has a twin": [detecting(mean, lambda x: mean(x) * 3), detecting(mean, lambda x: mean(x).detach())],
    "raises few false alarms": [Paranoid],
    "certifies radii": [Braggart],
    "stands behind an adaptive attack": [NanDetected],
}
