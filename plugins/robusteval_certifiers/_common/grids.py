"""Selections that follow a grid: the windows of pools, and copies, which are slices instead of lists of places."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

Shape = tuple[int, ...]


class Grid(NamedTuple):
    """The elements [c, top + i down, left + j across] of a value [C, H, W]."""

    top: int
    left: int
    down: int
    across: int

    def slices(self, rows: int, columns: int, top: int = 0, left: int = 0) -> tuple[slice, slice]:
        """So many rows and columns of the grid as slices of the last two axes of what begins at (top, left)."""
        first, side = self.top - top, self.left - left
        return (
            slice(first, first + (rows - 1) * self.down + 1, self.down),
            slice(side, side + (columns - 1) * self.across + 1, self.across),
        )

    def onward(self, rows: int, columns: int) -> Grid:
        """The grid from its element (rows, columns) on."""
        return Grid(self.top + rows * self.down, self.left + columns * self.across, self.down, self.across)


def grid_of(index: Tensor, shape: Shape, source: Shape) -> Grid | None:
    """The grid that places index [n] of a value of shape `source` make, taken as `shape`; None where they make none."""
    if len(shape) != 3 or len(source) != 3 or shape[0] != source[0] or not index.numel():
        return None
    (_, rows, columns), (_, height, width) = shape, source
    places = index.reshape(shape)
    first = int(places[0, 0, 0])
    if not 0 <= first < height * width:
        return None
    down = (int(places[0, 1, 0]) - first) // width if rows > 1 else 1
    across = int(places[0, 0, 1]) - first if columns > 1 else 1
    grid = Grid(first // width, first % width, down, across)
    last = grid.top + (rows - 1) * down, grid.left + (columns - 1) * across
    if down < 1 or across < 1 or last[0] >= height or last[1] >= width:
        return None
    c, i, j = (torch.arange(size, device=index.device) for size in shape)
    expected = c[:, None, None] * (height * width) + (grid.top + i * down)[:, None] * width + grid.left + j * across
    return grid if torch.equal(places, expected) else None
