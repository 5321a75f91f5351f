"""The statistics against scipy, scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from robusteval.metrics._common.beta import coin_quantile
from robusteval.metrics._common.statistics import (
    bootstrap,
    clopper_pearson,
    generator,
    median,
    median_interval,
    roc,
    roc_figures,
    row_means,
    samples_for,
    share,
)
from tests.sure import sure


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 40), (17, 300)])
def test_clopper_pearson_equals_scipy(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_is_no_number() -> None:
    assert clopper_pearson(0, 0) is None
    assert share(0, 0).value is None
    with pytest.raises(ValueError, match="impossible"):
        clopper_pearson(5, 4)


@pytest.mark.parametrize("value", [0.0, 1.0])
@pytest.mark.parametrize("width", [0.5, 0.1, 0.013])
def test_samples_for_a_share_of_none_or_all_in_closed_form(value: float, width: float) -> None:
    """There the interval ends at 1 - (alpha / 2) ** (1 / n)."""
    assert samples_for(value, width) == int(np.ceil(np.log(0.025) / np.log1p(-width)))


@pytest.mark.parametrize(("value", "width"), [(0.5, 0.2), (0.25, 0.1), (0.4, 0.3), (0.1, 0.08)])
def test_samples_for_is_the_first_that_is_narrow_enough(value: float, width: float) -> None:
    def wide(trials: int) -> bool:
        low, high = sure(clopper_pearson(round(value * trials), trials))
        return high - low > width

    found = samples_for(value, width)
    whole = [trials for trials in range(1, 2 * found) if float(value * trials).is_integer()]  # a share that can occur
    assert not [trials for trials in whole if wide(trials) != (trials < found)]


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 4), (16, 64)])
def test_a_width_that_a_power_of_two_just_reaches_takes_no_sample_more(hits: int, trials: int) -> None:
    low, high = sure(clopper_pearson(hits, trials))
    assert samples_for(hits / trials, high - low) == trials


def test_a_quarter_of_the_width_takes_about_sixteen_times_as_many() -> None:
    low, high = sure(clopper_pearson(205, 500))
    assert samples_for(0.41, high - low) == 500
    assert samples_for(0.41, (high - low) / 2) == pytest.approx(2000, rel=0.03)
    assert samples_for(0.41, (high - low) / 4) == pytest.approx(8000, rel=0.03)
    for value, width in ((1.1, 0.1), (0.5, 0.0), (0.5, -1)):
        with pytest.raises(ValueError, match="impossible"):
            samples_for(value, width)


@pytest.mark.parametrize("digits", [0, 1, 6])
def test_auc_and_rates_equal_scikit_learn_with_ties(digits: int) -> None:
    rng = np.random.default_rng(3)
    negatives = np.round(rng.normal(0, 1, 200), digits)
    positives = np.round(rng.normal(1, 1, 90), digits)
    truth = np.r_[np.zeros(200), np.ones(90)]
    scores = np.r_[negatives, positives]
    curve = roc(negatives, positives)
    assert curve is not None
    assert curve.area() == pytest.approx(metrics.roc_auc_score(truth, scores), abs=1e-12)
    false, true, _ = metrics.roc_curve(truth, scores, drop_intermediate=False)
    for rate in (0.01, 0.05, 0.5):
        assert curve.true_at(rate) == pytest.approx(true[false <= rate].max())


def test_roc_of_one_side_is_nothing() -> None:
    empty, some = np.array([]), np.array([1.0, 2.0])
    assert roc(empty, some) is None
    assert roc_figures(some, empty, (0.01,), generator(0, "x")) is None


def test_all_scores_equal_is_a_coin() -> None:
    same = np.ones(20)
    curve = roc(same, same)
    assert curve is not None
    assert curve.area() == pytest.approx(0.5)
    assert curve.true_at(0.05) == 0.0


def test_roc_intervals_hold_the_value_and_repeat() -> None:
    rng = np.random.default_rng(1)
    negatives, positives = rng.normal(0, 1, 300), rng.normal(1, 1, 300)
    first = roc_figures(negatives, positives, (0.01, 0.05), generator(5, "a"))
    assert first == roc_figures(negatives, positives, (0.01, 0.05), generator(5, "a"))
    assert first is not None
    auc = first.auc
    assert auc.value is not None
    assert auc.low is not None
    assert auc.high is not None
    # Hanley and McNeil's standard error for normal scores one apart is about 0.019 here.
    assert auc.low < auc.value < auc.high
    assert auc.high - auc.low == pytest.approx(2 * 1.96 * 0.019, rel=0.25)


def test_bootstrap_of_a_mean_matches_the_normal_interval() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    figure = bootstrap(values, row_means, generator(1, "mean"))
    assert figure.value == pytest.approx(values.mean())
    assert figure.low is not None
    assert figure.high is not None
    half = 1.96 * values.std() / 20
    assert figure.low == pytest.approx(values.mean() - half, abs=0.06)
    assert figure.high == pytest.approx(values.mean() + half, abs=0.06)
    assert figure == bootstrap(values, row_means, generator(1, "mean"))
    assert figure != bootstrap(values, row_means, generator(2, "mean"))


def test_bootstrap_of_nothing_and_of_one() -> None:
    assert bootstrap(np.array([]), row_means, generator(0, "x")).value is None
    one = bootstrap(np.array([3.0]), row_means, generator(0, "x"))
    assert (one.value, one.low) == (3.0, None)


def test_median_of_never() -> None:
    assert median(np.array([1.0, 2.0, np.inf])) == 2.0
    assert median(np.array([1.0, np.inf])) == 1.0  # half are lost at 1
    assert median(np.array([1.0, np.inf, np.inf])) is None
    assert median(np.array([])) is None


@pytest.mark.parametrize("size", [6, 9, 40, 500])
def test_the_interval_of_a_median_covers_it_as_often_as_it_says(size: int) -> None:
    """By its definition: the population's median lies below a value as often as a coin falls on one side."""
    found = median_interval(np.arange(1.0, size + 1))
    assert found is not None
    below, above = found
    assert below + above == size + 1
    covered = stats.binom.cdf(above - 1, size, 0.5) - stats.binom.cdf(below - 1, size, 0.5)
    assert covered >= 0.95
    tighter = stats.binom.cdf(above - 2, size, 0.5) - stats.binom.cdf(below, size, 0.5)
    assert tighter < 0.95


def test_a_median_without_enough_values_or_with_lost_ones_has_no_interval() -> None:
    assert median_interval(np.array([])) is None
    assert median_interval(np.arange(5.0)) is None
    assert median_interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, np.inf, np.inf])) is None


@pytest.mark.parametrize("trials", [1, 2, 7, 50, 500, 20_000])
def test_intervals_agree_with_scipy(trials: int) -> None:
    for hits in sorted({0, 1, trials // 10, trials // 2, trials - 1, trials}):
        low, high = sure(clopper_pearson(hits, trials))
        wanted = stats.beta.ppf(0.025, hits, trials - hits + 1) if hits else 0.0
        assert low == pytest.approx(wanted, abs=1e-12, rel=1e-10)
        wanted = stats.beta.ppf(0.975, hits + 1, trials - hits) if hits < trials else 1.0
        assert high == pytest.approx(wanted, abs=1e-12, rel=1e-10)


def test_ranks_of_the_median_agree_with_scipy() -> None:
    for count in range(1, 300):
        assert coin_quantile(0.025, count) == int(stats.binom.ppf(0.025, count, 0.5))
