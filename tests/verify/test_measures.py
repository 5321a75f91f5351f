"""Sizes, levels and grids, to the last value that counts as one."""

from __future__ import annotations

import math

import numpy as np
import pytest

from robusteval.verify.parts.measures import (
    distance_of,
    levels_of,
    off_grid,
    pixels_of,
    softmax,
)


@pytest.mark.parametrize(("norm", "size"), [("l0", 2.0), ("l1", 7.0), ("l2", 5.0), ("linf", 4.0)])
def test_distances(norm: str, size: float) -> None:
    before = np.zeros((1, 2, 2), np.float32)
    after = before.copy()
    after[0, 0, 1], after[0, 1, 0] = 3, -4
    assert distance_of(before, after, norm) == size
    assert distance_of(before + 1, after + 1, norm) == size
    assert distance_of(before.ravel(), after.ravel(), norm) == size
    assert isinstance(distance_of(before, after, norm), float)
    assert distance_of(before[:, :0], after[:, :0], norm) == 0.0


def test_pixels_of_several_channels_count_once_in_l0() -> None:
    before, after = np.zeros((3, 2, 2)), np.zeros((3, 2, 2))
    after[0, 0, 0] = after[2, 0, 0] = after[1, 1, 1] = 1
    assert distance_of(before, after, "l0") == 2.0
    assert distance_of(before[0], after[0] + after[1], "l0") == 2.0
    assert distance_of(np.zeros(5), np.eye(5)[1], "l0") == 1.0


def test_distances_are_taken_in_float64_and_other_norms_refused() -> None:
    one = np.full((4,), 0.1, np.float32)
    assert distance_of(one, one + np.float32(0.2), "linf") == float((one + np.float32(0.2))[0]) - float(one[0])
    with pytest.raises(ValueError, match="'l3'"):
        distance_of(one, one, "l3")


def test_levels_and_pixels() -> None:
    x = np.array([-0.1, 0.0, 0.5 / 255 + 1e-4, 0.3, 1.0, 1.2])
    assert levels_of(x, [0.0, 1.0]).tolist() == [0, 0, 1, 76, 255, 255]
    assert levels_of(x * 2 - 1, [-1.0, 1.0]).tolist() == [0, 0, 1, 76, 255, 255]
    assert levels_of(x, [0.0, 1.0], 4).tolist() == [0, 0, 0, 1, 4, 4]
    assert pixels_of(np.array([0, 255, 51]), [-1.0, 3.0]).tolist() == pytest.approx([-1.0, 3.0, -0.2], abs=1e-6)
    assert pixels_of(np.array([1, 4]), [0.0, 1.0], 4).tolist() == [0.25, 1.0]
    assert pixels_of(np.array([300, -3]), [0.0, 1.0]).tolist() == [1.0, 0.0]
    assert levels_of(x, [0.0, 1.0]).dtype == pixels_of(x, [0.0, 1.0]).dtype == np.float32


def test_softmax() -> None:
    found = softmax(np.array([[0.0, math.log(3)], [1000.0, 1000.0]], np.float32))
    assert found.tolist() == [pytest.approx([0.25, 0.75]), [0.5, 0.5]]
    assert found.dtype == np.float64


@pytest.mark.parametrize(
    ("value", "bounds", "count", "off"),
    [
        (-1.0, [-1.0, 3.0], 4, False), (2.0, [-1.0, 3.0], 4, False), (3.0, [-1.0, 3.0], 4, False),
        (0.5, [-1.0, 3.0], 4, True),
        (-0.25, [-0.25, 0.75], 1, False), (0.75, [-0.25, 0.75], 1, False), (0.25, [-0.25, 0.75], 1, True),
        # a thousandth of a level is rounding, and more where levels are finer than those of 8 bits
        (1e-3, [0.0, 1.0], 1, False), (1.1e-3, [0.0, 1.0], 1, True), (1.5e-3 / 255, [0.0, 1.0], 255, True),
        (1.5e-3 / 510, [0.0, 1.0], 510, False), (1.996e-3 / 510, [0.0, 1.0], 510, False),
        (2.1e-3 / 510, [0.0, 1.0], 510, True),
    ],
)  # fmt: skip
def test_values_off_the_grid(value: float, bounds: list[float], count: int, off: bool) -> None:
    assert off_grid(np.array([bounds[0], value]), bounds, count) is off
