<<<<<<< ours
"""Defended pipelines for the kit: a random one, and a detector whose every score is known. All picklable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.plugins import Defended


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

||||||| base
"""Defended pipelines for the kit: a random one, and a detector whose every score is known. All picklable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.plugins import Defended


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
        return Defended(Jittered(self.inner, self.sigma * torch.randn(self.inner.info.input_shape, generator=rng)))


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

=======

>>>>>>> theirs
