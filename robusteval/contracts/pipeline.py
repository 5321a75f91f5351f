"""`Pipeline`: a defended model as an attacker and the judge query it. A detector is one more class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from jaxtyping import Float, Int64
from torch import Generator, Tensor

from robusteval.contracts.plugins import Defended, Detector
from robusteval.contracts.sharing import sharing
from robusteval.ops.batches import Kind, Sizes, in_parts, joined, rows_of

# Draws by which a random pipeline is judged; odd, so that a majority exists. Defences that certify what the judge
# decides have to know it.
JUDGE_DRAWS = 11
T = TypeVar("T")
_WEIGHT = 0.3  # of the class "rejected" beside the margins, see `with_detector_scale`
_SIGMAS = 2 / 0.6745  # two standard deviations of a normal distribution, in median deviations


@dataclass(frozen=True)
class Pipeline:
    """Scores [B, K], or [B, K + 1] with a detector: the last one is on top exactly where the detector fires.

    `scale` puts the detector's score in units of the logits: it changes no decision, only how evenly losses weigh them.
    `sizes`: how many inputs are asked about at once. Where it is random it is not cut, as it draws for the batch that
    it is given: then the model inside it is.
    """

    defended: Defended
    scale: float = 1.0
    sizes: Sizes = field(default_factory=Sizes, compare=False, repr=False)
    drawn: bool = False  # of a random one: this is one draw of it

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

        def ask(some: Tensor) -> Tensor:
            with torch.no_grad(), sharing():
                logits = self.defended.model.logits(some)
                return self._extend(logits, self.defended.detector.score(some)) if self.defended.detector else logits

        return joined(self._parts("truth", x, ask))

    def twin(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, "b k"]:
        """Differentiable scores: [B, *shape] -> [B, K or K + 1]."""

        def ask(some: Tensor) -> Tensor:
            with sharing():
                logits = self.defended.model.twin(some)
                return self._extend(logits, self.defended.detector.twin(some)) if self.defended.detector else logits

        if torch.is_grad_enabled() and x.requires_grad:  # whoever wants gradients cuts before, or the model does
            return ask(x)
        return joined(self._parts("scores", x, ask))

    def draw(self, rng: Generator) -> Pipeline:
        """The pipeline with one fresh draw of its randomness; itself where nothing is random."""
        return self if self.defended.draw is None else replace(self, defended=self.defended.draw(rng), drawn=True)

    def decide(
        self, x: Float[Tensor, " b *shape"]
    ) -> tuple[Int64[Tensor, " b"], Int64[Tensor, " b"], Float[Tensor, " b"] | None]:
        """What users see: (answer, label, detector_score). answer int64 [B]: the predicted class, K where the detector
        fires, -1 where the scores are not finite; label: the class without the detector; detector_score [B]: its score,
        or None."""
        parts = self._parts("truth", x, self._decided)
        if parts[0][2] is None:
            return joined([part[0] for part in parts]), joined([part[1] for part in parts]), None
        score = joined([part[2] for part in parts if part[2] is not None])
        return joined([part[0] for part in parts]), joined([part[1] for part in parts]), score

    def _parts(self, kind: Kind, x: Tensor, ask: Callable[[Tensor], T]) -> list[T]:
        """The answers to x in parts that fit."""
        if self.stochastic or self.drawn:
            return [ask(x)]
        return in_parts(self.sizes, kind, len(x), lambda rows: ask(rows_of(x, rows)))

    def _decided(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
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

        Many detectors are most suspicious at the boundary between classes. If the class "rejected" weighed as much
        there as the others, gradients would lead back from it, and attacks would never get to the far side, where the
        score falls.
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
            # a threshold amid the clean samples has a small gap, which says nothing of how far the detector's score
            # goes
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
