"""Step curves of accuracy against distance, as points where they fall."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robusteval.metrics._common.statistics import clopper_pearson
from robusteval.record.run import Point

POINTS = 120


def step_points(distance: NDArray[np.float64], limit: float | None, band: bool = False) -> list[Point]:
    """The step curve acc(eps) = share with distance > eps, as points where it falls (draw it step-after).

    distance: [N]; inf never, 0 wrong when clean. limit: the largest budget searched; the curve ends there, or at the
    last step. More than 120 steps are thinned evenly in rank, so the drawn curve is less than one point off; scalars
    are exact.
    """
    samples = distance.size
    if samples == 0:
        return []
    finite = np.sort(distance[np.isfinite(distance) & (distance > 0)])
    start = int((distance > 0).sum())
    steps, counts = np.unique(finite, return_counts=True)
    left = start - np.cumsum(counts)
    if steps.size > POINTS - 2:
        kept = np.unique(np.linspace(0, steps.size - 1, POINTS - 2).round().astype(int))
        steps, left = steps[kept], left[kept]
    pairs = [(0.0, start), *zip(steps.tolist(), left.tolist(), strict=True)]
    if limit is not None and limit > pairs[-1][0]:
        pairs.append((limit, pairs[-1][1]))
    return [_point(x, int(hits), samples, band) for x, hits in pairs]


def _point(x: float, hits: int, samples: int, band: bool) -> Point:
    bounds = clopper_pearson(hits, samples) if band else None
    return Point(x, hits / samples, *bounds) if bounds else Point(x, hits / samples)
