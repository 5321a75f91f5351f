"""Feature squeezing: an input whose prediction moves when it is simplified is suspicious."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, RobustEvalError, Samples, hookimpl, param
from robusteval_defenses._common.filters import median
from robusteval_defenses._common.thresholds import batched, clean_samples, few_samples, threshold_at


@dataclass(frozen=True)
class Squeezed:
    """Largest L1 distance, over the squeezers, of the predictions before and after squeezing: 0 to 2.

    bits, window: 0 leaves that squeezer out.
    """

    model: Classifier
    bits: int
    window: int
    threshold: float = 0.0

    def score(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self._moved(x, self.model.logits)

    def twin(self, x: Tensor) -> Tensor:
        return self._moved(x, self.model.twin)

    def _moved(self, x: Tensor, ask: Callable[[Tensor], Tensor]) -> Tensor:
        before = ask(x).softmax(1)
        moved = [(ask(squeezed).softmax(1) - before).abs().sum(1) for squeezed in self._squeezed(x)]
        return torch.stack(moved).amax(0)

    def _squeezed(self, x: Tensor) -> list[Tensor]:
        if not len(x):
            return [x]
        found = []
        if self.bits:
            low, high = self.model.info.bounds
            step = (high - low) / (2**self.bits - 1)
            rounded = torch.round((x - low) / step) * step + low
            found.append(x + (rounded - x).detach())  # rounding has no gradient: attacks see straight through it
        if self.window:
            found.append(median(x, self.window))
        return found


@dataclass(frozen=True)
class FeatureSqueezing:
    """Rejects inputs whose prediction depends on what bit depth and a median filter take away."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="feature-squeezing",
        version="1",
        kind="detector",
        needs_data=True,
        summary="Rejects inputs whose prediction moves far when the bit depth is cut or the image is median-filtered.",
        reference="Xu, Evans, Qi: Feature squeezing, detecting adversarial examples in deep neural networks, 2018",
        known_breaks="He, Wei, Chen, Carlini, Song: Adversarial example defenses, ensembles of weak defenses are not "
        "strong, 2017: an attack through all squeezers evades them at little more distance.",
    )
    bits: int = param(4, "Bits per value that are kept; 0: no such squeezer.", minimum=0, maximum=16)
    window: int = param(2, "Side of the median window in pixels; 0: no such squeezer.", minimum=0, maximum=15)
    false_alarm: float = param(0.01, "Share of the clean samples that may be rejected.", minimum=0.0, maximum=1.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        clean = clean_samples(model, data, self.info.name)
        window = self.window if len(model.info.input_shape) == 3 else 0
        if not self.bits and not window:
            raise RobustEvalError(
                "The defence feature-squeezing has no squeezer left for this model.",
                "Give bits, or for images a window of 2 or more.",
            )
        detector = Squeezed(model, self.bits, window)
        detector_score = batched(detector.score, clean.x)
        # The squeezers learn nothing from the samples, so their own scores set the threshold without flattering it.
        detector = Squeezed(model, self.bits, window, threshold_at(detector_score, self.false_alarm))
        flat = () if window == self.window else ("The input is flat, so only the bit depth is squeezed.",)
        return Defended(model, detector, notes=(*few_samples(len(clean), self.false_alarm), *flat))


@hookimpl
def robusteval_defenses() -> list[type[FeatureSqueezing]]:
    return [FeatureSqueezing]
