"""Sizes and images, measured by the auditor's own few lines of numpy: [*shape] in, float64 inside."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def distance_of(before: Array, after: Array, norm: str) -> float:
    """The distance of one sample [*shape] from another in "l0" (changed pixels; of an image [C, H, W] all channels are
    one pixel), "l1", "l2" or "linf". Raises ValueError for another norm."""
    delta = after.astype(np.float64) - before.astype(np.float64)
    flat = np.abs(delta).ravel()
    if norm == "l0":
        return float((delta != 0).any(axis=0).sum() if delta.ndim == 3 else (delta != 0).sum())
    if norm == "l2":
        return float(np.sqrt((flat**2).sum()))
    if norm == "l1":
        return float(flat.sum())
    if norm == "linf":
        return float(flat.max()) if flat.size else 0.0
    raise ValueError(f"unknown norm {norm!r}")


def levels_of(x: Array, bounds: list[float], count: int = 255) -> Array:
    """The level, 0 to count, of the evenly spaced values of the range that is nearest to each value of x, as
    float32."""
    low, high = bounds
    steps = (x.astype(np.float32) - np.float32(low)) / np.float32(high - low) * np.float32(count)
    levels: Array = np.clip(np.round(steps), 0, count)
    return levels


def pixels_of(levels: Array, bounds: list[float], count: int = 255) -> Array:
    """Levels as float32 pixels of the stated range."""
    low, high = bounds
    scaled = levels.astype(np.float32) / np.float32(count) * np.float32(high - low) + np.float32(low)
    pixels: Array = np.clip(scaled, np.float32(low), np.float32(high))
    return pixels


def softmax(scores: Array) -> Array:
    """The shares of each row, float64 [B, K]."""
    raised = np.exp(scores.astype(np.float64) - scores.max(axis=1, keepdims=True).astype(np.float64))
    shares: Array = raised / raised.sum(axis=1, keepdims=True)
    return shares


def off_grid(image: Array, bounds: list[float], count: int) -> bool:
    """Whether some value is none of the count + 1 evenly spaced ones of the range."""
    low, high = bounds
    steps = (image.astype(np.float64) - low) / (high - low) * count
    return bool(np.abs(steps - np.round(steps)).max() > 1e-3 * max(1.0, count / 255))
