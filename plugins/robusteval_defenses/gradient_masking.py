"""Gradient masking, as a demonstration: stairs in the place of ReLUs, so that all gradients are zero."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param
from robusteval_defenses._common.relu import Retrofitted, needs_relu


@dataclass(frozen=True)
class Stairs:
    """The ReLU rounded to multiples of `step`: flat almost everywhere, so its gradient is 0."""

    step: float

    def __call__(self, z: Tensor) -> Tensor:
        return torch.round(torch.relu(z) / self.step) * self.step


@dataclass(frozen=True)
class Ramp:
    """The same values with the gradient of the ReLU: what an attacker who sees the stairs puts in their place."""

    step: float

    def __call__(self, z: Tensor) -> Tensor:
        smooth = torch.relu(z)
        return smooth + (torch.round(smooth / self.step) * self.step - smooth).detach()


@dataclass(frozen=True)
class GradientMasking:
    """Makes a model look robust to gradient attacks without making it robust: the report must not be deceived."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="gradient-masking",
        version="1",
        kind="retrofit",
        needs_data=False,
        summary="Rounds every activation, so that gradients vanish and the model is as easy to fool as before.",
        reference="Papernot, McDaniel, Goodfellow, Jha, Celik, Swami: Practical black-box attacks against machine "
        "learning, 2017; Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security, 2018",
        known_breaks="Any attack that needs no gradient, adversarials of the bare model, and the straight-through "
        "gradient.",
    )
    step: float = param(0.1, "Height of the stairs, in units of the activations.", minimum=1e-6)
    surrogate: bool = param(True, "Whether adaptive attacks are given the straight-through gradient.")

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        count = needs_relu(model, self.info.name)
        note = (
            f"All {count} ReLUs of the differentiable copy are rounded to multiples of {self.step:g}; that copy is "
            "what answers."
        )
        info = replace(model.info, notes=(*model.info.notes, note))
        if not self.surrogate:
            blind = "Adaptive attacks are left with the gradient of the stairs, which is zero: a demonstration."
            return Defended(Retrofitted(model, Stairs(self.step), info), notes=(note, blind))
        reason = "Rounded activations have no gradient; attacks see straight through the rounding."
        info = replace(info, gradients="straight-through", gradients_reason=reason, rung="B")
        return Defended(Retrofitted(model, Stairs(self.step), info, soft=Ramp(self.step)), notes=(note,))


@hookimpl
def robusteval_defenses() -> list[type[GradientMasking]]:
    return [GradientMasking]
