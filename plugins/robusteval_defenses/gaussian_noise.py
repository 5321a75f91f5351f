"""Gaussian noise on the input, drawn afresh for every query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, clip, hookimpl, param
from robusteval_defenses._common.input_transform import behind_random


@dataclass(frozen=True)
class Noise:
    """Adds Gaussian noise and clips to the bounds. sigma: in units of the pixels."""

    sigma: float
    bounds: tuple[float, float]
    seed: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        # One noise for all samples: a sample's answer must not depend on what else is in its batch.
        noise = torch.randn(x.shape[1:], generator=Generator().manual_seed(self.seed), device="cpu")
        return clip(x + self.sigma * noise.to(x.device, x.dtype), self.bounds)


@dataclass(frozen=True)
class GaussianNoise:
    """Adds fresh Gaussian noise to each query, so that no two answers come from quite the same input."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="gaussian-noise",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Adds fresh Gaussian noise to every input, which drowns perturbations that are smaller.",
        reference="Liu, Cheng, Zhang, Hsieh: Towards robust neural networks via random self-ensemble, 2018 (noise at "
        "the input layer)",
        stochastic=True,
        known_breaks="Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security, 2018: the "
        "gradient averaged over draws is that of the model without noise, blurred.",
    )
    sigma: float = param(0.05, "Standard deviation of the noise, as a share of the range.", minimum=0.0, maximum=1.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        low, high = model.info.bounds
        change = Noise(self.sigma * (high - low), (low, high))
        return behind_random(model, change, f"Noise of standard deviation {self.sigma:g} of the range is added.")


@hookimpl
def robusteval_defenses() -> list[type[GaussianNoise]]:
    return [GaussianNoise]
