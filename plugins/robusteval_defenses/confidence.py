"""The plainest detector: what the model is unsure of is suspicious."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param
from robusteval_defenses._common.thresholds import batched, clean_samples, few_samples, threshold_at


@dataclass(frozen=True)
class Unsureness:
    """How unlikely the top class is: the log-odds against it."""

    model: Classifier
    threshold: float

    def score(self, x: Tensor) -> Tensor:
        return _unsure(self.model.logits(x))

    def twin(self, x: Tensor) -> Tensor:
        return _unsure(self.model.twin(x))


def _unsure(scores: Tensor) -> Tensor:
    """log((1 - p) / p) of the top softmax probability p of scores [B, K]: [B]. Logits and log-probabilities give the
    same.

    Orders and decides as 1 - p does, but in units of the scores and without saturating: 1 - p is flat where the model
    is sure or quite unsure, and attacks that know the detector stall there.
    """
    top = scores.argmax(1, keepdim=True)
    others = scores.scatter(1, top, -torch.inf).logsumexp(1)
    return others - scores.gather(1, top).squeeze(1)


@dataclass(frozen=True)
class Confidence:
    """Rejects inputs whose top probability is lower than that of almost all clean samples."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="confidence",
        version="2",
        kind="detector",
        needs_data=True,
        summary="Rejects inputs with a low top probability: the baseline that every other detector must beat.",
        reference="Hendrycks, Gimpel: A baseline for detecting misclassified and out-of-distribution examples in "
        "neural networks, 2017",
        known_breaks="Any attack that goes on past the boundary is more confident than clean samples are.",
    )
    false_alarm: float = param(0.01, "Share of the clean samples that may be rejected.", minimum=0.0, maximum=1.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        clean = clean_samples(model, data, self.info.name)
        detector_score = _unsure(batched(model.logits, clean.x))
        detector = Unsureness(model, threshold_at(detector_score, self.false_alarm))
        return Defended(model, detector, notes=few_samples(len(clean), self.false_alarm))


@hookimpl
def robusteval_defenses() -> list[type[Confidence]]:
    return [Confidence]
