"""Which samples the gallery shows, under which attack: the rule of the engine, and of `verify`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from robusteval.record.measured.per_sample import numbers
from robusteval.record.run import SCHEMA, Cell, Record

PER_NORM = 24
EARLIER = 6  # as many were shown before; version 1 had them of images of any size
# Places of the samples that a class shows, in this order, as shares of its samples by difficulty.
_PLACES = (0.5, 0.25, 0.75, 0.0, 1.0)
LARGEST = 2_500_000  # bytes of all pictures together, were they not compressed, as base64: three of each sample


def pictured(shape: list[int] | tuple[int, ...]) -> bool:
    """Whether samples of this shape are pictures: one or three planes, or flat ones that fill a square."""
    if len(shape) == 3:
        return shape[0] in (1, 3)
    side = round(shape[0] ** 0.5) if len(shape) == 1 else 0
    return side >= 8 and side * side == shape[0]


def shown(record: Record, per_norm: int = PER_NORM) -> list[tuple[int, Cell]]:
    """Up to so many samples a norm, fewer of large images but one at least, under their worst attack: of each class the
    one of median difficulty, then of each one at its quartiles, then the nearest and the farthest.

    The first six of a norm are those that runs showed before there were more.
    """
    pairs = []
    norms = sorted({cell.norm for cell in record.cells})
    size = math.prod(record.model.input_shape) * 3 * 4 // 3 * max(len(norms), 1)
    # documents of version 1 had six in any case
    most = EARLIER if record.schema != SCHEMA else min(max(LARGEST // size, 1), per_norm)
    for norm in norms:
        cells = record.done(norm=norm, knowledge="none")
        for sample in _choose(cells, record.data.labels, most):
            broken_by = [cell for cell in cells if cell.distance[sample] is not None]
            pairs.append((sample, min(broken_by, key=lambda cell: cell.distance[sample] or 0.0)))
    return pairs


def _choose(cells: list[Cell], labels: Sequence[int], most: int) -> list[int]:
    """Class by class, at one place of difficulty after the other; each sample once."""
    by_class: dict[int, list[tuple[float, int]]] = {}
    if not cells:
        return []
    nearest = np.min([numbers(cell.distance) for cell in cells], axis=0)
    for sample in np.flatnonzero(np.isfinite(nearest) & (nearest > 0)).tolist():
        by_class.setdefault(labels[sample], []).append((float(nearest[sample]), sample))
    groups = [sorted(group) for _, group in sorted(by_class.items())]
    places = [group[min(int(place * len(group)), len(group) - 1)][1] for place in _PLACES for group in groups]
    return list(dict.fromkeys(places))[:most]
