"""Pixels onto a model's terms: axes in the canonical order, values in the stated range. Nothing is ever resized."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data.npz import Array
from robusteval.errors import DataError

Range = tuple[float, float]
STORED = "stored"
ROUNDING = (
    1e-5  # share of the range by which float32 arithmetic may have overshot it; such values are clipped and noted
)


def show(bounds: Range) -> str:
    """A range for people: 0..255."""
    return f"{bounds[0]:g}..{bounds[1]:g}"


def flag(bounds: Range) -> str:
    """A range as a flag's value: 0,255."""
    return f"{bounds[0]:g},{bounds[1]:g}"


def canonical(images: Array, info: ModelInfo, layout: str = "") -> tuple[Array, str]:
    """images [N, ...] with axes as in info.input_shape, and a note where they were moved.

    (N,H,W), (N,H,W,C), (N,C,H,W) and flat images are told apart by their shape. Raises DataError, with both shapes,
    where no reading fits or several do; `layout` ("NCHW" or "NHWC", stored with the data) decides between those.
    """
    given, requested = images.shape[1:], info.input_shape
    readings = _readings(given, requested)
    if layout and len(requested) == 3:  # says nothing about the order in which a flat model was trained
        readings = {name: rearranged for name, rearranged in readings.items() if name in (layout, STORED)}
    name, index = next(iter(readings.items()), ("", np.arange(0)))
    if not readings:
        raise DataError(
            f"Images of shape {_shape(given)} do not fit the model's input {_shape(requested)}.",
            _shape_hint(given, requested),
        )
    if any(not np.array_equal(index, other) for other in readings.values()):
        raise DataError(
            f"Images of shape {_shape(given)} fit the model's input {_shape(requested)} in several ways: "
            f"{' or '.join(readings)}.",
            "Store them flat, in the order of pixels and channels that the model was trained on."
            if len(requested) == 1
            else "Store layout='NCHW' or layout='NHWC' in the .npz file beside x.",
        )
    if given == requested and np.array_equal(index, np.arange(len(index))):
        return images, ""
    moved = images.reshape(len(images), -1)[:, index].reshape(len(images), *requested)
    return moved, f"images of shape {_shape(given)} read as {name} into {_shape(requested)}"


def _readings(given: tuple[int, ...], requested: tuple[int, ...]) -> dict[str, NDArray[np.int64]]:
    """Every way to read images of one shape into another: for each of the model's inputs, the stored pixel it takes."""
    pixels = np.arange(math.prod(given))
    if len(pixels) != math.prod(requested):
        return {}
    if given == requested and len(requested) != 3:
        return {STORED: pixels}
    if len(requested) == 1 and len(given) == 3 and 1 not in (given[0], given[-1]):
        stored = pixels.reshape(given)
        last, first = np.moveaxis(stored, 0, -1), np.moveaxis(stored, -1, 0)
        return {STORED: pixels, "channels moved last": last.ravel(), "channels moved first": first.ravel()}
    if len(requested) == 1 and len(given) <= 3:
        return {STORED: pixels}
    if len(requested) != 3:
        return {}
    channels, height, width = requested
    if given == (height, width):  # so there is one channel, since the numbers of pixels agree
        return {STORED: pixels}
    found = {}
    if given == requested or len(given) == 1:
        found["NCHW"] = pixels
    if given == (height, width, channels) or len(given) == 1:
        found["NHWC"] = np.moveaxis(pixels.reshape(height, width, channels), -1, 0).ravel()
    return found


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "()"


def _shape_hint(given: tuple[int, ...], requested: tuple[int, ...]) -> str:
    channels = requested[0] if len(requested) == 3 else 0
    if channels == 3 and (len(given) == 2 or 1 in (given[0], given[-1])):
        return "The model wants three channels and the images are grey: give colour images."
    if channels == 1 and len(given) == 3 and 3 in (given[0], given[-1]):
        return "The model wants one channel and the images have three: give grey images."
    if len(given) == 3 and 4 in (given[0], given[-1]):
        return "The images have four channels: store them without the alpha channel."
    return "Images are never resized here, since that changes what is measured: store them as the model takes them."


def scaled(images: Array, bounds: Range, data_range: Range | None = None) -> tuple[NDArray[np.float32], str]:
    """images as float32 with data_range mapped onto bounds, and a note on that; a fresh array.

    Without data_range, uint8 means 0..255 and floats are taken as already in bounds. data_range may run backwards
    (255,0) for inverted images. Raises DataError for values that are not finite or outside the range.
    """
    source = _source_range(images, bounds, data_range)
    pixels = images.astype(np.float32)
    bad = int(pixels.size - np.isfinite(pixels).sum())
    if bad:
        raise DataError(
            f"{bad} pixel values are not finite (NaN, infinite, or too large for float32).",
            "Leave those images out, or mend how they were made.",
        )
    low, high = min(source), max(source)
    least, most = float(pixels.min()), float(pixels.max())
    slack = ROUNDING * (high - low)
    if least < low - slack or most > high + slack:
        raise DataError(
            f"Pixel values run from {least:.6g} to {most:.6g}, outside the stated {show((low, high))}.",
            _range_hint(least, most, data_range is not None),
        )
    overshot = " (rounding beyond the range was clipped)" if least < low or most > high else ""
    if source != bounds:
        pixels -= np.float32(source[0])
        pixels /= np.float32(source[1] - source[0])
        pixels *= np.float32(bounds[1] - bounds[0])
        pixels += np.float32(bounds[0])
    np.clip(pixels, np.float32(bounds[0]), np.float32(bounds[1]), out=pixels)
    how = "stated to be in" if data_range is not None else "taken as"
    mapped = f" and mapped onto the model's {show(bounds)}" if source != bounds else ", the model's range"
    return pixels, f"{images.dtype} pixels from {least:.6g} to {most:.6g}, {how} {show(source)}{mapped}{overshot}"


def _source_range(images: Array, bounds: Range, data_range: Range | None) -> Range:
    """The range that the stored values mean. Raises DataError for a range or a type that says nothing."""
    if data_range is not None:
        if not all(map(math.isfinite, data_range)) or data_range[0] == data_range[1]:
            raise DataError(
                f"The data's range {flag(data_range)} is not a range.", "Give for instance --data-range 0,255."
            )
        return data_range
    if images.dtype == np.uint8:
        return (0.0, 255.0)
    if images.dtype.kind == "f":
        return bounds
    raise DataError(
        f"The images are of type {images.dtype}, which does not say what black and white are.",
        "State it: --data-range 0,255 for bytes, 0,1 for bits, 0,65535 for 16 bits.",
    )


def _range_hint(least: float, most: float, stated: bool) -> str:
    likely: list[Range] = [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (0.0, 65535.0)]
    fitting = next((flag(item) for item in likely if item[0] <= least and most <= item[1]), "")
    if not fitting:
        return (
            "They look standardised (mean subtracted, divided by std): store plain pixels and state --mean and --std "
            "for the model, or state the values of black and white with --data-range LOW,HIGH."
        )
    if stated:
        return f"--data-range {fitting} would hold them."
    return (
        f"If that is how the data are stored, --data-range {fitting} maps them onto the model's range; "
        f"if the model was trained on such values, --range {fitting} says so."
    )
