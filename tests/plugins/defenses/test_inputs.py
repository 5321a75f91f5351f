"""Preprocessors: what each does to an image, in any range, grey and in colour."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.pgd import PGD
from robusteval_defenses._common.filters import gaussian, median
from robusteval_defenses.blur import Blur
from robusteval_defenses.gaussian_noise import GaussianNoise, Noise
from robusteval_defenses.jpeg import Compressed, Jpeg
from robusteval_defenses.median import Median
from robusteval_defenses.mirror import Mirror
from robusteval_defenses.rotate import Rotate, turned
from robusteval_defenses.shift import Moved, Shift

from robusteval.api import RobustEvalError
from robusteval.testing import NoGradient, check_defense, inputs, linear, pose, safe_labels
from tests.plugins.conftest import Trained
from tests.sure import sure

IMAGES = (Blur, Median, Jpeg, Mirror, Shift, Rotate)
ALL = (*IMAGES, GaussianNoise)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blob(height: int = 9, width: int = 9, channels: int = 1) -> torch.Tensor:
    return torch.rand((2, channels, height, width), generator=seeded(4))


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("defense", ALL, ids=lambda kind: kind.info.name)
def test_images_of_any_range_keep_every_promise(defense: Any, channels: int, bounds: tuple[float, float]) -> None:
    report = check_defense(defense, model=linear((channels, 7, 5), 3, bounds))
    assert report.ok, str(report)


@pytest.mark.parametrize("defense", IMAGES, ids=lambda kind: kind.info.name)
def test_flat_inputs_are_refused_in_words(defense: Any) -> None:
    with pytest.raises(RobustEvalError, match="flat inputs of 12 values"):
        defense().fit(linear((12,), 3), None, seeded())


@pytest.mark.parametrize("defense", ALL, ids=lambda kind: kind.info.name)
def test_the_range_changes_nothing_but_the_units(defense: Any) -> None:
    """The same picture in 0..1 and in -1..3 is shown to the model as the same picture."""
    x = blob(channels=3)
    seen = {}
    for bounds in ((0.0, 1.0), (-1.0, 3.0)):
        low, high = bounds
        defended = defense().fit(linear((3, 9, 9), 3, bounds), None, seeded())
        model = (defended.draw(seeded(2)) if defended.draw else defended).model
        seen[bounds] = (model.change(low + x * (high - low)) - low) / (high - low)
    assert torch.allclose(seen[(0.0, 1.0)], seen[(-1.0, 3.0)], atol=1e-5)


def test_noise_has_the_size_it_says() -> None:
    change = Noise(0.1, (0.0, 1.0), seed=3)
    x = torch.full((2, 1, 100, 100), 0.5)
    moved = change(x) - x
    assert moved.std() == pytest.approx(0.1, rel=0.03)
    assert torch.equal(moved[0], moved[1])
    assert change(torch.ones_like(x)).max() == 1.0


def test_blur_is_a_weighted_mean_of_the_neighbours() -> None:
    point = torch.zeros(1, 2, 11, 11)
    point[0, 1, 5, 5] = 1.0
    out = gaussian(point, 0.8)
    assert out[0, 0].abs().max() == 0
    assert out.sum() == pytest.approx(1.0, abs=1e-5)
    assert float(out[0, 1, 5, 6] / out[0, 1, 5, 5]) == pytest.approx(math.exp(-1 / (2 * 0.64)), rel=1e-4)
    assert torch.allclose(gaussian(torch.full((1, 1, 4, 4), 0.3), 2.0), torch.full((1, 1, 4, 4), 0.3), atol=1e-6)


def test_median_wipes_out_single_pixels_and_keeps_edges() -> None:
    x = torch.zeros(1, 1, 7, 7)
    x[..., 4:] = 1.0
    edge = x.clone()
    x[0, 0, 3, 1] = 1.0
    assert torch.equal(median(x, 3), edge)
    leaf = blob().requires_grad_(True)
    (grad,) = torch.autograd.grad(median(leaf, 3)[0, 0, 4, 4], leaf)
    middle = leaf[0, 0, 3:6, 3:6].flatten().median()
    assert grad.sum() == 1
    assert leaf[grad > 0] == middle


@pytest.mark.statistical
def test_jpeg_is_what_pillow_makes_of_it() -> None:
    x = gaussian(blob(16, 16, 3), 1.5)
    rough, fine = Compressed(5, (0.0, 1.0)), Compressed(95, (0.0, 1.0))
    assert (rough(x) - x).abs().mean() > 2 * (fine(x) - x).abs().mean()
    flat = torch.full((1, 1, 8, 8), 77 / 255)
    assert torch.equal(fine(flat), flat)
    with pytest.raises(RobustEvalError, match="takes 2"):
        Jpeg().fit(linear((2, 8, 8), 3), None, seeded())


def test_jpeg_lets_gradients_through() -> None:
    model = linear((1, 8, 8), 3)
    behind = Jpeg(quality=20).fit(model, None, seeded()).model
    leaf = inputs(model.info, 2).requires_grad_(True)
    (grad,) = torch.autograd.grad(behind.twin(leaf)[:, 1].sum(), leaf)
    assert torch.equal(grad, model.weight[1].expand(2, 1, 8, 8))
    assert torch.allclose(behind.twin(leaf), behind.logits(leaf), atol=1e-5)
    assert behind.info.gradients == "straight-through"
    assert Jpeg().fit(NoGradient(model), None, seeded()).model.info.gradients == "none"


def test_shift_moves_by_whole_pixels_in_all_directions() -> None:
    x = blob()
    seen = set()
    for seed in range(200):
        moved = Moved(2, seed)
        down, right = moved.by()
        seen.add((down, right))
        out = moved(x)
        rows, columns = torch.arange(9) - down, torch.arange(9) - right
        assert torch.equal(out, x[:, :, rows.clamp(0, 8)][:, :, :, columns.clamp(0, 8)])
    assert len(seen) == 25
    with pytest.raises(RobustEvalError, match="out of sight"):
        Shift(reach=9).fit(linear((1, 9, 9), 3), None, seeded())


def test_rotation_turns_square_and_oblong_images_without_squeezing_them() -> None:
    x = blob()
    assert torch.allclose(turned(x, 90), torch.rot90(x, 1, (2, 3)), atol=1e-5)
    assert torch.allclose(turned(x, 0), x, atol=1e-6)
    bar = torch.zeros(1, 1, 9, 21)
    bar[0, 0, 4, 6:15] = 1.0  # nine pixels across in the middle
    upright = turned(bar, 90)
    assert torch.allclose(upright[0, 0, :, 10], torch.ones(9), atol=1e-4)
    assert upright.sum() == pytest.approx(9.0, abs=1e-3)


def test_mirror_exchanges_left_and_right() -> None:
    model = linear((3, 4, 6), 3)
    x = inputs(model.info, 3)
    behind = Mirror().fit(model, None, seeded()).model
    assert torch.equal(behind.logits(x), model.logits(x.flip(3)))
    assert not torch.equal(behind.logits(x), model.logits(x))


@pytest.mark.statistical
@pytest.mark.parametrize("defense", [Blur(), Median(), Jpeg(), Mirror()], ids=lambda defense: defense.info.name)
def test_an_attack_that_knows_it_goes_through(fashion: Trained, defense: Blur | Median | Jpeg | Mirror) -> None:
    defended = defense.fit(fashion.model, None, seeded())
    right = defended.model.logits(fashion.samples.x).argmax(1) == fashion.samples.y
    samples = fashion.samples[right]
    problem = pose(defended, samples.x, safe_labels(samples.y, 10), "linf", eps=0.1)
    assert problem.won(PGD(steps=15).run(problem)).float().mean() > 0.9


@pytest.mark.parametrize("defense", [GaussianNoise(), Shift(), Rotate()], ids=lambda defense: defense.info.name)
def test_averaging_draws_goes_through_randomness(fashion: Trained, defense: GaussianNoise | Shift | Rotate) -> None:
    """Adversarials of the bare model mostly fail on the random pipeline; those made by averaging hold on fresh
    draws."""
    defended = defense.fit(fashion.model, None, seeded())
    x, safe = fashion.samples.x[:16], safe_labels(fashion.samples.y[:16], 10)
    near = DDN(steps=20).run(pose(fashion.model, x, safe, "l2"))
    through = PGD(steps=12).run(pose(defended, x, safe, "linf", eps=0.2, draws=4))

    def lost(found: torch.Tensor) -> float:
        """By majority of 11 fresh draws, as the judge counts."""
        fresh = [sure(defended.draw)(seeded(seed)).model.logits(found).argmax(1) for seed in range(50, 61)]
        wrong = torch.stack([labels != fashion.samples.y[:16] for labels in fresh]).float().mean(0)
        return float((wrong > 0.5).float().mean())

    assert lost(near) < 0.7
    assert lost(through) > lost(near) + 0.2
