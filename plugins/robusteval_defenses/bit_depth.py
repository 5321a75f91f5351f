"""Bit-depth reduction: pixels are rounded to a few levels before the model sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, GraphNode, ModelInfo, Samples, hookimpl, param


@dataclass
class RoundedInput:
    """A classifier behind rounded pixels; its twin lets gradients through as if nothing were rounded."""

    base: Classifier
    bits: int
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.base.logits(self._rounded(x))

    def twin(self, x: Tensor) -> Tensor:
        return self.base.twin(x + (self._rounded(x) - x).detach())

    def _rounded(self, x: Tensor) -> Tensor:
        low, high = self.base.info.bounds
        step = (high - low) / (2**self.bits - 1)
        rounded: Tensor = torch.round((x - low) / step) * step + low
        return rounded


@dataclass(frozen=True)
class BitDepth:
    """Rounds each value to 2^bits levels, evenly spread over the range of the pixels."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="bit-depth",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Rounds pixels to a few levels, which wipes out perturbations smaller than half a level.",
        reference="Xu, Evans, Qi: Feature squeezing, detecting adversarial examples in deep neural networks, 2018; "
        "Guo, Rana, Cisse, van der Maaten: Countering adversarial images using input transformations, 2018",
        known_breaks="Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security, 2018: the "
        "straight-through gradient brings accuracy back to that of the bare model.",
    )
    bits: int = param(4, "Bits per value.", minimum=1, maximum=16)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        defended = RoundedInput(model, self.bits, _described(model.info, self.bits))
        return Defended(defended, steps=_steps(model.info, self.bits))


def _steps(info: ModelInfo, bits: int) -> tuple[GraphNode, ...]:
    """What RoundedInput does, for certifiers."""
    (low, high), shape = info.bounds, info.input_shape
    step = (high - low) / (2**bits - 1)

    def scaled(scale: float, shift: float) -> dict[str, Tensor]:
        values = {"scale": scale, "shift": shift, "size": abs(shift)}
        return {key: torch.full(shape, v, dtype=torch.float64, device="cpu") for key, v in values.items()}

    settings = {"kind": "round", "low": -math.inf, "high": math.inf}
    return (
        GraphNode("input", (), shape),
        GraphNode("scale", (0,), shape, scaled(1 / step, -low / step), {}, "the levels"),
        GraphNode("activation", (1,), shape, {}, settings, "the bit depth"),
        GraphNode("scale", (2,), shape, scaled(step, low), {}, "the pixels"),
    )


def _described(info: ModelInfo, bits: int) -> ModelInfo:
    info = replace(info, notes=(*info.notes, f"Pixels are rounded to {2**bits} levels before the model sees them."))
    if info.gradients != "exact":
        return info
    reason = "Rounded pixels have no gradient; attacks see straight through the rounding."
    return replace(info, gradients="straight-through", gradients_reason=reason, rung="B")


@hookimpl
def robusteval_defenses() -> list[type[BitDepth]]:
    return [BitDepth]
