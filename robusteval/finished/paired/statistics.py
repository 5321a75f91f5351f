"""Tests of paired figures: the same images under two models."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robusteval.metrics._common.statistics import CHUNK, DRAWS, LEVEL, Floats

SIGNIFICANT = 0.05
_NORMAL = 1.959963984540054  # of a two-sided 95 % interval


def mcnemar(lost: int, won: int) -> float:
    """The two-sided p of McNemar's exact test: that images which changed went either way with the same chance. 1 where
    none changed. McNemar 1947; exact form: the binomial test on the discordant pairs."""
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost, 0.5).pvalue) if won + lost else 1.0


def difference_interval(lost: int, won: int, images: int) -> tuple[float, float]:
    """The 95 % interval of (won - lost) / images: Wald's with half a pair added to each of the four counts (Agresti and
    Min, Simple improved confidence intervals for comparing matched proportions, 2005). Inside [-1, 1]."""
    total = images + 2
    down, up = lost + 0.5, won + 0.5
    middle = (up - down) / total
    spread = _NORMAL * math.sqrt(max(up + down - (up - down) ** 2 / total, 0.0)) / total
    return max(middle - spread, -1.0), min(middle + spread, 1.0)


def holm(p: Sequence[float]) -> list[float]:
    """p of several tests, adjusted so that one false alarm among all of them has the level's chance (Holm 1979)."""
    order = sorted(range(len(p)), key=lambda place: p[place])
    adjusted, highest = [0.0] * len(p), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min((len(p) - rank) * p[place], 1.0))
        adjusted[place] = highest
    return adjusted


def median_change(
    first: Floats, second: Floats, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[float, float] | None:
    """The 95 % percentile bootstrap interval of median(second) - median(first); images are drawn, so that both columns
    keep their pairs. first, second: [M], inf: never lost. None where there are fewer than two images, or where a median
    of too many draws is infinite."""
    if first.size < 2:
        return None
    step = max(1, CHUNK // first.size)
    drawn: list[NDArray[np.float64]] = []
    for start in range(0, draws, step):
        rows = rng.integers(first.size, size=(min(step, draws - start), first.size))
        middle = (first.size - 1) // 2
        halves = [np.partition(column[rows], middle, axis=1)[:, middle] for column in (first, second)]
        with np.errstate(invalid="ignore"):  # both infinite
            drawn.append(halves[1] - halves[0])
    changes = np.concatenate(drawn)
    if not np.isfinite(changes).all():
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(changes, [tail, 100 - tail])
    return float(low), float(high)
