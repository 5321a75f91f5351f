"""jsma: the pair search against all pairs, the closed form on linear models, and trained models."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
import torch
from robusteval_attacks._common import pixel_pairs as _pairs
from robusteval_attacks.jsma import JSMA

from robusteval.testing import safe_all_but, safe_labels
from tests.plugins.attacks.minimal import fewest, reach, trained
from tests.plugins.conftest import Trained
from tests.plugins.linear_models import linear, middling, pose, untargeted

PAPER = JSMA(pairs=1, growth=0, refresh=1, race=False, prune=False)


def saliency(gain: torch.Tensor, fall: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return (gain * mask).sum(1) * (fall * mask).sum(1)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("slope", [-1.0, 0.0, 1.0])
def test_the_pair_is_the_best_of_all_pairs(seed: int, slope: float, monkeypatch: pytest.MonkeyPatch) -> None:
    if seed % 2:
        monkeypatch.setattr(_pairs, "_CELLS", 50)  # many pieces
    rng = torch.Generator().manual_seed(seed)
    gain = torch.randn(7, 40, generator=rng)
    fall = slope * gain + torch.randn(7, 40, generator=rng) - 0.5
    gain[0], fall[1] = -gain[0].abs(), -fall[1].abs()  # nothing salient
    mask = _pairs.best_pair(gain, fall)
    sums = [
        torch.cat([v, v.new_zeros(7, 1)], 1)[:, :, None] + torch.cat([v, v.new_zeros(7, 1)], 1)[:, None]
        for v in (gain, fall)
    ]
    value = torch.where((sums[0] > 0) & (sums[1] > 0), sums[0] * sums[1], 0.0)
    best = (value - torch.diag_embed(value.diagonal(dim1=1, dim2=2))).flatten(1).amax(1)
    assert torch.allclose(saliency(gain, fall, mask), best)
    assert (mask.sum(1) <= 2).all()
    assert not mask[:2].any()
    assert (best[2:] > 0).all()


def test_pairs_do_not_repeat() -> None:
    gain = torch.arange(1.0, 9.0)[None]
    assert _pairs.best_pairs(gain, gain, 3)[0].tolist() == [False] * 2 + [True] * 6


def test_more_pixels_are_those_that_raise_the_pairs_product_most() -> None:
    rng = torch.Generator().manual_seed(0)
    gain, fall = torch.randn(5, 40, generator=rng), torch.randn(5, 40, generator=rng)
    gain[0] = -gain[0].abs()  # nothing salient, so nothing more either
    pair, more = _pairs.best_pair(gain, fall), _pairs.best_pairs(gain, fall, 4)
    assert not more[0].any()
    assert (more | ~pair).all()
    for row in range(1, 5):
        sums = (gain * pair)[row].sum(), (fall * pair)[row].sum()
        worth = (gain[row] * sums[1] + fall[row] * sums[0]).masked_fill(pair[row], -torch.inf)
        extra = (more & ~pair)[row]
        assert extra.sum() == 6
        assert worth[extra].min() >= worth[~extra].max()


def test_pixels_that_would_lower_the_product_stay() -> None:
    gain = torch.tensor([[3.0, 2.0, 1.0, -1.0, -2.0]])
    assert _pairs.best_pairs(gain, gain, 2)[0].tolist() == [True, True, True, False, False]
    assert _pairs.best_pairs(gain, gain, 9)[0].tolist() == [True, True, True, False, False]


@pytest.mark.statistical
@pytest.mark.parametrize("attack", [JSMA(), PAPER], ids=["fast", "paper"])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
def test_two_classes_need_hardly_more_values_than_the_closed_form(attack: JSMA, bounds: tuple[float, float]) -> None:
    model = linear((30,), 2, bounds)
    x = middling(model, 24, share=0.9)
    safe = untargeted(model, x)
    found, least = reach(attack, model, x, safe, "l0"), fewest(model, x, safe)
    assert (found >= least).all()
    assert (found - least).mean() < 1


def test_a_step_never_leaves_its_direction_and_size() -> None:
    model = linear((30,), 2)
    x = middling(model, 12)
    safe = untargeted(model, x)
    cases: tuple[tuple[Literal["up", "down"], int], ...] = (("up", 1), ("down", -1))
    for direction, sign in cases:
        attack = JSMA(direction=direction, theta=0.25)
        found = attack.run(pose(attack, model, x, safe, "l0"))
        change = (found - x)[found != x] * sign
        assert (change > 0).all()
        assert torch.allclose(change.clamp(max=0.25), torch.full_like(change, 0.25), atol=0.1)


def test_a_pixel_counts_once_whatever_its_channels() -> None:
    model = linear((3, 5, 5), 2)
    x = middling(model, 12)
    safe = untargeted(model, x)
    problem = pose(JSMA(), model, x, safe, "l0")
    found = JSMA().run(problem)
    assert problem.won(found).all()
    # a picked pixel moves in all its channels, so fewer pixels do than values would
    assert (problem.distance(found) < (found != x).flatten(1).sum(1)).all()
    assert (problem.distance(found) <= fewest(model, x.flatten(1), safe)).all()


@pytest.mark.statistical
def test_nothing_needless_is_changed_on_a_linear_model() -> None:
    model = linear((30,), 4)
    x = middling(model, 24)
    safe = untargeted(model, x)
    problem = pose(JSMA(), model, x, safe, "l0")
    found = JSMA().run(problem)
    loose = JSMA(prune=False).run(pose(JSMA(), model, x, safe, "l0"))
    assert problem.distance(found).mean() < problem.distance(loose).mean()
    for row, pixel in (found != x).nonzero().tolist():
        less = found.clone()
        less[row, pixel] = x[row, pixel]
        assert not problem.won(less)[row] or problem.distance(found)[row] > 2


@pytest.mark.statistical
def test_more_targets_need_no_more_pixels() -> None:
    model, x, safe = trained("cnn")
    one, all_ = (reach(replace(PAPER, targets=n), model, x, safe, "l0") for n in (1, 9))
    assert torch.isfinite(all_).all()
    assert all_.mean() < one.mean()


@pytest.mark.statistical
def test_a_target_is_reached() -> None:
    model, x, _ = trained("cnn")
    goal = model.logits(x).argsort(1)[:, -3]
    found = JSMA().run(pose(JSMA(), model, x, safe_all_but(goal, 10), "l0"))
    assert (model.logits(found).argmax(1) == goal).float().mean() > 0.9


@pytest.mark.statistical
def test_the_lost_leave_and_passes_are_few() -> None:
    model, x, safe = trained("cnn")
    problem = pose(JSMA(), model, x, safe, "l0")
    JSMA().run(problem)
    assert problem.meter.backwards.float().mean() < 30
    assert problem.meter.backwards.min() < problem.meter.backwards.max()


@pytest.mark.slow
def test_the_four_convolutions_are_lost_within_the_l2_of_the_literature(conv4: Trained) -> None:
    safe = safe_labels(conv4.samples.y, 10)[:100]
    x = conv4.samples.x[:100]
    problem = pose(JSMA(), conv4.model, x, safe, "l0")
    found = JSMA().run(problem)
    assert problem.won(found).all()
    assert torch.linalg.vector_norm((found - x).flatten(1), dim=1).max() < 9
