"""Two lines about an activation between its bounds, one below it and one above, each with an offset that is proved.

The slopes are chosen; whatever they are, the offset makes the line a bound. Of functions made of straight pieces
f(x) - k x is least at a corner or an end. Of smooth ones it is looked at on a grid of width h: between two points a
function whose second derivative is at most M differs from its chord by at most M h^2 / 8, and one that rises by L at
most from the nearer point by L h / 2.

Rounding to whole numbers is a flight of stairs between x - 1/2 and x + 1/2. From the least number a that it gives to
the largest b, a line below goes through the lower corner (a + 1/2, a), one above through the upper corner (b - 1/2, b),
level or as steep as both ends allow; where a = b both are that number.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from robusteval.api import GraphNode, activation_value, rounded_interval

_GRID = 48
# (largest |f''|, largest |f'|)
_CURVES = {
    "sigmoid": (0.0963, 0.25),
    "tanh": (0.7699, 1.0),
    "erf": (0.9679, 1.1284),
    "gelu": (0.7979, 1.13),
    "silu": (0.5, 1.1),
}
_ROUNDED = 2.0**-44  # of values of these functions in float64


class Lines(NamedTuple):
    """low_slope * x + low_shift <= f(x) <= high_slope * x + high_shift for x in the bounds; [B, n] each. free: where
    any lower slope between `least` and 1 is sound with shift 0 (ReLUs that are not decided)."""

    low_slope: Tensor
    low_shift: Tensor
    high_slope: Tensor
    high_shift: Tensor
    free: Tensor
    least: Tensor


def lines(node: GraphNode, low: Tensor, high: Tensor) -> Lines:
    """The lines of an activation whose input lies between low and high, [B, n]."""
    kind = node.settings["kind"]
    if kind in ("relu", "leaky_relu"):
        return _rectified(node, low, high)
    if kind == "round":
        return _stairs(node, low, high)
    chord = _chord(node, low, high)
    below, above = (chord, chord) if kind != "clip" else _clip_slopes(node, low, high, chord)
    none = torch.zeros_like(low)
    return Lines(
        below,
        least_over(node, below, low, high),
        above,
        -least_over(node, above, low, high, sign=-1.0),
        none.bool(),
        none,
    )


def level(least: Tensor, most: Tensor) -> Lines:
    """The lines of an activation that takes values between these. Where each element is made of one pixel alone a
    linear function has its least value on a box of them, so that no line loses less."""
    none = torch.zeros_like(least)
    return Lines(none, least, none, most, none.bool(), none)


def interval(node: GraphNode, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The least and the largest value between low and high."""
    flat = torch.zeros_like(low)
    if node.settings["kind"] == "round":
        return rounded_interval(node, low, high)
    if node.settings["kind"] in ("relu", "leaky_relu", "clip"):
        return activation_value(node, low), activation_value(node, high)
    return least_over(node, flat, low, high), -least_over(node, flat, low, high, sign=-1.0)


def _rectified(node: GraphNode, low: Tensor, high: Tensor) -> Lines:
    bend = node.tensors["slope"].flatten().expand_as(low) if "slope" in node.tensors else torch.zeros_like(low)
    none, full = torch.zeros_like(low), torch.ones_like(low)
    on, off = low >= 0, high <= 0
    free = ~(on | off)
    chord = (high - bend * low) / torch.where(free, high - low, full)
    decided = torch.where(on, full, bend)
    steep = torch.where(high > -low, full, bend)
    return Lines(
        torch.where(free, steep, decided),
        none,
        torch.where(free, chord, decided),
        torch.where(free, high - chord * high, none),
        free,
        bend,
    )


def _stairs(node: GraphNode, low: Tensor, high: Tensor) -> Lines:
    first, last = rounded_interval(node, low, high)
    rise, middle, none = last - first, (low + high) / 2, torch.zeros_like(low)
    # 1, but for what lies beyond the last stair: there the line ends at the corner on the other side
    below = (rise / (high - first - 0.5).clamp_min(1e-12)).clamp(0.0, 1.0)
    above = (rise / (last - 0.5 - low).clamp_min(1e-12)).clamp(0.0, 1.0)
    below = torch.where((middle > first + 0.5) & (rise > 0), below, none)
    above = torch.where((middle < last - 0.5) & (rise > 0), above, none)
    return Lines(below, first - below * (first + 0.5), above, last - above * (last - 0.5), none.bool(), none)


def _chord(node: GraphNode, low: Tensor, high: Tensor) -> Tensor:
    wide = high - low
    rise = activation_value(node, high) - activation_value(node, low)
    return torch.where(wide > 1e-12, rise / wide.clamp_min(1e-12), 0.0)


def _clip_slopes(node: GraphNode, low: Tensor, high: Tensor, chord: Tensor) -> tuple[Tensor, Tensor]:
    """Through an end and the corner on the other side, which is the tightest line where both corners lie between."""
    first, last = float(node.settings["low"]), float(node.settings["high"])
    wide = (high - low).clamp_min(1e-12)
    below, above = chord, chord
    if math.isfinite(first):
        bent = (low < first) & (high > first)
        onward = (high.clamp_max(last) - first) / (high - first).clamp_min(1e-12)
        level = torch.where(high.clamp_max(last) - first > first - low, onward, torch.zeros_like(onward))
        below = torch.where(bent, level, below)
    if math.isfinite(last):
        bent = (low < last) & (high > last)
        onward = (last - low.clamp_min(first)) / (last - low).clamp_min(1e-12)
        level = torch.where(last - low.clamp_min(first) > high - last, onward, torch.zeros_like(onward))
        above = torch.where(bent, level, above)
    flat = (low >= last) | (high <= first)
    return torch.where(flat, 0.0, below.clamp(0.0, 1.0)), torch.where(flat | (wide <= 1e-12), 0.0, above.clamp(0, 1))


def least_over(node: GraphNode, slope: Tensor, low: Tensor, high: Tensor, sign: float = 1.0) -> Tensor:
    """A lower bound of sign * (f(x) - slope * x) between low and high, [B, n]."""
    kind = node.settings["kind"]
    if kind in _CURVES:
        return _on_grid(node, slope, low, high, sign)
    if kind == "clip":
        corners = [float(node.settings["low"]), float(node.settings["high"])]
        places = [torch.full_like(low, corner) for corner in corners if math.isfinite(corner)]
    else:  # hard_swish: its ends are straight, between them it is a parabola
        places = [torch.full_like(low, -3.0), torch.full_like(low, 3.0), (6 * slope - 3) / 2]
    found = []
    for place in [low, high, *places]:
        x = torch.minimum(torch.maximum(place, low), high)
        value = activation_value(node, x)
        found.append(sign * (value - slope * x) - _ROUNDED * (value.abs() + (slope * x).abs() + x.abs()))
    return torch.stack(found).amin(0)


def _on_grid(node: GraphNode, slope: Tensor, low: Tensor, high: Tensor, sign: float) -> Tensor:
    curve, steep = _CURVES[node.settings["kind"]]
    if node.settings["kind"] == "silu":
        curve *= float(node.settings["rate"])
    share = torch.linspace(0.0, 1.0, _GRID + 1, dtype=torch.float64, device=low.device)
    width = (high - low) / _GRID
    least = torch.full_like(low, torch.inf)
    for part in share:
        x = low + (high - low) * part
        value = activation_value(node, x)
        seen = sign * (value - slope * x) - _ROUNDED * (1 + value.abs() + (slope * x).abs())
        least = torch.minimum(least, seen)
    between = torch.minimum(curve * width.square() / 8, (steep + slope.abs()) * width / 2)
    # a grid whose points are rounded is a hair wider in places
    spread = (steep + slope.abs()) * 2.0**-48 * torch.maximum(low.abs(), high.abs())
    return least - between * (1 + 2.0**-30) - spread
