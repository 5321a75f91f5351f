"""The statistics against scipy, scikit-learn and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from robusteval.metrics.statistics import (
    bootstrap,
    clopper_pearson,
    generator,
    median,
    roc,
    roc_figures,
    row_means,
    share,
)


@pytest.mark.parametrize(("hits", "trials"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 40), (17, 300)])
def test_clopper_pearson_equals_scipy(hits: int, trials: int) -> None:
    expected = stats.binomtest(hits, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(hits, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_is_no_number() -> None:
    assert clopper_pearson(0, 0) is None
    assert share(0, 0).value is None
    with pytest.raises(ValueError, match="impossible"):
        clopper_pearson(5, 4)


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
    assert median(np.array([1.0, np.inf])) is None
    assert median(np.array([])) is None
