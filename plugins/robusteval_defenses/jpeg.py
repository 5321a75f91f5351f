"""JPEG: images are compressed and opened again before the model sees them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from robusteval.api import Classifier, Defended, DefenseInfo, RobustEvalError, Samples, hookimpl, param
from robusteval_defenses._common.input_transform import behind, image_shape


@dataclass(frozen=True)
class Compressed:
    """Grey or colour images after a JPEG file of this quality; rounded to 8 bits on the way in, as a file is."""

    quality: int
    bounds: tuple[float, float]

    def __call__(self, x: Tensor) -> Tensor:
        low, high = self.bounds
        pixels = ((x.detach().double() - low) / (high - low) * 255).round().clamp(0, 255).to(torch.uint8).cpu()
        opened = np.stack([self._through(image) for image in pixels.permute(0, 2, 3, 1).numpy()])
        back = torch.from_numpy(opened).permute(0, 3, 1, 2).double() / 255 * (high - low) + low
        return back.to(x.device, x.dtype).clamp(low, high)

    def _through(self, image: np.ndarray) -> np.ndarray:
        """uint8 [H, W, C] -> uint8 [H, W, C]."""
        file = io.BytesIO()
        Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file)).reshape(image.shape)


@dataclass(frozen=True)
class Jpeg:
    """Compresses images as JPEG files. The twin lets gradients through as if nothing were compressed."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="jpeg",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Compresses images as JPEG files, which drops what the eye does not see.",
        reference="Dziugaite, Ghahramani, Roy: A study of the effect of JPG compression on adversarial images, 2016; "
        "Guo, Rana, Cisse, van der Maaten: Countering adversarial images using input transformations, 2018",
        known_breaks="Shin, Song: JPEG-resistant adversarial images, 2017; Athalye, Carlini, Wagner: Obfuscated "
        "gradients give a false sense of security, 2018: 0 % by the straight-through gradient.",
    )
    quality: int = param(75, "Quality of the file, as Pillow counts it.", minimum=1, maximum=95)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        channels, _, _ = image_shape(model, self.info.name)
        if channels not in (1, 3):
            raise RobustEvalError(
                f"JPEG files hold one or three channels, and this model takes {channels}.",
                "Leave the defence jpeg out for this model.",
            )
        note = f"Images are compressed as JPEG files of quality {self.quality}."
        reason = "JPEG rounds its coefficients; attacks see straight through the compression."
        return behind(model, Compressed(self.quality, model.info.bounds), note, reason)


@hookimpl
def robusteval_defenses() -> list[type[Jpeg]]:
    return [Jpeg]
