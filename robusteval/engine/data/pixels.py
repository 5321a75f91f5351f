"""Pixels onto a model's terms: axes in the canonical order, values in the stated range. Nothing is ever resized."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.data.images import Array
from robusteval.errors import DataError

Range = tuple[float, float]
STORED = "stored"
GREY = "grey of three equal channels"
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
    """images [N, ...] with axes as in info.input_shape, and a note where they were moved; as `order_of` says."""
    order, note = order_of(images.shape[1:], info, layout)
    return ordered(images, order, info.input_shape), note


def ordered(images: Array, order: NDArray[np.int64] | None, shape: tuple[int, ...]) -> Array:
    """images [N, ...] as [N, *shape], each with its values in that order. Raises DataError where a grey model is shown
    colours: of three channels the first is taken, once they are seen to be equal."""
    if order is None:
        return images
    flat = images.reshape(len(images), math.prod(images.shape[1:]))  # said in full, as there may be no images
    first = flat[:, order]
    if flat.shape[1] == 3 * len(order):
        step = 1 if images.shape[-1] == 3 else len(order)
        if any(not np.array_equal(first, flat[:, order + step * number]) for number in (1, 2)):
            raise DataError(
                "The model wants one channel and the images have three that differ.",
                "Give grey images, made of them as the model's own preprocessing does.",
            )
    return first.reshape(len(images), *shape)


def order_of(given: tuple[int, ...], info: ModelInfo, layout: str = "") -> tuple[NDArray[np.int64] | None, str]:
    """For each of the model's inputs the place of the stored value that it takes, None where images of the shape
    `given` are as the model has them, and a note where they are moved.

    (N,H,W), (N,H,W,C), (N,C,H,W) and flat images are told apart by their shape. Raises DataError, with both shapes,
    where no reading fits or several do; `layout` ("NCHW" or "NHWC", stored with the data) decides between those.
    """
    requested = info.input_shape
    readings = _readings(given, requested)
    if layout and len(requested) == 3:  # says nothing about the order in which a flat model was trained
        readings = {name: rearranged for name, rearranged in readings.items() if name in (layout, STORED, GREY)}
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
        return None, ""
    return index, f"images of shape {_shape(given)} read as {name} into {_shape(requested)}"


def _readings(given: tuple[int, ...], requested: tuple[int, ...]) -> dict[str, NDArray[np.int64]]:
    """Every way to read images of one shape into another: for each of the model's inputs, the stored pixel it takes."""
    pixels = np.arange(math.prod(given))
    if len(requested) == 3 and requested[0] == 1 and given in ((*requested[1:], 3), (3, *requested[1:])):
        stored = pixels.reshape(given)
        return {GREY: (stored[..., 0] if given[-1] == 3 else stored[0]).ravel()}
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
    if len(given) == 3 and 4 in (given[0], given[-1]):
        return "The images have four channels: store them without the alpha channel."
    return "Images are never resized here, since that changes what is measured: store them as the model takes them."


def scaled(images: Array, bounds: Range, data_range: Range | None = None) -> tuple[NDArray[np.float32], str]:
    """images as float32 with data_range mapped onto bounds, and a note on that; a fresh array.

    Without data_range, uint8 means 0..255 and floats are taken as already in bounds. data_range may run backwards
    (255,0) for inverted images. Raises DataError for values that are not finite or outside the range.
    """
    scale = scale_of(images.dtype, bounds, data_range)
    pixels, seen = images.astype(np.float32), Seen(scale)
    seen.take(pixels)
    return scale.mapped(pixels), seen.note()


@dataclass(frozen=True)
class Scale:
    """How stored values become a model's. source: those that stand for black and white; stated: whether the user says
    so."""

    dtype: np.dtype[Any]
    source: Range
    bounds: Range
    stated: bool

    def mapped(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """The same array, with its values in bounds."""
        source, bounds = self.source, self.bounds
        if source != bounds:
            pixels -= np.float32(source[0])
            pixels /= np.float32(source[1] - source[0])
            pixels *= np.float32(bounds[1] - bounds[0])
            pixels += np.float32(bounds[0])
        return np.clip(pixels, np.float32(bounds[0]), np.float32(bounds[1]), out=pixels)


@dataclass
class Seen:
    """What stored values were seen to be, a few images at a time. bad: values that are not finite."""

    scale: Scale
    bad: int = 0
    least: float = math.inf
    most: float = -math.inf

    def take(self, pixels: NDArray[np.float32]) -> None:
        """Looks at some more, not mapped yet."""
        self.bad += int(pixels.size - np.isfinite(pixels).sum())
        if not self.bad and pixels.size:
            self.least, self.most = min(self.least, float(pixels.min())), max(self.most, float(pixels.max()))

    @property
    def faulty(self) -> bool:
        """Whether `note` would raise."""
        low, high = self._stated
        slack = ROUNDING * (high - low)
        return bool(self.bad) or self.least < low - slack or self.most > high + slack

    @property
    def _stated(self) -> Range:
        return min(self.scale.source), max(self.scale.source)

    def note(self) -> str:
        """In words, once all were seen. Raises DataError for values that are not finite or outside the range."""
        scale, (low, high), least, most = self.scale, self._stated, self.least, self.most
        if self.bad:
            raise DataError(
                f"{self.bad} pixel values are not finite (NaN, infinite, or too large for float32).",
                "Leave those images out, or mend how they were made.",
            )
        if self.faulty:
            raise DataError(
                f"Pixel values run from {least:.6g} to {most:.6g}, outside the stated {show((low, high))}.",
                _range_hint(least, most, scale.stated),
            )
        overshot = " (rounding beyond the range was clipped)" if least < low or most > high else ""
        how = "stated to be in" if scale.stated else "taken as"
        mapped = f" and mapped onto the model's {show(scale.bounds)}"
        mapped = mapped if scale.source != scale.bounds else ", the model's range"
        return f"{scale.dtype} pixels from {least:.6g} to {most:.6g}, {how} {show(scale.source)}{mapped}{overshot}"


def scale_of(dtype: np.dtype[Any], bounds: Range, data_range: Range | None) -> Scale:
    """What stored values of this type mean. Raises DataError for a range or a type that says nothing."""
    return Scale(dtype, _source_range(dtype, bounds, data_range), bounds, data_range is not None)


def _source_range(dtype: np.dtype[Any], bounds: Range, data_range: Range | None) -> Range:
    if data_range is not None:
        if not all(map(math.isfinite, data_range)) or data_range[0] == data_range[1]:
            raise DataError(
                f"The data's range {flag(data_range)} is not a range.", "Give for instance --data-range 0,255."
            )
        return data_range
    if dtype == np.uint8:
        return (0.0, 255.0)
    if dtype.kind == "f":
        return bounds
    raise DataError(
        f"The images are of type {dtype}, which does not say what black and white are.",
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
