"""The figures that the answers are made of: shares of images at the budget that a norm quotes first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.assessment.evidence.own import own_figures
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import share
from robusteval.record.run import Record, Result, Scalar

SPREAD = 1e-6  # budgets that differ by less than this share are the same budget


@dataclass(frozen=True)
class Share:
    """A share of all evaluated images, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float


def scalars(record: Record, measure: str, **tags: Scalar) -> list[Result]:
    """The core's own figures of this measure whose tags hold all of these; a plugin's are not asked."""
    wanted = tags | {"measure": measure}
    return [
        result for result in own_figures(record) if result.kind == "scalar" and wanted.items() <= result.tags.items()
    ]


def share_of(result: Result | None) -> Share | None:
    """The result as a share; None where a part of it is missing, as half a figure is none."""
    if result is None or result.value is None or result.low is None or result.high is None:
        return None
    return Share(result.value, result.low, result.high)


def left_at(distance: NDArray[np.float64], eps: float) -> Share:
    """The share of samples that hold out within a budget. distance: [N], N > 0; inf: never lost, 0: wrong clean."""
    found = share(int(columns.beyond(distance, eps).sum()), distance.size)
    return Share(found.value or 0.0, found.low or 0.0, 1.0 if found.high is None else found.high)


def budget_of(result: Result) -> float | None:
    """The budget that a figure was taken at, in the norm."""
    eps = result.tags.get("eps")
    return float(eps) if isinstance(eps, int | float) and not isinstance(eps, bool) else None


def at(results: list[Result], eps: float) -> Result | None:
    """The figure at this budget."""
    near = (result for result in results if abs((budget_of(result) or 0.0) - eps) <= SPREAD * eps)
    return next(near, None)


def quoted(record: Record, norm: str) -> Result | None:
    """What all attacks leave of the bare model at the budget that is quoted first in this norm."""
    tags: dict[str, Scalar] = {"norm": norm, "defense": "none", "knowledge": "none", "reference": True}
    return next(iter(scalars(record, "robust-accuracy", **tags)), None)
