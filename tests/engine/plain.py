"""Subjects whose answers are a rule that a test writes down, so that what is found has a closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Generator, Tensor

from robusteval.api import Defended, ModelInfo, Norm
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Threat
from robusteval.engine.seeding import generator

Rule = Callable[[Tensor], Tensor]  # x [B, *shape] -> int64 [B], -1 where the scores shall not be finite


@dataclass
class Ruled:
    """A model that answers by a rule."""

    rule: Rule
    classes: int = 2
    info: ModelInfo = field(init=False)

    def __post_init__(self) -> None:
        self.info = ModelInfo("ruled", "test", "ruled", (1,), self.classes, provider="torch cpu")

    def logits(self, x: Tensor) -> Tensor:
        answer = self.rule(x)
        scores = torch.nn.functional.one_hot(answer.clamp_min(0), self.classes).double()
        return torch.where((answer < 0)[:, None], torch.nan, scores)

    twin = logits


@dataclass
class Suspects:
    """A detector by a rule: x [B, *shape] -> [B]."""

    rule: Rule
    threshold: float = 0.5

    def score(self, x: Tensor) -> Tensor:
        return self.rule(x)

    twin = score


def pipeline(rule: Rule, classes: int = 2, suspicion: Rule | None = None) -> Pipeline:
    """A pipeline that answers by a rule, behind a detector where there is a rule of suspicion."""
    return Pipeline(Defended(Ruled(rule, classes), Suspects(suspicion) if suspicion else None))


def beyond(*bars: float) -> Rule:
    """Class 1 where the first value is above the sample's bar; all samples have the last one where there are too few.

    Samples are told apart by their second value, 0, 1, 2 ... tenths.
    """

    def rule(x: Tensor) -> Tensor:
        flat = x.flatten(1)
        place = (flat[:, 1] * 10).round().long().clamp(0, len(bars) - 1) if flat.shape[1] > 1 else 0
        return (flat[:, 0].double() > torch.tensor(bars, dtype=torch.float64)[place]).long()

    return rule


def random_pipeline(
    rules: list[Rule], classes: int = 2, suspicions: list[Rule] | None = None
) -> tuple[Pipeline, list[int]]:
    """A pipeline whose draws take these rules in turn, from the first one again after the last; and its draws so
    far."""
    drawn: list[int] = []

    def draw(rng: Generator) -> Defended:
        assert isinstance(rng, Generator)
        place = len(drawn) % len(rules)
        drawn.append(place)
        return Defended(Ruled(rules[place], classes), Suspects(suspicions[place]) if suspicions else None)

    first = Defended(Ruled(rules[0], classes), Suspects(suspicions[0]) if suspicions else None, draw=draw)
    return Pipeline(first), drawn


def line(count: int = 1, at: float = 0.0, width: int = 1) -> Tensor:
    """[B, width]: the first value is `at`, the second tells samples apart."""
    x = torch.full((count, width), at, dtype=torch.float64)
    if width > 1:
        x[:, 1] = torch.arange(count) / 10
    return x


def sweep_of(
    rule: Rule,
    x0: Tensor,
    norm: Norm = "l2",
    bounds: tuple[float, float] = (0.0, 1.0),
    levels: int = 0,
    settle: Any = None,
    subject: Any = None,
    suspicion: Any = None,
) -> Sweep:
    one = subject or pipeline(rule, suspicion=suspicion)
    safe = torch.zeros(len(x0), one.classes, dtype=torch.bool)
    safe[:, 0] = True
    safe[:, 2:] = True
    return Sweep(one, x0, Threat(safe, norm, bounds, levels), generator(0, "s"), Meter(len(x0)), settle)


def pulled(bar: float, far: float) -> float:
    """Where ten halvings between 0 and far end: the first of 1,024 equal steps beyond the bar."""
    steps = math.floor(bar / far * 1024) + 1
    return steps / 1024 * far
