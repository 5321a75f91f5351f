"""Preprocessors whose steps are not what they do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator

from robusteval.api import Classifier, Defended, GraphNode, Samples
from tests.testing.bad_learners import Altered
from tests.testing.good import Blurred, Grey


@dataclass(frozen=True)
class Denying(Grey):
    """Says that it changes nothing."""

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        return Defended(Blurred(model, self.share), steps=(GraphNode("input", (), model.info.input_shape),))


@dataclass(frozen=True)
class Mumbling(Grey):
    """Says that anything may come of a pixel."""

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        shape = model.info.input_shape
        full = torch.ones(shape, dtype=torch.float64)
        tensors = {"scale": full, "shift": full * 0, "size": full * 1e6}
        nodes = (GraphNode("input", (), shape), GraphNode("scale", (0,), shape, tensors))
        return Defended(Blurred(model, self.share), steps=nodes)


@dataclass(frozen=True)
class Forgetful(Grey):
    """Leaves the model's scores as they are in what it says."""

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        doubled = Altered(model, logits_by=lambda scores, x: 2 * scores)
        return Defended(doubled, steps=(GraphNode("input", (), model.info.input_shape),))
