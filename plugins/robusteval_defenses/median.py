"""Median filter: single odd pixels are voted down by their neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, Samples, hookimpl, param
from robusteval_defenses._common.filters import median
from robusteval_defenses._common.input_transform import behind, image_shape


@dataclass(frozen=True)
class Voted:
    """Images with each pixel replaced by the median of its window."""

    size: int

    def __call__(self, x: Tensor) -> Tensor:
        return median(x, self.size)


@dataclass(frozen=True)
class Median:
    """Replaces each pixel by the median of its window. Its gradient goes to the pixel that is the median."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="median",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Replaces each pixel by the median of its neighbourhood, which wipes out changes of single pixels.",
        reference="Xu, Evans, Qi: Feature squeezing, detecting adversarial examples in deep neural networks, 2018",
        known_breaks="He, Wei, Chen, Carlini, Song: Adversarial example defenses, ensembles of weak defenses are not "
        "strong, 2017.",
    )
    size: int = param(3, "Side of the window, in pixels.", minimum=2, maximum=15)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        image_shape(model, self.info.name)
        note = f"Each pixel is replaced by the median of {self.size} x {self.size} pixels."
        return behind(model, Voted(self.size), note)


@hookimpl
def robusteval_defenses() -> list[type[Median]]:
    return [Median]
