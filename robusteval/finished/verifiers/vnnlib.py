"""One question as VNN-LIB, the form of the Verification of Neural Networks Competition (vnnlib.org, version 1).

The assertions describe what would refute robustness: an input in the box whose label is not ahead of all other classes.
So "unsat" is a proof, and "sat" comes with a counterexample.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.runtime.answers import Runtime

Array = NDArray[Any]


def text(low: Array, high: Array, label: int, classes: int) -> str:
    """The file's text. low, high: the box in the file's own numbers, in its order; a rival that is level refutes."""
    lows, highs = low.reshape(-1), high.reshape(-1)
    lines = [f"(declare-const X_{place} Real)" for place in range(lows.size)]
    lines += [f"(declare-const Y_{place} Real)" for place in range(classes)]
    for place, (least, most) in enumerate(zip(lows, highs, strict=True)):
        lines += [f"(assert (>= X_{place} {_number(least)}))", f"(assert (<= X_{place} {_number(most)}))"]
    rivals = [f"    (and (>= Y_{rival} Y_{label}))" for rival in range(classes) if rival != label]
    return "\n".join([*lines, "(assert (or", *rivals, "))"]) + "\n"


def box(model: Runtime, x: Array, eps: float) -> tuple[Array, Array]:
    """(low, high) of the ball within eps of x [*shape] in Linf, cut by the pixel range, in the file's own numbers.

    The file's numbers rise with the pixels, in real numbers and rounded ones alike. Both ends are rounded outward, so
    that no image of the ball is left out.
    """
    least, most = model.reading.bounds
    exact = x.astype(np.float64)
    low, high = np.maximum(_down(exact - eps), least), np.minimum(_up(exact + eps), most)
    if model.reading.type == "tensor(float)":
        low, high = -_single(-low), _single(high)
    low, high = model.feed(low[None])[0], model.feed(high[None])[0]
    if model.reading.mean or model.reading.std:  # pixels between those of float32, before two roundings
        low, high = _down(_down(low)), _up(_up(high))
    return low, high


def _single(values: Array) -> Array:
    """The next float32 that is not below each value."""
    near = values.astype(np.float32)
    return np.where(near < values, _up(near), near)


def _up(values: Array) -> Array:
    return np.asarray(np.nextafter(values, values.dtype.type(np.inf)))


def _down(values: Array) -> Array:
    return np.asarray(np.nextafter(values, values.dtype.type(-np.inf)))


def _number(value: float) -> str:
    """Exactly this number for whoever reads it as float64, without an exponent, which the format does not have."""
    return np.format_float_positional(np.float64(value), unique=True, trim="0")
