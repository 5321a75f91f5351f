"""The statistics at their edges, against values worked out by other means."""

from __future__ import annotations

import math
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from robusteval.metrics._common import statistics
from robusteval.metrics._common.statistics import (
    Interval,
    Roc,
    bootstrap,
    clopper_pearson,
    generator,
    lower_median,
    median,
    median_interval,
    roc,
    roc_figures,
    row_means,
    samples_for,
    share,
)
from tests.sure import sure

INF = np.inf
RATES = (0.2, 0.4, 0.6, 0.8)


def test_a_generator_belongs_to_its_figure_and_seed() -> None:
    one = generator(3, "a").random()
    assert one == generator(3, "a").random()
    assert one != generator(3, "b").random()
    assert one != generator(4, "a").random()
    assert one == generator(3 + 2**32, "a").random()  # the seed counts modulo 2 ** 32
    assert one == np.random.default_rng([3, zlib.crc32(b"a")]).random()
    assert generator(-1, "a").random() == np.random.default_rng([2**32 - 1, zlib.crc32(b"a")]).random()


def test_the_exact_interval_is_the_inverse_of_the_binomial_tails() -> None:
    for hits, trials in ((1, 10), (5, 10), (9, 10), (37, 200)):
        low, high = sure(clopper_pearson(hits, trials))
        assert stats.binom.sf(hits - 1, trials, low) == pytest.approx(0.025, rel=1e-6)
        assert stats.binom.cdf(hits, trials, high) == pytest.approx(0.025, rel=1e-6)
    low, high = sure(clopper_pearson(5, 10, 0.9))
    assert stats.binom.sf(4, 10, low) == pytest.approx(0.05, rel=1e-6)
    assert stats.binom.cdf(5, 10, high) == pytest.approx(0.05, rel=1e-6)


def test_none_and_all_of_the_trials() -> None:
    assert clopper_pearson(0, 10) == pytest.approx((0.0, 1 - 0.025**0.1))
    assert clopper_pearson(10, 10) == pytest.approx((0.025**0.1, 1.0))
    assert clopper_pearson(0, 1) == pytest.approx((0.0, 0.975))
    assert clopper_pearson(1, 1) == pytest.approx((0.025, 1.0))
    assert clopper_pearson(0, 0) is None


@pytest.mark.parametrize(("hits", "trials"), [(-1, 5), (6, 5), (1, 0)])
def test_impossible_hits_are_named(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"^{hits} hits of {trials} trials are impossible.$"):
        clopper_pearson(hits, trials)


def test_a_share_with_its_interval() -> None:
    low, high = sure(clopper_pearson(3, 12))
    assert share(3, 12) == Interval(0.25, low, high)
    assert share(0, 0) == Interval(None, None, None)


def width(value: float, trials: int, level: float) -> float:
    """Of a share that need not be a whole number of hits."""
    hits, tail = value * trials, (1 - level) / 2
    low = stats.beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0
    high = stats.beta.ppf(1 - tail, hits + 1, trials - hits) if hits < trials else 1.0
    return high - low


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(
    ("value", "wanted"), [(0.0, 0.3), (1.0, 0.3), (0.5, 0.4), (0.3, 0.17), (0.9, 0.05), (0.5, 0.99)]
)
def test_samples_for_is_where_the_width_falls_below(value: float, wanted: float, level: float) -> None:
    found = samples_for(value, wanted, level)
    assert width(value, found, level) <= wanted
    assert found == 1 or width(value, found - 1, level) > wanted


def test_samples_for_what_one_trial_already_tells() -> None:
    assert samples_for(0.0, 1.0) == 1
    assert samples_for(1.0, 1.0) == 1
    exact = width(0.5, 8, 0.95)
    assert samples_for(0.5, exact) == 8  # no wider than is wide enough
    assert samples_for(0.5, width(0.5, 7, 0.95)) == 7


@pytest.mark.parametrize(("value", "wanted"), [(-0.01, 0.1), (1.01, 0.1), (0.5, 0.0), (0.5, -0.1), (0.5, math.nan)])
def test_impossible_shares_are_named(value: float, wanted: float) -> None:
    with pytest.raises(ValueError, match=f"^A share of {value} known to a width of {wanted} is impossible.$"):
        samples_for(value, wanted)


# The bootstrap


def test_the_bootstrap_is_the_percentiles_of_its_resamples() -> None:
    values = np.array([1.0, 2.0, 4.0, 8.0])
    rng = np.random.default_rng(5)
    means = values[rng.integers(4, size=(1000, 4))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    assert bootstrap(values, row_means, np.random.default_rng(5)) == Interval(3.75, low, high)
    few = values[np.random.default_rng(5).integers(4, size=(10, 4))].mean(axis=1)
    low, high = np.percentile(few, [2.5, 97.5])
    found = bootstrap(values, row_means, np.random.default_rng(5), draws=10)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_resamples_are_drawn_in_parts_that_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    values, sizes = np.array([1.0, 2.0, 4.0]), []

    def statistic(samples: NDArray[Any]) -> NDArray[Any]:
        sizes.append(samples.shape)
        answer: NDArray[Any] = samples.mean(axis=1)
        return answer

    monkeypatch.setattr(statistics, "CHUNK", 12)
    bootstrap(values, statistic, np.random.default_rng(0), draws=10)
    assert sizes == [(1, 3), (4, 3), (4, 3), (2, 3)]
    sizes.clear()
    monkeypatch.setattr(statistics, "CHUNK", 2)  # fewer than one resample holds
    bootstrap(values, statistic, np.random.default_rng(0), draws=2)
    assert sizes == [(1, 3), (1, 3), (1, 3)]


def test_figures_that_are_not_finite_have_no_interval_or_no_value() -> None:
    rng = generator(0, "x")
    assert bootstrap(np.array([1.0, INF]), row_means, rng) == Interval(None)
    assert bootstrap(np.array([]), row_means, rng) == Interval(None)
    assert bootstrap(np.array([2.0]), row_means, rng) == Interval(2.0)
    two = bootstrap(np.array([1.0, 3.0]), row_means, rng)
    assert (two.value, two.low, two.high) == (2.0, 1.0, 3.0)
    # finite itself, but not where a value that is infinite half of the time comes in
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap(np.array([1.0, 2.0, 3.0, INF, INF]), lambda rows: np.sort(rows, axis=1)[:, 2], rng)
    assert found == Interval(3.0)


# Medians


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None), ([2.0], 2.0), ([3.0, 1.0], 1.0), ([3.0, 1.0, 2.0], 2.0), ([4.0, 1.0, 3.0, 2.0], 2.0),
        ([1.0, INF], 1.0), ([1.0, 2.0, INF], 2.0), ([1.0, 2.0, INF, INF], 2.0), ([1.0, INF, INF], None),
        ([0.0, 0.0, INF], 0.0), ([INF], None),
    ],
)  # fmt: skip
def test_the_median_of_distances(values: list[float], expected: float | None) -> None:
    assert median(np.array(values)) == expected


def test_the_lower_of_two_middle_distances_is_the_median() -> None:
    assert lower_median(np.array([3.0, 1.0, 2.0, 4.0])) == 2.0
    assert lower_median(np.array([1.0, INF])) == 1.0
    assert lower_median(np.array([1.0, INF, INF])) == INF
    assert math.isnan(lower_median(np.array([])))


@pytest.mark.parametrize(("size", "rank"), [(1, 0), (5, 0), (6, 1), (8, 1), (9, 2), (20, 6), (100, 40)])
def test_the_ranks_of_a_median_s_interval_are_those_of_the_tables(size: int, rank: int) -> None:
    """Two-sided 95 % sign-test intervals."""
    found = median_interval(np.arange(size, 0.0, -1.0))
    assert found == ((rank, size + 1 - rank) if rank else None)


def test_a_median_s_interval_at_another_level_and_beyond_reach() -> None:
    assert median_interval(np.arange(1.0, 6.0), 0.9) == (1.0, 5.0)
    assert median_interval(np.array([])) is None
    assert median_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0, INF])) is None
    assert median_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, INF])) == (2.0, 8.0)


# Detectors


def test_the_curve_of_a_handful_of_scores() -> None:
    curve = sure(roc(np.array([0.1, 0.2, 0.2, 0.9]), np.array([0.2, 0.8, 0.9, 1.5])))
    assert curve.false.tolist() == [0.0, 0.0, 0.25, 0.25, 0.75, 1.0]
    assert curve.true.tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
    # pairs in order count one, ties a half: .1 below all four; each .2 ties one and is below three; .9 ties one, below
    # one
    assert curve.area() == pytest.approx((4 + 3.5 + 3.5 + 1.5) / 16)
    for alarms, found in (
        (0.0, 0.25),
        (0.2, 0.25),
        (0.25, 0.75),
        (0.25 - 1e-13, 0.75),
        (0.5, 0.75),
        (0.75, 1.0),
        (1.0, 1.0),
    ):
        assert curve.true_at(alarms) == found
    assert curve.true_at(0.25 - 1e-9) == 0.25


def test_nothing_on_either_side_is_no_curve() -> None:
    some = np.array([1.0])
    assert roc(np.array([]), some) is roc(some, np.array([])) is None
    rng = generator(0, "x")
    assert roc_figures(np.array([]), some, (0.1,), rng) is roc_figures(some, np.array([]), (0.1,), rng) is None
    assert roc(some, some) is not None


def test_a_curve_may_fall_behind_chance() -> None:
    curve = Roc(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.0, 1.0]))
    assert curve.area() == 0.25
    assert curve.true_at(0.9) == 0.0


@pytest.mark.parametrize("draws", [1, 3, 40])
def test_the_figures_of_a_detector_are_the_percentiles_of_both_sides_resampled(draws: int) -> None:
    negatives, positives = np.array([0.1, 0.2, 0.2, 0.9, 0.5]), np.array([0.2, 0.8, 0.9])
    rng = np.random.default_rng(2)
    levels = np.array([0.9, 0.8, 0.5, 0.2, 0.1])
    below = np.array([(negatives == level).sum() for level in levels]) / 5
    above = np.array([(positives == level).sum() for level in levels]) / 3
    false = np.c_[np.zeros(draws), rng.multinomial(5, below, size=draws).cumsum(axis=1) / 5]
    true = np.c_[np.zeros(draws), rng.multinomial(3, above, size=draws).cumsum(axis=1) / 3]
    areas = [np.trapezoid(t, f) for f, t in zip(false, true, strict=True)]
    at = [[t[f <= rate + 1e-12].max() for f, t in zip(false, true, strict=True)] for rate in RATES]
    found = sure(roc_figures(negatives, positives, RATES, np.random.default_rng(2), draws))
    curve = sure(roc(negatives, positives))
    for figure, value, drawn in (
        (found.auc, curve.area(), areas),
        *zip(found.found, map(curve.true_at, RATES), at, strict=True),
    ):
        assert figure.value == pytest.approx(value)
        assert (figure.low, figure.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    assert len(found.found) == 4


def test_a_figure_whose_resamples_are_not_finite_has_no_interval() -> None:
    assert statistics._interval(0.5, [np.array([0.1, INF]), np.array([INF, INF])]) == Interval(0.5)
    assert statistics._interval(0.5, [np.array([0.25]), np.array([0.25])]) == Interval(0.5, 0.25, 0.25)


def test_the_figures_of_a_detector_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    class Counted(np.random.Generator):
        def multinomial(self, n: Any, pvals: Any, size: Any = None) -> NDArray[Any]:
            sizes.append((n, size))
            return super().multinomial(n, pvals, size=size)

    negatives, positives = np.array([0.1, 0.2, 0.3]), np.array([0.2, 0.4])
    monkeypatch.setattr(statistics, "CHUNK", 17)  # four resamples of four scores
    roc_figures(negatives, positives, (), Counted(np.random.PCG64(0)), 10)
    assert sizes == [(3, 4), (2, 4), (3, 4), (2, 4), (3, 2), (2, 2)]
    sizes.clear()
    monkeypatch.setattr(statistics, "CHUNK", 3)
    roc_figures(negatives, positives, (), Counted(np.random.PCG64(0)), 2)
    assert sizes == [(3, 1), (2, 1)] * 2
    sizes.clear()
    monkeypatch.undo()
    roc_figures(negatives, positives, (), Counted(np.random.PCG64(0)))
    assert sizes == [(3, 500), (2, 500)]
