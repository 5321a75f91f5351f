"""Mirror: left and right change places before the model sees the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, GraphNode, Samples, hookimpl
from robusteval_defenses._common.input_transform import behind, image_shape
from robusteval_defenses._common.steps import selection


@dataclass(frozen=True)
class Mirrored:
    """Images with left and right exchanged."""

    def __call__(self, x: Tensor) -> Tensor:
        return x.flip(3)


@dataclass(frozen=True)
class Mirror:
    """Shows the model the mirror image. Exactly as hard to attack as the model itself, for those who know."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="mirror",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Shows the model the mirror image, in which a perturbation does not lie where it was made for.",
        reference="Guo, Rana, Cisse, van der Maaten: Countering adversarial images using input transformations, 2018 "
        "(the general idea)",
        known_breaks="The mirror image of an adversarial for the mirrored sample: distances are those of the bare "
        "model on mirrored samples.",
    )

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        shape = image_shape(model, self.info.name)
        note = "Left and right of the images are exchanged."
        return behind(model, Mirrored(), note, steps=(GraphNode("input", (), shape), selection(shape, Mirrored(), 0)))


@hookimpl
def robusteval_defenses() -> list[type[Mirror]]:
    return [Mirror]
