"""A model whose differentiable passes are done on a device that has no float64, where distances could not be measured.

Apple's mps is such a one. Samples, attacks' own arithmetic, the model's answers and distances stay on the processor, in
the very code and precision of a run there; what goes over is an image batch, and what comes back scores or a gradient.
So nothing that is judged rests on the device: it proposes.
"""

from __future__ import annotations

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from robusteval.contracts.classifier import Classifier, Featured, ModelInfo
from robusteval.contracts.training import Learns
from robusteval.errors import SuiteError

_ALIKE = 1e-2  # of their size, scores and gradients there may differ from those here: what is more is no rounding
_HINT = "Run with --device cpu."


class Carried:
    """A classifier whose twin computes elsewhere, in float32, on a copy of its own; its answers stay here."""

    def __init__(self, inner: Classifier, device: torch.device) -> None:
        self.inner, self.device = inner, device
        self._there: Classifier | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_there": None}

    @property
    def info(self) -> ModelInfo:
        """What the classifier says of itself."""
        return self.inner.info

    def logits(self, x: Tensor) -> Tensor:
        """Scores [B, K], of the classifier here."""
        return self.inner.logits(x)

    def twin(self, x: Tensor) -> Tensor:
        """Differentiable scores [B, K] on x's device, computed elsewhere. Raises AccessError where there are none."""
        if self._there is None:  # weights that move at every question would take longer than the passes
            self._there = copy.deepcopy(self.inner)
        return self._there.twin(x.to(self.device, torch.float32)).to(x.device, x.dtype)


class _Shows(Carried):
    """One that also shows its penultimate features, here."""

    def features(self) -> Classifier:
        """The features. Raises AccessError where there are none."""
        return cast(Featured, self.inner).features()


class _Trains(Carried):
    """One that knows how its twin is trained, here."""

    def trainable(self) -> nn.Module:
        """A fresh module of the classifier's own."""
        return cast(Learns, self.inner).trainable()


class _ShowsAndTrains(_Shows, _Trains):
    pass


def carried(model: Classifier, device: torch.device, x: Tensor) -> Classifier:
    """The classifier with its passes on that device, tried there on some samples x [N, *shape] here, N > 0.

    Raises SuiteError where it has none, where they fail there, or where they are others than here.
    """
    if model.info.gradients == "none":
        raise SuiteError(f"The model gives no gradients, so that nothing of it would be done on {device}.", _HINT)
    shows, trains = isinstance(model, Featured), isinstance(model, Learns)
    kind = _ShowsAndTrains if shows and trains else _Shows if shows else _Trains if trains else Carried
    there = kind(model, device)
    here = _pass(model, x)
    try:
        found = _pass(there, x)
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise SuiteError(
            f"The model's passes fail on {device}: {type(error).__name__}: {lines[0][:200]}.", _HINT
        ) from error
    for what, mine, theirs in zip(("scores", "gradients"), here, found, strict=True):
        gap = float((theirs - mine).norm() / mine.norm().clamp_min(1e-12))
        if not gap <= _ALIKE:
            raise SuiteError(
                f"The model's {what} on {device} differ from the processor's by {gap:.2g} of their size.", _HINT
            )
    return there


def passes_on(model: object, here: torch.device) -> torch.device:
    """Where the differentiable passes of a model over images that lie here are done, whatever the engine has put around
    it."""
    inner = model
    while not isinstance(inner, Carried):
        if not hasattr(inner, "inner"):
            return here
        inner = inner.inner
    return inner.device


def _pass(model: Classifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """(scores, gradients of the lead of each row's best class over the others), in float64."""
    leaf = x.detach().clone().requires_grad_(True)
    with torch.enable_grad():
        scores = model.twin(leaf)
        lead = scores.amax(1) - scores.mean(1)
        (grad,) = torch.autograd.grad(lead.sum(), leaf)
    return scores.detach().double(), grad.double()
