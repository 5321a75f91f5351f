"""The statistics that the measures share: intervals for shares, bootstrap intervals, ROC. Every figure is finite or
None."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.metrics._common.beta import beta_quantile, coin_quantile

LEVEL = 0.95
DRAWS = 1000
CHUNK = 2_000_000  # numbers held at once while resampling

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval; None where nothing was measured."""

    value: float | None
    low: float | None = None
    high: float | None = None


def generator(seed: int, name: str) -> np.random.Generator:
    """The generator of one named figure, so that it does not depend on which others are computed."""
    return np.random.default_rng([seed & 0xFFFFFFFF, zlib.crc32(name.encode())])


def clopper_pearson(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float] | None:
    """The exact interval of a share, hits of trials; None without trials. Raises ValueError when hits are
    impossible."""
    if not 0 <= hits <= trials:
        raise ValueError(f"{hits} hits of {trials} trials are impossible.")
    if trials == 0:
        return None
    tail = (1 - level) / 2
    high = 1.0 if hits == trials else beta_quantile(1 - tail, hits + 1, trials - hits)
    return lower_bound(hits, trials, tail), high


def lower_bound(hits: int, trials: int, tail: float) -> float:
    """The exact lower bound of a share, hits of trials: the true one lies below it with a probability of `tail` at
    most."""
    return 0.0 if hits == 0 else beta_quantile(tail, hits, trials - hits + 1)


def share(hits: int, trials: int) -> Interval:
    """The share with its Clopper-Pearson interval."""
    bounds = clopper_pearson(hits, trials)
    return Interval(None) if bounds is None else Interval(hits / trials, *bounds)


def samples_for(value: float, width: float, level: float = LEVEL) -> int:
    """How many trials it takes until the Clopper-Pearson interval of a share of this value is no wider than width.

    Between whole numbers of hits the interval is that of the beta distribution, so that the width falls steadily.
    Raises ValueError for a value outside [0, 1] and a width that is not above 0.
    """
    if not 0 <= value <= 1 or not width > 0:
        raise ValueError(f"A share of {value} known to a width of {width} is impossible.")
    low, high = 0, 1
    while _width(value, high, level) > width:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _width(value, middle, level) > width else (low, middle)
    return high


def _width(value: float, trials: int, level: float) -> float:
    hits, tail = value * trials, (1 - level) / 2
    low = 0.0 if hits == 0 else beta_quantile(tail, hits, trials - hits + 1)
    high = 1.0 if hits == trials else beta_quantile(1 - tail, hits + 1, trials - hits)
    return high - low


def _percentiles(values: Floats) -> tuple[float, float] | None:
    tail = 100 * (1 - LEVEL) / 2
    with np.errstate(invalid="ignore"):  # between two infinite values
        low, high = np.percentile(values, [tail, 100 - tail])
    return (float(low), float(high)) if np.isfinite(low) and np.isfinite(high) else None


def bootstrap(
    values: Floats, statistic: Callable[[Floats], Floats], rng: np.random.Generator, draws: int = DRAWS
) -> Interval:
    """The statistic of values [N] with its percentile bootstrap interval.

    `statistic` maps resamples [B, N] to [B]. One value has no spread, so its interval is None; no value, no figure.
    """
    if values.size == 0:
        return Interval(None)
    point = float(statistic(values[None])[0])
    if not np.isfinite(point):
        return Interval(None)
    if values.size < 2:
        return Interval(point)
    step = max(1, CHUNK // values.size)
    drawn = [
        statistic(values[rng.integers(values.size, size=(min(step, draws - start), values.size))])
        for start in range(0, draws, step)
    ]
    bounds = _percentiles(np.concatenate(drawn))
    return Interval(point) if bounds is None else Interval(point, *bounds)


def row_means(samples: Floats) -> Floats:
    """[B, N] -> [B]."""
    means: Floats = samples.mean(axis=1)
    return means


def lower_median(values: Floats) -> float:
    """The smallest distance at which at least half of the samples are lost: of an even number the lower of the middle
    two.

    values: one for each sample that was right when clean; infinite stands for "never". inf where more than half were
    never lost, NaN where there is no sample. Every median distance of the house is this one: the lower of the two is
    what half of the samples really lose at, so no gate is met by it that a mean with a far or infinite neighbour would
    meet.
    """
    return float(np.sort(values)[(values.size - 1) // 2]) if values.size else float("nan")


def median(values: Floats) -> float | None:
    """`lower_median`, None where it is infinite or there is nothing."""
    found = lower_median(values)
    return found if np.isfinite(found) else None


def median_interval(values: Floats, level: float = LEVEL) -> tuple[float, float] | None:
    """Two of the values between which the median of the population lies, whatever its distribution: order statistics
    whose ranks are quantiles of the binomial distribution. None where they are too few, or the upper one is
    infinite."""
    low = median_low(values, level)
    if low is None:
        return None
    high = float(np.sort(values)[values.size - coin_quantile((1 - level) / 2, values.size)])
    return (low, high) if np.isfinite(high) else None


def median_low(values: Floats, level: float = LEVEL) -> float | None:
    """The lower of the two values of `median_interval`, also where the upper one is infinite; None for too few."""
    rank = coin_quantile((1 - level) / 2, values.size) if values.size else 0
    return float(np.sort(values)[rank - 1]) if rank >= 1 else None


@dataclass(frozen=True)
class Roc:
    """Rates as the threshold falls: false [T] and true [T], both from 0 to 1; a detector fires above its threshold."""

    false: Floats
    true: Floats

    def area(self) -> float:
        """The area under the curve; ties count half."""
        return float((np.diff(self.false) * (self.true[1:] + self.true[:-1]) / 2).sum())

    def true_at(self, false_alarms: float) -> float:
        """The largest share of positives found with at most that share of false alarms."""
        return float(self.true[self.false <= false_alarms + 1e-12].max())


def _counts(negatives: Floats, positives: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many of each fall on every distinct score, from the highest score down."""
    levels = np.unique(np.concatenate([negatives, positives]))
    places = levels.size
    below = np.bincount(np.searchsorted(levels, negatives), minlength=places)[::-1]
    above = np.bincount(np.searchsorted(levels, positives), minlength=places)[::-1]
    return below.astype(np.int64), above.astype(np.int64)


def _rates(counts: NDArray[np.int64]) -> Floats:
    """Counts [..., U] -> cumulative shares [..., U + 1], starting at 0."""
    summed = np.cumsum(counts, axis=-1)
    rates = np.zeros((*counts.shape[:-1], counts.shape[-1] + 1))
    rates[..., 1:] = summed / summed[..., -1:]
    return rates


def roc(negatives: Floats, positives: Floats) -> Roc | None:
    """The ROC of detector scores; None when either side is empty."""
    if negatives.size == 0 or positives.size == 0:
        return None
    below, above = _counts(negatives, positives)
    return Roc(_rates(below), _rates(above))


@dataclass(frozen=True)
class RocFigures:
    auc: Interval
    found: tuple[Interval, ...]  # one for each rate of false alarms asked for


def roc_figures(
    negatives: Floats, positives: Floats, rates: tuple[float, ...], rng: np.random.Generator, draws: int = 500
) -> RocFigures | None:
    """AUC and true-positive rates with bootstrap intervals (both sides resampled); None when either side is empty."""
    curve = roc(negatives, positives)
    if curve is None:
        return None
    below, above = _counts(negatives, positives)
    areas: list[Floats] = []
    found: list[list[Floats]] = [[] for _ in rates]
    step = max(1, CHUNK // below.size)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        false = _rates(rng.multinomial(negatives.size, below / negatives.size, size=size))
        true = _rates(rng.multinomial(positives.size, above / positives.size, size=size))
        areas.append((np.diff(false, axis=1) * (true[:, 1:] + true[:, :-1]) / 2).sum(axis=1))
        for index, rate in enumerate(rates):
            found[index].append(np.where(false <= rate + 1e-12, true, 0.0).max(axis=1))
    return RocFigures(
        _interval(curve.area(), areas),
        tuple(_interval(curve.true_at(rate), found[index]) for index, rate in enumerate(rates)),
    )


def _interval(value: float, drawn: list[Floats]) -> Interval:
    bounds = _percentiles(np.concatenate(drawn))
    return Interval(value) if bounds is None else Interval(value, *bounds)
