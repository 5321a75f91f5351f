"""`Pipeline`: a defended model as an attacker and the judge query it. A detector is one more class."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from robusteval.contracts.plugins import Defended, Detector
from robusteval.contracts.sharing import sharing

_WEIGHT = 0.3  # of the class "rejected" beside the margins, see `with_detector_scale`
_SIGMAS = 2 / 0.6745  # two standard deviations of a normal distribution, in median deviations


@dataclass(frozen=True)
class Pipeline:
    """Scores [B, K], or [B, K + 1] with a detector: the last one is on top exactly where the detector fires.

    `scale` puts the detector's score in units of the logits: it changes no decision, only how evenly losses weigh them.
    """

    defended: Defended
    scale: float = 1.0

    @property
    def classes(self) -> int:
        """Number of scores, the class "rejected" included."""
        return self.defended.model.info.classes + (self.defended.detector is not None)

    @property
    def stochastic(self) -> bool:
        """Whether the answer changes from draw to draw."""
        return self.defended.draw is not None

    def scores(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """The truth, no gradient: [B, *shape] -> [B, K or K + 1]."""
        with torch.no_grad(), sharing():
            logits = self.defended.model.logits(x)
            return self._extend(logits, self.defended.detector.score(x)) if self.defended.detector else logits

    def twin(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """Differentiable scores: [B, *shape] -> [B, K or K + 1]."""
        with sharing():
            logits = self.defended.model.twin(x)
            return self._extend(logits, self.defended.detector.twin(x)) if self.defended.detector else logits

    def draw(self, rng: Generator) -> Pipeline:
        """The pipeline with one fresh draw of its randomness; itself where nothing is random."""
        return self if self.defended.draw is None else replace(self, defended=self.defended.draw(rng))

    def decide(
        self, x: Float[Tensor, " b *shape"]
    ) -> tuple[Int64[Tensor, " b"], Int64[Tensor, " b"], Float[Tensor, " b"] | None]:
        """What users see: (answer, label, detector_score). answer int64 [B]: the predicted class, K where the detector fires,
        -1 where the scores are not finite; label: the class without the detector; detector_score [B]: its score, or None."""
        with torch.no_grad(), sharing():
            logits = self.defended.model.logits(x)
            label = logits.argmax(1)
            label = torch.where(torch.isfinite(logits).all(1), label, torch.full_like(label, -1))
            detector = self.defended.detector
            if detector is None:
                return label, label, None
            detector_score = detector.score(x)
            return torch.where(detector_score > detector.threshold, logits.shape[1], label), label, detector_score

    def with_detector_scale(self, x: Float[Tensor, " b *shape"]) -> Pipeline:
        """The pipeline with a scale at which the detector's spread over x is a part of the spread of the margins.

        Many detectors are most suspicious at the boundary between classes. If the class "rejected" weighed as much there as
        the others, gradients would lead back from it, and attacks would never get to the far side, where the score falls.
        """
        if self.defended.detector is None or len(x) == 0:
            return self
        with torch.no_grad():
            view = self.draw(torch.Generator().manual_seed(0)).defended
            if view.detector is None:
                return self
            top = view.model.logits(x).topk(2, dim=1).values
            detector_score = view.detector.score(x)
            gap = (detector_score - view.detector.threshold).abs().median()
            # a threshold amid the clean samples has a small gap, which says nothing of how far the detector's score goes
            spread = (detector_score - detector_score.median()).abs().median() * _SIGMAS
        scale = _WEIGHT * float((top[:, 0] - top[:, 1]).median() / torch.maximum(gap, spread).clamp_min(1e-6))
        return replace(self, scale=min(max(scale, 1e-3), 1e6))

    def _extend(self, logits: Tensor, detector_score: Tensor) -> Tensor:
        detector: Detector | None = self.defended.detector
        if detector is None:
            return logits
        top = logits.amax(1)
        rejected = top + self.scale * (detector_score - detector.threshold)
        # Large logits swallow a small excess: where the detector fires, lift by one ulp, without touching the gradient.
        swallowed = (detector_score > detector.threshold) & (rejected <= top)
        above = torch.nextafter(top.detach(), torch.full_like(top, torch.inf))
        rejected = torch.where(swallowed, rejected + (above - rejected).detach(), rejected)
        return torch.cat([logits, rejected[:, None]], dim=1)
