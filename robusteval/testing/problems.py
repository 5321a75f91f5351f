"""Problems about oracles, and a watch on what an attack does with them; and defended pipelines: a random one, and a
detector whose every score is known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Generator, Tensor

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.meter import Meter, Trace
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.problem import Problem, View
from robusteval.ops import Norm


def inputs(info: ModelInfo, batch: int, seed: int = 0, spread: float = 0.1) -> Tensor:
    """Random samples [batch, *shape] round the middle of the box, within `spread` of its range: the box is far."""
    low, high = info.bounds
    noise = torch.rand((batch, *info.input_shape), generator=Generator().manual_seed(seed), device="cpu") * 2 - 1
    return (low + high) / 2 + spread * (high - low) * noise


def safe_labels(y: Tensor, classes: int, rejected: bool = False) -> Tensor:
    """Untargeted: safe is the true class y [B], and the class "rejected" where there is one. bool [B, classes
    (+ 1)]."""
    safe = torch.nn.functional.one_hot(y, classes + rejected).bool()
    if rejected:
        safe[:, -1] = True
    return safe


def safe_all_but(target: Tensor, classes: int, rejected: bool = False) -> Tensor:
    """Targeted: safe is everything but the target [B]. bool [B, classes (+ 1)]."""
    return ~torch.nn.functional.one_hot(target, classes + rejected).bool()


@dataclass(frozen=True)
class Sightings:
    """Samples that really reached the pipeline, by kind of access; counted where no attack can reach."""

    seen: dict[str, int] = field(default_factory=lambda: {"scores": 0, "twin": 0})


@dataclass(frozen=True)
class Watched:
    """A view that counts what passes through it."""

    inner: View
    sightings: Sightings

    def scores(self, x: Tensor) -> Tensor:
        self.sightings.seen["scores"] += len(x)
        return self.inner.scores(x)

    def twin(self, x: Tensor) -> Tensor:
        self.sightings.seen["twin"] += len(x)
        return self.inner.twin(x)

    def draw(self, rng: Generator) -> Watched:
        return Watched(self.inner.draw(rng), self.sightings)


def pose(
    pipeline: Classifier | Defended,
    x: Tensor,
    safe: Tensor,
    norm: Norm,
    *,
    eps: Tensor | float | None = None,
    needs: Literal["gradient", "scores", "decision"] = "gradient",
    seed: int = 0,
    draws: int = 1,
    sightings: Sightings | None = None,
) -> Problem:
    """The problem of x [B, *shape] with safe [B, K] on a bare model or a defended one; eps: one for all, [B] or
    none."""
    defended = pipeline if isinstance(pipeline, Defended) else Defended(pipeline)
    view: View = Pipeline(defended).with_detector_scale(x)
    if sightings is not None:
        view = Watched(view, sightings)
    budget = None if eps is None else torch.as_tensor(eps, dtype=torch.float32, device=x.device).expand(len(x)).clone()
    rng, rows = Generator().manual_seed(seed), torch.arange(len(x), device=x.device)
    bounds = defended.model.info.bounds
    return Problem(x, safe, norm, budget, bounds, rng, needs, view, Meter(len(x)), rows, draws, Trace())


@dataclass(frozen=True)
class Jittered:
    """The inner model on inputs shifted by a fixed offset: one draw of a random pipeline."""

    inner: Classifier
    offset: Tensor

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(x + self.offset)

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(x + self.offset)


@dataclass(frozen=True)
class _Jitter:
    """Draws a shift; a class rather than a closure, so that pipelines can be pickled."""

    inner: Classifier
    sigma: float

    def __call__(self, rng: Generator) -> Defended:
        return Defended(
            Jittered(
                self.inner, self.sigma * torch.randn(self.inner.info.input_shape, generator=rng, device=rng.device)
            )
        )


def jittered(inner: Classifier, sigma: float) -> Defended:
    """A stochastic pipeline: every draw shifts all inputs by Gaussian noise of that deviation."""
    return replace(_Jitter(inner, sigma)(Generator().manual_seed(0)), draw=_Jitter(inner, sigma))


@dataclass(frozen=True)
class LinearDetector:
    """Fires where <direction, x> exceeds the threshold; direction: [*shape]."""

    direction: Tensor
    threshold: float

    def score(self, x: Tensor) -> Tensor:
        return self.twin(x.detach()).detach()

    def twin(self, x: Tensor) -> Tensor:
        return (x.flatten(1) * self.direction.flatten()).sum(1)
