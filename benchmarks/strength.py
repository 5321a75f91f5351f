"""How strong an attack is, from its distances alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robusteval.metrics._common.statistics import lower_median

Distances = NDArray[np.float64]  # [N], inf where a sample was not lost


def envelope(pool: list[Distances]) -> Distances:
    """The smallest distance that any attack of the pool found, per sample: [N]."""
    nearest: Distances = np.min(np.stack(pool), axis=0)
    return nearest


def optimality(distance: Distances, best: Distances) -> float:
    """Local optimality as in AttackBench (Cina et al. 2024): 1 when nothing in the pool is nearer on any sample, 0 for
    an attack that finds nothing.

    The attack's robust-accuracy curve lies above the envelope's, up to the distance e0 at which the envelope reaches
    zero; the optimality is one minus the area between the two, over the area between the envelope and the clean
    accuracy. All samples are right when clean, so the area under a curve up to e0 is the mean of min(distance, e0).
    Samples that nothing in the pool lost are left out.
    """
    known = np.isfinite(best)
    if not known.any():
        return float("nan")
    end = best[known].max()
    mine, floor = np.minimum(distance[known], end).mean(), best[known].mean()
    return 1.0 if end == floor else float(1 - (mine - floor) / (end - floor))


def robust_accuracy(distance: Distances, eps: float) -> float:
    """Share of the samples that withstood at the budget eps."""
    return float((distance > eps * (1 + 1e-6)).mean())


def median(distance: Distances) -> float:
    """The smallest distance at which at least half of the samples are lost, as in the reports; inf where more than half
    never are."""
    return lower_median(distance)
