"""The defence under test: what it is fitted to, and what it made of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.plugins import Defended, Defense, DefenseInfo, Detector
from robusteval.contracts.samples import Samples
from robusteval.testing.checks import NotApplicable
from robusteval.testing.facts import built, split
from robusteval.testing.oracles import Rectified, linear
from robusteval.testing.problems import inputs

_REACHES = (0.02, 0.05, 0.1, 0.2)  # of the pixel range, so that a step leaves the plateaus of what is rounded


@dataclass
class Guard:
    """A model that notes whether anybody showed it a value outside its box."""

    inner: Classifier
    outside: list[float] = field(default_factory=list)

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        self._look(x)
        return self.inner.logits(x)

    def twin(self, x: Tensor) -> Tensor:
        self._look(x)
        return self.inner.twin(x)

    def _look(self, x: Tensor) -> None:
        low, high = self.info.bounds
        if x.numel():
            self.outside.append(float(torch.maximum(low - x, x - high).detach().amax()))


@dataclass
class DefenseSubject:
    """A defence, the model that it is fitted to, the samples that it may learn from, and the false alarms it wants."""

    given: object
    base: Classifier | None = None
    data: Samples | None = None
    false_alarms: float = 0.05
    done: list[Defended] = field(default_factory=list)

    @property
    def plugin(self) -> type:
        return split(self.given)[0]

    @property
    def info(self) -> DefenseInfo:
        declared: DefenseInfo = self.plugin.info  # type: ignore[attr-defined]
        return declared

    def make(self) -> Defense:
        made: Defense = built(self.given)
        return made

    def model(self) -> Classifier:
        """The model to defend: the one given, or an image-shaped oracle: linear behind preprocessors, else with
        ReLUs."""
        oracle = linear((3, 8, 8), classes=3)
        return self.base or (oracle if self.info.kind == "preprocessor" else Rectified(oracle))

    def samples(self, batch: int = 8, seed: int = 0) -> Tensor:
        """Clean samples: of the data given, else made for the oracle."""
        if self.data is not None:
            order = torch.randperm(len(self.data), generator=Generator().manual_seed(seed), device="cpu")
            return self.data.x[order[:batch]]
        return inputs(self.model().info, batch, seed, spread=0.3)

    def walk(self, x: Tensor, way: Tensor) -> list[Tensor]:
        """Points some steps of several lengths from x [B, *shape], along the signs of a direction like x."""
        low, high = self.model().info.bounds
        return [(x + reach * (high - low) * way.sign()).clamp(low, high) for reach in _REACHES]

    def learnable(self) -> Samples:
        """What fit may learn from; labelled by the model unless the caller gave data."""
        x = self.samples(600, seed=99)
        info = self.model().info
        return self.data or Samples(x, self.model().logits(x).argmax(1), info.bounds, "kit")

    def fit(self, model: Classifier | None = None, seed: int = 0) -> Defended:
        """A fresh fit."""
        data = self.learnable() if self.info.needs_data else None
        return self.make().fit(model or self.model(), data, Generator().manual_seed(seed))

    def defended(self) -> Defended:
        """What the defence made of the model, with one draw inside if it is random; fitted once."""
        if not self.done:
            self.done.append(self.fit())
        return drawn(self.done[0])

    def detector(self) -> Detector:
        """Its detector; not applicable without one."""
        found = self.defended().detector
        if found is None:
            raise NotApplicable("It has no detector.")
        return found


def drawn(defended: Defended, seed: int = 0) -> Defended:
    """One draw of a random pipeline, itself otherwise."""
    return defended if defended.draw is None else defended.draw(Generator().manual_seed(seed))
