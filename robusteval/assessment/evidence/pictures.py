"""Samples as pictures: pixels of 0 to 255, and PNG files of them."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from robusteval.assessment.evidence.shown import pictured


def levels(x: NDArray[np.floating]) -> NDArray[np.uint8] | None:
    """A sample as a picture, [H, W] or [H, W, 3] of 0 to 255; None where it is none. x: of 0 to 1, what is beyond is
    cut."""
    if not pictured(x.shape):
        return None
    side = round(x.size**0.5)
    plane = x.reshape(side, side) if x.ndim == 1 else x[0] if x.shape[0] == 1 else x.transpose(1, 2, 0)
    return np.ascontiguousarray((plane.clip(0, 1) * np.float32(255)).round().astype(np.uint8))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG file of such a picture."""
    from PIL import Image  # `verify` runs without it

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
