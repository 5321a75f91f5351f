"""Gaussian blur: fine structure is smoothed away before the model sees it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, clip, hookimpl, param
from robusteval_defenses._common.filters import gaussian
from robusteval_defenses._common.input_transform import behind, image_shape
from robusteval_defenses._common.steps import gaussian_steps


@dataclass(frozen=True)
class Smoothed:
    """Images blurred by a Gaussian of standard deviation sigma pixels."""

    sigma: float
    bounds: tuple[float, float]

    def __call__(self, x: Tensor) -> Tensor:
        return clip(gaussian(x, self.sigma), self.bounds)  # weights that add up to 1 but for rounding


@dataclass(frozen=True)
class Blur:
    """Blurs images by a Gaussian. It is differentiable, so an attack that knows it needs no trick."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="blur",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Blurs images by a Gaussian, which takes away high frequencies, where many perturbations live.",
        reference="Li, Li: Adversarial examples detection in deep networks with convolutional filter statistics, 2017 "
        "(average filter)",
        known_breaks="Carlini, Wagner: Adversarial examples are not easily detected, 2017: a perturbation made through "
        "the blur is hardly larger.",
    )
    sigma: float = param(0.8, "Standard deviation of the Gaussian, in pixels.", minimum=0.1, maximum=20.0)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        shape, bounds = image_shape(model, self.info.name), model.info.bounds
        note = f"Images are blurred by a Gaussian of {self.sigma:g} pixels."
        steps = gaussian_steps(shape, self.sigma, bounds)
        return behind(model, Smoothed(self.sigma, bounds), note, steps=steps)


@hookimpl
def robusteval_defenses() -> list[type[Blur]]:
    return [Blur]
