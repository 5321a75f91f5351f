"""Filters of images in torch: Gaussian and median, with the pixels at the edge repeated outwards."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """Images [B, C, H, W] blurred by a Gaussian of standard deviation sigma pixels, cut off at three of them."""
    weight = taps(sigma).to(x.device, x.dtype)
    reach, channels = len(weight) // 2, x.shape[1]
    x = F.pad(x, (reach, reach, reach, reach), mode="replicate")
    x = F.conv2d(x, weight.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, weight.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)


def taps(sigma: float) -> Tensor:
    """The weights of that Gaussian in one direction, float64 [2 reach + 1]; they add up to 1."""
    reach = max(1, math.ceil(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=torch.float64, device="cpu")
    weight = torch.exp(-(at**2) / (2 * sigma**2))
    return weight / weight.sum()


def median(x: Tensor, size: int) -> Tensor:
    """Images [B, C, H, W] with each pixel replaced by the median of the size x size window that it is the middle of.

    An even size looks one pixel further up and left, and takes the lower of the two middle values. Differentiable
    almost everywhere: the gradient goes to the pixel that is the median.
    """
    before, after = size // 2, (size - 1) // 2
    wide = F.pad(x, (before, after, before, after), mode="replicate")
    windows = wide.unfold(2, size, 1).unfold(3, size, 1)
    return windows.flatten(4).median(dim=4).values
