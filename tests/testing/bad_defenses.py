"""Defences that break one promise each (at least that one)."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, ModelInfo, Samples
from robusteval.testing import LinearDetector
from tests.testing.bad_learners import Altered, Clairvoyant, Swot
from tests.testing.bad_steps import Denying, Forgetful, Mumbling
from tests.testing.good import Blurred, Dice, Grey, Loud, RandomGrey


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


def reversed_mean(x: Tensor) -> Tensor:
    """The value of the mean, with its gradient turned round."""
    return 2 * mean(x).detach() - mean(x)


def flat_mean(x: Tensor) -> Tensor:
    """The mean in steps, through which no gradient passes."""
    return torch.round(mean(x) * 4) / 4 + 0 * mean(x)


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


def steps(scores: Tensor, x: Tensor) -> Tensor:
    """Rounded without a way through for gradients."""
    return torch.round(scores * 4) / 4


def away(scores: Tensor, x: Tensor) -> Tensor:
    """The scores, with their gradient turned round."""
    return 2 * scores.detach() - scores


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
class Coarse:
    """A model behind rounded pixels, whose twin rounds them too, so that no gradient passes."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(torch.round(x * 8) / 8)

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(torch.round(x * 8) / 8)


@dataclass(frozen=True)
class Rounding(Grey):
    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Coarse(model))


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
        stranger: Any = model
        stranger.weight.mul_(2)
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


def renamed(plugin: Any, **changes: Any) -> type:
    """The plugin with other facts."""
    return type(plugin.__name__, (plugin,), {"info": replace(plugin.info, **changes)})


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
    "declares itself": [renamed(Grey, version=""), renamed(Grey, name="grey")],
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
    "twin leads the way": [Rounding, wrapped(None, steps), wrapped(None, away)],
    "knows no sample by heart": [Swot, Clairvoyant],
    "can travel": [Rooted],
    "draws as it says": [Undeclared, OneFace, OwnDice, renamed(Grey, stochastic=True)],
    "keeps the box": [Brightener],
    "steps are what it does": [Denying, Mumbling, Forgetful],
    "detects with numbers": [detecting(nan, nan), detecting(mean, mean, float("inf"))],
    "detector has a twin": [
        detecting(mean, lambda x: mean(x) * 3),
        detecting(mean, lambda x: -mean(x)),
        detecting(mean, lambda x: mean(x).detach()),
    ],
    "detector twin leads the way": [detecting(mean, reversed_mean), detecting(flat_mean, flat_mean)],
    "raises few false alarms": [Paranoid],
    "certifies radii": [Braggart],
    "stands behind an adaptive attack": [NanDetected],
}
