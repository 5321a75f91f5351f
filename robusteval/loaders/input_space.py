"""From pixels to what a file wants, in one place: range, mean and standard deviation, layout, whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from robusteval.contracts.classifier import LoadOptions
from robusteval.errors import ModelError
from robusteval.plain import SMALL, memory, size

# Of one input as float32, while it is attacked: the sample, its adversarial, what an attack carries from step to step
# (gradient, momentum, the best so far), float64 for distances, and a model's layers, of which the first are as large.
# Ordinary nets keep far more.
COPIES = 32


@dataclass(frozen=True)
class PixelSpace:
    """The canonical input, float32 [B, *input_shape] with values in `bounds`, and how it becomes the file's own."""

    input_shape: tuple[int, ...]  # (C, H, W) or (D,)
    file_shape: tuple[int, ...]  # what the file takes, without the batch axis
    bounds: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    layout: str = "NCHW"
    whole: tuple[float, float] | None = None  # the file takes integers: where the two bounds go

    @property
    def turned(self) -> bool:
        """Whether the file wants (H, W, C)."""
        return self.layout == "NHWC" and len(self.input_shape) == 3

    @property
    def grid(self) -> tuple[float, float, int] | tuple[()]:
        """(first, last, steps) of the canonical values that become whole numbers; () where the file takes reals, and
        where mean or std differ from channel to channel, so that no one grid holds for all."""
        if self.whole is None or len(set(self.mean)) > 1 or len(set(self.std)) > 1:
            return ()
        (low, high), (first, last) = self.bounds, self.whole
        mean, std = (self.mean or (0.0,))[0], (self.std or (1.0,))[0]
        slope = (last - first) / (high - low) / std  # of whole numbers by canonical values, which start at low
        start = (low - mean) / std if self.mean or self.std else low
        start = (start - low) * (slope * std) + first
        lowest, highest = math.ceil(start - 1e-6), math.floor(start + slope * (high - low) + 1e-6)
        if highest <= lowest:
            return ()
        return low + (lowest - start) / slope, low + (highest - start) / slope, highest - lowest

    def to_file(self, x: Tensor, straight: bool = False) -> Tensor:
        """[B, *input_shape] -> [B, *file_shape], differentiable; integers stay reals, rounded straight-through."""
        if self.mean or self.std:
            x = (x - self._channels(self.mean or (0.0,), x)) / self._channels(self.std or (1.0,), x)
        if self.whole is not None:
            low, high = self.bounds
            first, last = self.whole
            if self.whole != self.bounds:
                x = (x - low) * ((last - first) / (high - low)) + first
            rounded = torch.round(x)
            x = rounded.detach() + (x - x.detach()) if straight else rounded.detach()
        if self.turned:
            x = x.permute(0, 2, 3, 1)
        return x if x.shape[1:] == self.file_shape else x.reshape(x.shape[0], *self.file_shape)

    def _channels(self, values: tuple[float, ...], x: Tensor) -> Tensor:
        tail = [1] * (len(self.input_shape) - 1) if len(self.input_shape) == 3 else []
        return torch.tensor(values, dtype=x.dtype, device=x.device).reshape(-1, *tail)

    def check(self, x: Tensor) -> None:
        """Raises ModelError for a tensor that is not a batch of canonical inputs."""
        if x.dim() != len(self.input_shape) + 1 or tuple(x.shape[1:]) != self.input_shape:
            shown = " x ".join(str(n) for n in self.input_shape)
            raise ModelError(f"The model takes batches of {shown}, not {tuple(x.shape)}.", "Check the data's shape.")


def check_room(input_shape: tuple[int, ...]) -> None:
    """Raises ModelError where one input alone, attacked, would take more memory than there is left."""
    one = 4.0 * math.prod(input_shape)
    left = memory() if COPIES * one > SMALL else None
    if left is not None and COPIES * one > left:
        shown = " x ".join(map(str, input_shape))
        raise ModelError(
            f"One input of {shown} is {size(one)}: a unit of an attack on it would need about {size(COPIES * one)} of "
            f"memory, and {size(left)} are left.",
            "Use a model of smaller inputs, or a machine with more memory.",
        )


def pixel_space(
    options: LoadOptions,
    input_shape: tuple[int, ...],
    file_shape: tuple[int, ...],
    layout: str,
    whole: tuple[float, float] | None = None,
) -> PixelSpace:
    """Checks what the user said about range and normalisation, and that there is room for attacks. Raises
    ModelError."""
    check_room(input_shape)
    low, high = options.bounds
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ModelError(f"The pixel range {low} to {high} is empty.", "Give --range LOW,HIGH with LOW below HIGH.")
    channels = input_shape[0] if len(input_shape) == 3 else 1
    for name, values in (("mean", options.mean), ("std", options.std)):
        if values and len(values) not in (1, channels):
            raise ModelError(
                f"--{name} has {len(values)} values, but the input has {channels} channels.",
                f"Give one value, or {channels}.",
            )
        if not all(math.isfinite(v) for v in values):
            raise ModelError(f"--{name} has a value that is not a finite number.", "Give plain numbers.")
    if any(v <= 0 for v in options.std):
        raise ModelError("--std has a value that is not positive.", "Give the standard deviation of each channel.")
    mean, std = tuple(map(float, options.mean)), tuple(map(float, options.std))
    return PixelSpace(input_shape, file_shape, (float(low), float(high)), mean, std, layout, whole)
