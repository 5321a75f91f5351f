"""The worst case over attacks: per-sample minima of distance columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from robusteval.metrics._common.statistics import lower_median, median_low
from robusteval.record.measured.per_sample import numbers
from robusteval.record.run import Cell, Record


def envelope(cells: list[Cell]) -> list[float]:
    """Per-sample minimum over cells; inf where never lost, 0 where wrong when clean; empty without cells."""
    columns = [numbers(cell.distance) for cell in cells]
    return list(np.stack(columns).min(axis=0).tolist()) if columns else []


def envelope_of(record: Record, norm: str, defense: str) -> list[float]:
    """Worst case of a pipeline in a norm, over its finished cells; oblivious cells have no part in it."""
    return envelope([cell for cell in record.done(norm=norm, defense=defense) if cell.knowledge != "oblivious"])


def median_loss(distances: Sequence[float | None]) -> float:
    """`lower_median` of the samples that were right when clean, None standing for never lost; 0 where there is none
    such."""
    column = numbers(distances)
    correct = column[column > 0]
    return lower_median(correct) if correct.size else 0.0


def surely(distances: Sequence[float | None]) -> float:
    """The lower end of the 95 % interval of `median_loss`; 0 where there are too few samples for one."""
    column = numbers(distances)
    return median_low(column[column > 0]) or 0.0


def held(record: Record, norm: str, half_of: Callable[[Sequence[float | None]], float] = median_loss) -> float:
    """The distance up to which at least half of the bare model's right answers are known to hold against what was
    tried. half_of: the median of a column, or a bound on it.

    Black-box attacks say nothing of the samples that they did not take, so only attacks with gradients give a reach.
    Attacks that were run at one budget only say nothing of smaller ones: their wins count in the worst case, but where
    nothing else ran it is the largest of their budgets at which at least half hold, and 0 where there is none.
    """
    cells = [cell for cell in record.done(norm=norm, knowledge="none") if cell.defense == "none"]
    white = [cell for cell in cells if cell.needs == "gradient"]
    curves = [cell for cell in white if cell.threat == "curve"]
    half = half_of(envelope(cells))
    if curves:
        return min(half, max(math.inf if cell.eps is None else cell.eps for cell in curves))
    asked = sorted(cell.eps for cell in white if cell.eps is not None)
    holding = [
        eps for eps in asked if math.isinf(half_of(envelope([cell for cell in cells if (cell.eps or 0) <= eps])))
    ]
    return max(holding, default=0.0)
