"""Activations between bounds: their values, and a line below and one above each, of a slope whose offset is exact.

f(x) - k x is least at an end of the interval, at a corner of f, or where its slope is k, which can be solved for the
kinds here. The places that are solved for are met to a few roundings, where the function is flat; `_AIR` covers that.

Of rounding the lines go through the corners of the outermost stairs, and are as steep as the ends of the interval bear.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.verify.proofs.graph import Array, Node, NotRepeatedError, activation

_AIR = 2.0**-40  # of the sizes of what is subtracted
_LIBRARY = 2.0**-18  # sigmoid and tanh are taken to be computed as closely
_EXACT, _UNIT, _TINY = 2.0**-32, 2.0**-24, 2.0**-140
_FAR = 1e300  # the file has no infinite ends
_RECTIFIED = ("relu", "leaky_relu")


@dataclass(frozen=True)
class Lines:
    """below * x + under <= f(x) <= above * x + over; [n] each. free: where any lower slope between `bend` and 1 is
    sound, through zero."""

    below: Array
    under: Array
    above: Array
    over: Array
    free: NDArray[np.bool_]
    bend: Array


def error_of(node: Node, low: Array, high: Array) -> Array:
    """How far the computed value may be off between low and high, as the certifiers have it."""
    size = np.maximum(np.abs(low), np.abs(high))
    kind = node.settings["kind"]
    if kind == "leaky_relu":
        return np.asarray(size * (4 * _UNIT) + _TINY)
    value = np.maximum(np.abs(activation(node, low)), np.abs(activation(node, high)))
    exact = kind in ("relu", "clip", "round")
    return np.asarray(np.maximum(value, size) * _EXACT if exact else np.maximum(value, 1) * _LIBRARY)


def ends(node: Node, low: Array, high: Array) -> tuple[Array, Array]:
    """The least and the largest value of an activation between low and high, all of which rise; what is rounded at a
    half may become either neighbour."""
    if node.settings["kind"] != "round":
        return activation(node, low), activation(node, high)
    first, last = float(node.settings["low"]), float(node.settings["high"])
    return np.clip(np.ceil(low - 0.5), first, last), np.clip(np.floor(high + 0.5), first, last)


def is_open(node: Node, low: Array, high: Array, behind: bool = False) -> NDArray[np.bool_]:
    """Whether tighter bounds could tell more, [n]. behind: whether it follows an activation value by value, so that
    the bounds of a rounding are open only where they reach beyond its last stairs."""
    if node.settings["kind"] == "round" and behind:
        first, last = float(node.settings["low"]), float(node.settings["high"])
        over = (low < last - 0.5) & (high > last + 0.5)
        return np.asarray(over | ((low < first - 0.5) & (high > first + 0.5)))
    if node.settings["kind"] == "round":
        least, most = ends(node, low, high)
        return np.asarray(most > least)
    return np.asarray((low < 0) & (high > 0) if node.settings["kind"] in _RECTIFIED else high - low > 1e-9)


def lines(node: Node, low: Array, high: Array) -> Lines:
    """The lines of an activation whose input lies between low and high, [n]."""
    if node.settings["kind"] in _RECTIFIED:
        return _rectified(node, low, high)
    if node.settings["kind"] == "round":
        return _stairs(node, low, high)
    wide = np.maximum(high - low, 1e-12)
    chord = np.where(high - low > 1e-12, (activation(node, high) - activation(node, low)) / wide, 0.0)
    below, above = (chord, chord) if node.settings["kind"] != "clip" else _clipped(node, low, high, chord)
    none = np.zeros_like(low)
    return Lines(
        below, _least(node, below, low, high, 1.0), above, -_least(node, above, low, high, -1.0), none > 0, none
    )


def level(least: Array, most: Array) -> Lines:
    """Of an activation with values between these."""
    none = np.zeros_like(least)
    return Lines(none, least, none, most, none > 0, none)


def _stairs(node: Node, low: Array, high: Array) -> Lines:
    a, b = ends(node, low, high)
    steps, middle = b - a, (low + high) / 2
    up = np.where((steps > 0) & (middle > a + 0.5), np.minimum(steps / np.maximum(high - a - 0.5, 1e-12), 1.0), 0.0)
    down = np.where((steps > 0) & (middle < b - 0.5), np.minimum(steps / np.maximum(b - 0.5 - low, 1e-12), 1.0), 0.0)
    none = np.zeros_like(low)
    return Lines(up, a - up * (a + 0.5), down, b - down * (b - 0.5), none > 0, none)


def _rectified(node: Node, low: Array, high: Array) -> Lines:
    free = (low < 0) & (high > 0)
    bend = node.tensors["slope"].reshape(-1) if "slope" in node.tensors else np.zeros_like(low)
    chord = np.where(free, (high - bend * low) / np.where(free, high - low, 1.0), 1.0)
    decided = np.where(low >= 0, 1.0, bend)
    below = np.where(free, np.where(high > -low, 1.0, bend), decided)
    return Lines(
        below,
        np.zeros_like(low),
        np.where(free, chord, decided),
        np.where(free, high - chord * high, 0.0),
        free,
        bend,
    )


def _clipped(node: Node, low: Array, high: Array, chord: Array) -> tuple[Array, Array]:
    """Slopes of the lines through an end and the corner on the other side, or level ones."""
    first, last = max(float(node.settings["low"]), -_FAR), min(float(node.settings["high"]), _FAR)
    rise, fall = np.minimum(high, last) - first, last - np.maximum(low, first)
    onward = rise / np.maximum(high - first, 1e-12)
    below = np.where((low < first) & (high > first), np.where(rise > first - low, onward, 0.0), chord)
    backward = fall / np.maximum(last - low, 1e-12)
    above = np.where((low < last) & (high > last), np.where(fall > high - last, backward, 0.0), chord)
    flat = (low >= last) | (high <= first)
    return np.where(flat, 0.0, np.clip(below, 0, 1)), np.where(flat, 0.0, np.clip(above, 0, 1))


def _least(node: Node, slope: Array, low: Array, high: Array, sign: float) -> Array:
    """A lower bound of sign * (f(x) - slope * x), [n]."""
    found = np.full_like(low, np.inf)
    for place in [low, high, *_places(node, slope)]:
        x = np.clip(place, low, high)
        value = activation(node, x)
        found = np.minimum(found, sign * (value - slope * x) - _AIR * (1 + np.abs(value) + np.abs(slope * x)))
    return found


def _places(node: Node, slope: Array) -> list[Array]:
    """Corners, and where f has this slope."""
    kind = node.settings["kind"]
    if kind == "clip":
        return [np.full_like(slope, float(node.settings[end])) for end in ("low", "high")]
    if kind == "tanh":  # 1 - t^2 = k
        steep = np.sqrt(np.clip(1 - slope, 0.0, 1 - 2.0**-50))
        return [np.arctanh(steep), -np.arctanh(steep)]
    if kind == "sigmoid":  # with t = tanh(x / 2) its slope is (1 - t^2) / 4
        steep = np.sqrt(np.clip(1 - 4 * slope, 0.0, 1 - 2.0**-50))
        return [2 * np.arctanh(steep), -2 * np.arctanh(steep)]
    raise NotRepeatedError(f"The activation {kind!s:.20} is not proved again here.", "")
