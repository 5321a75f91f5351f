"""Randomized smoothing: the certificate against closed forms, and against an attack."""

from __future__ import annotations

import pickle

import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_defenses.randomized_smoothing import Certificate, RandomizedSmoothing, Smoothed, radius, vote_margin
from scipy import stats

from robusteval.testing import inputs, linear, pose, safe_labels
from tests.plugins.conftest import Trained
from tests.plugins.linear_models import Module, classifier
from tests.sure import instance, sure


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plane(size: int = 30) -> tuple[Module, torch.Tensor]:
    """Two classes divided by the plane <w, x> = 0 with |w| = 1, in a box so wide that clipping plays no part."""
    w = torch.randn(size, generator=seeded(1))
    w /= w.norm()
    layer = torch.nn.Linear(size, 2, bias=False)
    layer.weight.data = torch.stack([-w, w])
    return classifier(layer, (size,), 2, (-100.0, 100.0)), w


def test_the_radius_is_that_of_the_lower_bound() -> None:
    assert radius(1000, 1000, 0.5, 0.001) == pytest.approx(0.5 * stats.norm.ppf(0.001 ** (1 / 1000)))
    low = stats.binomtest(870, 1000, alternative="greater").proportion_ci(0.99, "exact").low
    assert radius(870, 1000, 2.0, 0.01) == pytest.approx(2 * stats.norm.ppf(low))
    assert radius(0, 1000, 1.0, 0.001) == 0.0
    assert radius(520, 1000, 1.0, 0.001) == 0.0, "Too close to a half: it must abstain."


def test_a_settled_radius_is_one_that_a_finite_vote_keeps() -> None:
    """At its edge the top class has just the share with which 11 answers of so many votes are wrong alpha of the
    time."""
    for votes, alpha in ((25, 0.01), (101, 0.05)):
        share = stats.norm.cdf(vote_margin(votes, alpha))
        right = stats.binom.sf(votes // 2, votes, share)
        assert stats.binom.cdf(5, 11, right) == pytest.approx(alpha, rel=1e-3)
    assert 0 < vote_margin(101, 0.01) < vote_margin(25, 0.01) < 0.5
    assert radius(900, 1000, 2.0, 0.01, 0.2) == pytest.approx(radius(900, 1000, 2.0, 0.01) - 0.4)
    assert radius(600, 1000, 2.0, 0.01, 0.9) == 0.0
    model = linear((12,), 3)
    x = inputs(model.info, 5)
    cohen = sure(RandomizedSmoothing(n=300, settled=False).fit(model, None, seeded()).certify)(x)
    less = sure(RandomizedSmoothing(n=300).fit(model, None, seeded()).certify)(x)
    assert torch.allclose(less, (cohen - 0.12 * vote_margin(25, 0.001)).clamp_min(0), atol=1e-6)


@pytest.mark.statistical
def test_on_a_plane_the_certificate_is_the_distance() -> None:
    """There the smoothed model's distance is the base model's: the certificate must reach it and not pass it."""
    model, w = plane()
    reach = torch.linspace(-1.5, 1.5, 61)
    across = torch.randn(61, 30, generator=seeded(2))
    x = reach[:, None] * w + across - (across @ w)[:, None] * w
    found = Certificate(model, sigma=1.0, n0=50, n=4000, alpha=0.01, seed=5)(x)
    assert (found > reach.abs() * (1 + 1e-6)).float().mean() <= 0.05
    assert (found > reach.abs() - 0.12).all()
    assert found[30] == 0, "On the plane itself there is nothing to certify."


def test_a_certificate_is_wrong_no_more_often_than_alpha() -> None:
    model, w = plane(4)
    x = (0.5 * w).expand(600, 4)
    found = Certificate(model, sigma=1.0, n0=20, n=200, alpha=0.1, seed=1)(x)
    wrong = float((found > 0.5).float().mean())
    assert 0.05 < wrong < 0.1 + 3 * (0.1 * 0.9 / 600) ** 0.5


@pytest.mark.statistical
def test_the_class_is_guessed_from_other_draws_than_those_that_count() -> None:
    """By one draw the wrong class is guessed for the share that lies beyond the plane: those must abstain."""
    model, w = plane(4)
    x = (0.3 * w).expand(200, 4)
    found = Certificate(model, sigma=1.0, n0=1, n=1000, alpha=0.001, seed=1)(x)
    beyond = float(stats.norm.cdf(-0.3))
    assert abs(float((found == 0).float().mean()) - beyond) < 3.5 * (beyond * (1 - beyond) / 200) ** 0.5


def test_sigma_is_a_share_of_the_range() -> None:
    x = inputs(linear((6,), 3).info, 5)
    one = RandomizedSmoothing(sigma=0.1, n=200).fit(linear((6,), 3), None, seeded())
    wide = linear((6,), 3, (0.0, 255.0))
    other = RandomizedSmoothing(sigma=0.1, n=200).fit(wide, None, seeded())
    assert torch.allclose(sure(other.certify)(x * 255), sure(one.certify)(x) * 255, rtol=1e-4)


def test_votes_are_what_decides() -> None:
    """Scores are logarithms of the shares of votes over the noises, up to a tenth of a vote."""
    model = linear((12,), 3)
    smoothed = sure(RandomizedSmoothing(sigma=0.3, votes=40).fit(model, None, seeded()).draw)(seeded(3)).model
    x = inputs(model.info, 20)
    noises = instance(smoothed, Smoothed)._noises(x, 40)
    votes = torch.stack([torch.eye(3)[model.logits((x + n).clamp(0, 1)).argmax(1)] for n in noises]).sum(0)
    shares = smoothed.logits(x).exp() * 40.1
    assert ((shares - votes).abs() <= 0.1001).all()
    assert len(votes[votes > 0].unique()) > 3


def test_the_twin_is_the_mean_of_probabilities() -> None:
    model = linear((12,), 3)
    smoothed = RandomizedSmoothing(sigma=0.3, steer=5).fit(model, None, seeded()).model
    x = inputs(model.info, 4)
    noises = instance(smoothed, Smoothed)._noises(x, 5)
    mean = torch.stack([model.twin((x + n).clamp(0, 1)).softmax(1) for n in noises]).mean(0)
    assert torch.allclose(smoothed.twin(x).softmax(1), mean, atol=1e-5)


def test_every_draw_votes_anew_and_certifies_alike() -> None:
    model = linear((12,), 3)
    defended = pickle.loads(pickle.dumps(RandomizedSmoothing(n=300).fit(model, None, seeded())))
    one, other = defended.draw(seeded(1)), defended.draw(seeded(2))
    x = inputs(model.info, 6)
    assert not torch.equal(one.model.logits(x), other.model.logits(x))
    assert torch.equal(one.certify(x), other.certify(x))
    assert any("cannot" in note or "can exceed" in note for note in defended.notes)


@pytest.mark.statistical
def test_no_attack_beats_the_certificate(fashion: Trained) -> None:
    """The smoothed network, attacked through the mean of probabilities; wins are confirmed by 500 fresh votes."""
    sigma = 0.1
    defended = RandomizedSmoothing(sigma=sigma, votes=60, n=400, alpha=0.01).fit(fashion.model, None, seeded())
    x, y = fashion.samples.x[:30], fashion.samples.y[:30]
    certified = sure(defended.certify)(x)
    found = DDN(steps=25).run(pose(defended, x, safe_labels(y, 10), "l2", draws=1))
    answer = sure(RandomizedSmoothing(sigma=sigma, votes=500).fit(fashion.model, None, seeded()).draw)(seeded(9)).model
    clean = answer.logits(x).argmax(1) == y
    assert clean.float().mean() > 0.6
    assert (certified > 0.1).float().mean() > 0.6
    ever = torch.zeros(len(x), dtype=torch.bool)
    for stretch in (1.0, 1.3, 1.7, 2.2, 3.0):  # the attack stops at the boundary of few noises: go on from there
        further = (x + stretch * (found - x)).clamp(0, 1)
        lost = clean & (answer.logits(further).argmax(1) != y)
        ever |= lost
        distance = (further - x).flatten(1).norm(dim=1)
        assert not (lost & (distance < certified)).any()
    assert ever.float().mean() > 0.5, "An attack that finds nothing tests no certificate."
