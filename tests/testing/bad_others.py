"""Defences, metrics and loaders that break one promise each (at least that one)."""

from __future__ import annotations

import pickle
import random
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import (
    Classifier,
    Defended,
    DefenseInfo,
    LoaderInfo,
    LoadOptions,
    MetricInfo,
    ModelInfo,
    Record,
    Result,
    Samples,
)
from robusteval.record.document import Curve, Point
from robusteval.testing import Linear, LinearDetector, NoGradient, linear
from tests.testing.good import Blurred, Count, Dice, Grey, Loud, Plain, RandomGrey


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


def _grow(scores: Tensor, x: Tensor) -> Tensor:
    x.mul_(0.5)
    return scores


def _dice(scores: Tensor, x: Tensor) -> Tensor:
    return scores + random.random()


def _company(scores: Tensor, x: Tensor) -> Tensor:
    return scores - scores.mean(0) if len(scores) else scores


def _nan_scores(scores: Tensor, x: Tensor) -> Tensor:
    return scores * torch.nan


def _detached(scores: Tensor, x: Tensor) -> Tensor:
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
    "fits without global randomness": [Careless, wrapped(_dice)],
    "fits reproducibly": [Whimsical],
    "leaves the model alone": [Vandal],
    "is honest about data": [Undemanding, Overdemanding],
    "answers with scores": [wrapped(_nan_scores), wrapped(lambda scores, x: scores[:, :2])],
    "keeps the facts": [wrapped(classes=5), wrapped(bounds=(0.0, 2.0))],
    "leaves its input alone": [wrapped(_grow)],
    "answers from the input alone": [wrapped(_company), wrapped(_dice)],
    "has a twin": [wrapped(None, _detached), wrapped(None, _nan_scores), wrapped(gradients="none")],
    "can travel": [Rooted],
    "draws as it says": [Undeclared, OneFace, OwnDice, renamed(Grey, stochastic=True)],
    "keeps the box": [Brightener],
    "detects with numbers": [detecting(nan, nan), detecting(mean, mean, float("inf"))],
    "detector has a twin": [detecting(mean, lambda x: mean(x) * 3), detecting(mean, lambda x: mean(x).detach())],
    "raises few false alarms": [Paranoid],
    "certifies radii": [Braggart],
    "stands behind an adaptive attack": [NanDetected],
}


class Metric(Count):
    def results(self, record: Record) -> list[Result]:
        return list(super().compute(record))


class NotResults(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return ["three"]  # type: ignore[list-item]


class Writer(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        record.cells.pop()
        return self.results(record)


class Dicer(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], value=random.random())]


class Misfit(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], kind="picture")]  # type: ignore[arg-type]


class Endless(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        yield Result("test.count", "c", "curves", "Curve", curves=[Curve("a", [Point(0.0, float("nan"))])])


class Ghostwriter(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], metric="other")]


class Twice(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return self.results(record) * 2


class Optimist(Metric):
    """Divides by the number of finished cells."""

    def compute(self, record: Record) -> Iterable[Result]:
        return [replace(self.results(record)[0], value=1 / len(record.done()))]


class NeedsCells(Metric):
    def compute(self, record: Record) -> Iterable[Result]:
        return self.results(replace(record, cells=[record.cells[0]]))


class Demanding(Metric):
    def __init__(self, level: int) -> None:
        self.level = level


class Unsendable(Metric):
    def __init__(self) -> None:
        self.held = lambda: 0


BAD_METRICS: dict[str, list[type]] = {
    "declares itself": [type("M", (Count,), {"info": MetricInfo("test.count", "1", "", "Nobody, 2000.")})],
    "has defaults": [Demanding],
    "can be pickled": [Unsendable],
    "computes on a full record": [NotResults],
    "leaves the record alone": [Writer],
    "is pure": [Dicer],
    "fits the schema": [Misfit, Endless],
    "has no nan": [Endless],
    "signs its results": [Ghostwriter],
    "names results apart": [Twice],
    "survives failed cells": [Optimist],
    "survives an empty record": [NeedsCells],
}


def loading(change: Callable[[Linear], object]) -> type:
    """A loader whose classifier is changed."""

    class Loading(Plain):
        def load(self, path: Path, options: LoadOptions) -> Any:
            return change(super().load(path, options))

    return Loading


class Gullible(Plain):
    """Makes a model of anything that can be read."""

    def load(self, path: Path, options: LoadOptions) -> Linear:
        return linear(seed=zlib.crc32(path.read_bytes()))


class Imaginative(Plain):
    def load(self, path: Path, options: LoadOptions) -> Linear:
        return super().load(path, options) if path.exists() else linear()


class Tracebacks(Plain):
    def load(self, path: Path, options: LoadOptions) -> Linear:
        pickle.loads(path.read_bytes())
        raise NotADirectoryError


class Reseeding(Plain):
    def load(self, path: Path, options: LoadOptions) -> Linear:
        torch.manual_seed(0)
        return super().load(path, options)


class DemandingLoader(Plain):
    def __init__(self, level: int) -> None:
        self.level = level


class UnsendableLoader(Plain):
    def __init__(self) -> None:
        self.held = lambda: 0


BAD_LOADERS: dict[str, list[type]] = {
    "declares itself": [type("L", (Plain,), {"info": LoaderInfo("", "1", (".plain",), "Reads.")})],
    "has defaults": [DemandingLoader],
    "can be pickled": [UnsendableLoader],
    "names its endings": [type("L", (Plain,), {"info": LoaderInfo("test.plain", "1", ("plain",), "Reads.")})],
    "refuses garbage": [Gullible, Tracebacks],
    "refuses an empty file": [Gullible, Tracebacks],
    "refuses a missing file": [Imaginative, Tracebacks],
    "tells the facts": [loading(lambda model: Altered(model, facts={"sha256": "?"}))],
    "answers with logits": [loading(lambda model: Altered(model, _nan_scores))],
    "has a twin that agrees": [
        loading(lambda model: Altered(model, twin_by=lambda scores, x: scores * 2)),
        loading(lambda model: Altered(NoGradient(model), facts={"gradients": "exact"})),
    ],
    "minds each sample alone": [loading(lambda model: Altered(model, _company))],
    "makes classifiers that travel": [loading(lambda model: Altered(model, lambda scores, x: scores))],
    "leaves global randomness alone": [Reseeding, loading(lambda model: Altered(model, _dice))],
}
