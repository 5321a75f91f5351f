"""Random shift: images are moved by a few pixels, anew for every query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from robusteval.api import Classifier, Defended, DefenseInfo, RobustEvalError, Samples, hookimpl, param
from robusteval_defenses._common.input_transform import behind_random, image_shape


@dataclass(frozen=True)
class Moved:
    """Images moved by up to `reach` whole pixels down and right; what is left open repeats the edge."""

    reach: int
    seed: int = 0

    def __call__(self, x: Tensor) -> Tensor:
        down, right = self.by()
        height, width = x.shape[2:]
        n = self.reach
        wide = F.pad(x, (n, n, n, n), mode="replicate")
        return wide[:, :, n - down : n - down + height, n - right : n - right + width]

    def by(self) -> tuple[int, int]:
        """Pixels down and right, each -reach to reach."""
        rng = Generator().manual_seed(self.seed)
        down, right = (torch.randint(2 * self.reach + 1, (2,), generator=rng, device=rng.device) - self.reach).tolist()
        return down, right


@dataclass(frozen=True)
class Shift:
    """Moves images by a few whole pixels, drawn afresh for every query."""

    info: ClassVar[DefenseInfo] = DefenseInfo(
        name="shift",
        version="1",
        kind="preprocessor",
        needs_data=False,
        summary="Moves images by a few random pixels, so that a perturbation does not lie where it was made for.",
        reference="Xie, Wang, Zhang, Ren, Yuille: Mitigating adversarial effects through randomization, 2018 (random "
        "padding)",
        stochastic=True,
        known_breaks="Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security, 2018: 0 % when "
        "the gradient is averaged over draws.",
    )
    reach: int = param(2, "Pixels that images move at most, in each direction.", minimum=1, maximum=64)

    def fit(self, model: Classifier, data: Samples | None, rng: Generator) -> Defended:
        _, height, width = image_shape(model, self.info.name)
        if self.reach >= min(height, width):
            raise RobustEvalError(
                f"A shift of {self.reach} pixels moves images of {height} x {width} out of sight.",
                "Choose a smaller reach.",
            )
        return behind_random(model, Moved(self.reach), f"Images are moved by up to {self.reach} random pixels.")


@hookimpl
def robusteval_defenses() -> list[type[Shift]]:
    return [Shift]
