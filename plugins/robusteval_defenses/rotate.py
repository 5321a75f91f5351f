"""Random rotation: images are turned by a few degrees, anew for every query."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, clip, hookimpl, param
from robusteval_defenses._common.input_transform import behind_random, image_shape


def turned(x: Tensor, degrees: float) -> Tensor:
    """Images [B, C, H, W] turned counter-clockwise about their middle, bilinear; what is left open repeats the edge."""
    height, width = x.shape[2:]
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    # affine_grid counts each axis from -1 to 1, so a turn of an oblong image needs its sides
    theta = torch.tensor([[cos, -sin * height / width, 0.0], [sin * width / height, cos, 0.0]], device="cpu")
    grid = F.affine_grid(theta.to(x.device, x.dtype).expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)


@dataclass(frozen=True)
class Turned:
    """Images turned by a random angle of at most `degrees` either way."""

    degrees: float
    bounds: tuple[float, float]
    seed: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        angle = self.degrees * (
            2 * float(torch.rand(1, generator=Generator().manual_seed(self.seed), device="cpu")) - 1
        )
        return clip(turned(x, angle), self.bounds)


@dataclass(frozen=True)
class Rotate:
    """Turns images by a few degrees, drawn afresh for every query."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="rotate",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Turns images by a random angle, so that a perturbation does not lie where it was made for.",
        reference="Tian, Yang, Cai: Detecting adversarial examples through image transformation, 2018",
        stochastic=True,
        known_breaks="Athalye, Engstrom, Ilyas, Kwok: Synthesizing robust adversarial examples, 2018: the gradient "
        "averaged over rotations gives perturbations that survive all of them.",
    )
    degrees: float = param(10.0, "Largest angle either way, in degrees.", minimum=0.0, maximum=180.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        image_shape(model, self.info.name)
        note = f"Images are turned by a random angle of up to {self.degrees:g} degrees."
        return behind_random(model, Turned(self.degrees, model.info.bounds), note)


@hookimpl
def robusteval_defenses() -> list[type[Rotate]]:
    return [Rotate]
