"""JumpReLU: every ReLU lets through only what exceeds a threshold, and that undiminished."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, ModelInfo, Samples, hookimpl, param
from robusteval_defenses._common.input_transform import fresh_seed
from robusteval_defenses._common.relu import Retrofitted, needs_relu
from robusteval_defenses._common.thresholds import batched, clean_samples

_FIXED = 0.0645  # where nobody says otherwise and there is nothing to choose it by
_TRIED = (0.01, 0.02, 0.04, 0.0645, 0.1, 0.15, 0.25, 0.4, 0.6, 1.0, 1.5, 2.5, 4.0)
_REFERENCE = "Erichson, Yao, Mahoney: JumpReLU, a retrofit defense strategy for adversarial attacks, 2019"
_BREAKS = (
    "It moves the boundary by little, and its gradient is exact almost everywhere: an attack that goes through it "
    "needs about the distance that it needs without. What it gains obliviously, it gains as any small change of the "
    "weights does."
)


@dataclass(frozen=True)
class Jump:
    """J(z) = z where z > k, else 0. Its gradient is 1 above k and 0 below."""

    k: float

    def __call__(self, z: Tensor) -> Tensor:
        return z * (z > self.k)


@dataclass(frozen=True)
class JumpReLU:
    """Every ReLU becomes J(z) = z for z > k, else 0: small activations, where perturbations hide, are cut off."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="jumprelu",
        version="1",
        kind="retrofit",
        needs_data=False,
        summary="Every ReLU lets through only what exceeds a threshold k.",
        reference=_REFERENCE,
        known_breaks=_BREAKS,
    )
    k: float | None = param(
        None,
        "Threshold, in units of the activations; without one the largest that costs at most `cost` on the samples to "
        f"learn from, or {_FIXED} where there are none.",
        minimum=0.0,
    )
    cost: float = param(0.01, "Share of right answers that the choice of k may lose.", minimum=0.0, maximum=1.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        k, note = _threshold(model, self.info.name, self.k, self.cost, data)
        info = _described(model, self.info.name, note)
        return Defended(Retrofitted(model, Jump(k), info), notes=(note,))


@dataclass(frozen=True)
class RandomJumpReLU:
    """JumpReLU whose threshold is drawn afresh for every forward pass."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="jumprelu-random",
        version="1",
        kind="retrofit",
        needs_data=False,
        summary="Every ReLU lets through only what exceeds a threshold k, which is drawn for every forward pass.",
        reference=_REFERENCE,
        stochastic=True,
        known_breaks=_BREAKS + " The gradient is averaged over draws.",
    )
    k: float | None = param(
        None, "Middle of the range that the threshold is drawn from; without one as in jumprelu.", minimum=0.0
    )
    spread: float = param(0.5, "Half the width of that range, as a share of k.", minimum=0.0, maximum=1.0)
    cost: float = param(0.01, "Share of right answers that the choice of k may lose.", minimum=0.0, maximum=1.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        k, note = _threshold(model, self.info.name, self.k, self.cost, data)
        info = _described(model, self.info.name, note)
        notes = (
            note,
            f"The threshold of every pass is drawn from {k * (1 - self.spread):g} to {k * (1 + self.spread):g}.",
        )
        one = Retrofitted(model, Jump(k), info)
        return Defended(one, draw=DrawThreshold(one, k, self.spread, notes), notes=notes)


@dataclass(frozen=True)
class DrawThreshold:
    """Gives the pipeline with a fresh threshold; a class, because closures cannot travel to worker processes."""

    model: Retrofitted
    k: float
    spread: float
    notes: tuple[str, ...]

    def __call__(self, rng: Generator) -> Defended:
        share = 2 * float(torch.rand(1, generator=Generator().manual_seed(fresh_seed(rng)), device="cpu")) - 1
        return Defended(replace(self.model, activation=Jump(self.k * (1 + self.spread * share))), notes=self.notes)


def _threshold(model: Classifier, name: str, k: float | None, cost: float, data: Samples | None) -> tuple[float, str]:
    """The threshold, and a sentence on where it comes from."""
    needs_relu(model, name)
    if k is not None:
        return k, f"The threshold k = {k:g} was given."
    if data is None or len(data) == 0:
        return _FIXED, f"The threshold k = {_FIXED:g} is the customary one: there were no samples to choose it by."
    clean = clean_samples(model, data, name)
    best, kept = 0.0, 1.0
    for tried in _TRIED:
        jumping = Retrofitted(model, Jump(tried), model.info)
        right = float((batched(jumping.logits, clean.x).argmax(1) == clean.y.to(clean.x.device)).float().mean())
        if right < 1 - cost:
            break
        best, kept = tried, right
    return best, f"The threshold k = {best:g} was chosen on {len(clean)} samples, of which it keeps {kept:.1%} right."


def _described(model: Classifier, name: str, note: str) -> ModelInfo:
    info = model.info
    sentence = (
        f"The defence {name} answers by the differentiable copy of the model, in which it replaces every ReLU. {note}"
    )
    return replace(info, notes=(*info.notes, sentence))


@hookimpl
def robusteval_defenses() -> list[type[JumpReLU | RandomJumpReLU]]:
    return [JumpReLU, RandomJumpReLU]
