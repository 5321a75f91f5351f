"""The gate between the engine and code of others: that gets copies of tensors, and what it answers is looked at.

A module that normalises its input in place, a classifier that writes into one channel, a detector that sorts its
argument: none of them may change the engine's samples, or what the next one sees.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from torch import Generator, Tensor, nn

from robusteval.cage.page import Asking
from robusteval.contracts.classifier import Classifier, Featured, ModelInfo
from robusteval.contracts.plugins import Defended, Detector
from robusteval.contracts.sharing import lent, shared
from robusteval.contracts.training import Learns
from robusteval.errors import ModelError, RobustEvalError

OWN = "robusteval."  # classes of this package keep the rule themselves


class Guarded:
    """A classifier of somebody else's. It is asked about copies; whatever it raises is a ModelError in one sentence."""

    def __init__(self, inner: Classifier) -> None:
        self.inner = inner

    @property
    def info(self) -> ModelInfo:
        """What the classifier says of itself."""
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        """Scores [B, K]. Raises ModelError."""
        return shared(self, "logits", x, lambda images: self._asked(self.inner.logits, images))

    def twin(self, x: Tensor) -> Tensor:
        """Differentiable scores [B, K]. Raises ModelError, and AccessError where there are no gradients."""
        return shared(self, "twin", x, lambda images: self._asked(self.inner.twin, images))

    def _asked(self, ask: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        try:
            with Asking("the classifier", self, len(x)):
                scores = ask(lent(x))
        except (RobustEvalError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # also SystemExit: no model may end the run
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            reason = f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
            raise ModelError(
                f"The model fails on {len(x)} inputs of shape {tuple(x.shape[1:])}: {reason}.", "Mend the classifier."
            ) from error
        expected = (len(x), self.info.classes)
        if not isinstance(scores, Tensor) or tuple(scores.shape) != expected:
            got = tuple(scores.shape) if isinstance(scores, Tensor) else f"a {type(scores).__name__}"
            raise ModelError(
                f"The model answers with {got}, not with scores of shape {expected}.", "Mend the classifier."
            )
        return scores


class _Shows(Guarded):
    """One that also shows its penultimate features."""

    def features(self) -> Classifier:
        """The features, behind the same gate. Raises AccessError where there are none."""
        return Guarded(cast(Featured, self.inner).features())


class _Trains(Guarded):
    """One that knows how its twin is trained."""

    def trainable(self) -> nn.Module:
        """A fresh module of the classifier's own."""
        return cast(Learns, self.inner).trainable()


class _ShowsAndTrains(_Shows, _Trains):
    pass


def guarded(model: Classifier) -> Classifier:
    """A classifier behind the gate, with the abilities that it has; one of this package's own as it is."""
    if isinstance(model, Guarded) or type(model).__module__.startswith(OWN):
        return model
    shows, trains = isinstance(model, Featured), isinstance(model, Learns)
    kind = _ShowsAndTrains if shows and trains else _Shows if shows else _Trains if trains else Guarded
    return kind(model)


@dataclass(frozen=True)
class _Lending:
    """A defended model that is asked about copies; the same copy as its detector, so that both can share one pass."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(lent(x))

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(lent(x))


@dataclass(frozen=True)
class _LendingDetector:
    inner: Detector

    @property
    def threshold(self) -> float:
        return self.inner.threshold

    def score(self, x: Tensor) -> Tensor:
        return self.inner.score(lent(x))

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(lent(x))


def lending(defended: Defended) -> Defended:
    """A defended model all of whose parts are asked about copies, its draws too."""
    detector = None if defended.detector is None else _LendingDetector(defended.detector)
    return replace(
        defended,
        model=_Lending(defended.model),
        detector=detector,
        certify=None if defended.certify is None else _Certify(defended.certify),
        draw=None if defended.draw is None else _Draw(defended.draw),
    )


@dataclass(frozen=True)
class _Certify:
    inner: Callable[[Tensor], Tensor]

    def __call__(self, x: Tensor) -> Tensor:
        return self.inner(lent(x))


@dataclass(frozen=True)
class _Draw:
    inner: Callable[[Generator], Defended]

    def __call__(self, rng: Generator) -> Defended:
        return lending(self.inner(rng))
