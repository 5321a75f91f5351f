"""The search towards the clean sample in l0: what comes back wins, and no pixel of it is needless."""

from __future__ import annotations

import pytest
import torch

from robusteval import ops
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Threat
from robusteval.engine.search.l0_pruning import HALVINGS, SINGLES, undo
from robusteval.engine.seeding import generator
from robusteval.engine.suite.goals import safe_mask
from tests.engine.toys import linear, samples


class Sum:
    """Won where the changes sum up to more than a bar: each pixel's part is its own. Counts its questions per
    sample."""

    def __init__(self, x0: torch.Tensor, bar: torch.Tensor) -> None:
        self.x0, self.bar, self.asked = x0, bar, torch.zeros(len(x0), dtype=torch.long)

    def __call__(self, at: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        self.asked[at] += 1
        return (x - self.x0[at]).flatten(1).sum(1) > self.bar[at]


def _case(count: int, shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor, Sum]:
    rng = torch.Generator().manual_seed(1)
    x0 = torch.rand((count, *shape), generator=rng, dtype=torch.float64)
    changed = torch.rand(x0.shape, generator=rng) < torch.linspace(0.1, 1, count).view(-1, *[1] * len(shape))
    far = x0 + torch.rand(x0.shape, generator=rng, dtype=torch.float64) * changed
    share = torch.linspace(0.99, 0.05, count)
    return x0, far, Sum(x0, (far - x0).flatten(1).sum(1) * share)


def test_where_every_pixel_has_its_own_part_the_fewest_are_left() -> None:
    x0, far, wins = _case(64, (20,))
    found = undo(x0, far, wins)
    rows = torch.arange(len(x0))
    assert wins(rows, found).all()
    # the fewest: the largest changes, until the bar is passed
    parts = (far - x0).sort(1, descending=True).values.cumsum(1)
    fewest = (parts <= wins.bar[:, None]).sum(1) + 1
    assert torch.equal(ops.size(found - x0, "l0"), fewest.double())
    assert (fewest < ops.size(far - x0, "l0")).any()
    assert wins.asked.max() <= HALVINGS + SINGLES + 1


def test_a_needless_pixel_goes_back_whatever_its_change() -> None:
    """The one with the largest change has no part in the win, so halving cannot find it."""
    x0 = torch.zeros(3, 6)
    far = torch.tensor([[0.5, 0.4, 0.9, 0.0, 0.3, 0.0]]).repeat(3, 1)

    def wins(at: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] > 0) & (x[:, 4] > 0)

    assert undo(x0, far, wins)[1].tolist() == pytest.approx([0.5, 0, 0, 0, 0.3, 0])


def test_a_pixel_goes_back_with_all_of_its_channels() -> None:
    x0, far, wins = _case(16, (3, 4, 4))
    found = undo(x0, far, wins)
    same, old = found == x0, found == far
    assert (same.all(1) | old.all(1)).all()
    assert (ops.size(found - x0, "l0") < ops.size(far - x0, "l0")).any()


def test_a_sample_does_not_depend_on_its_batch() -> None:
    x0, far, wins = _case(32, (30,))
    whole = undo(x0, far, wins)
    for row in range(0, 32, 7):
        one = Sum(x0[row : row + 1], wins.bar[row : row + 1])
        assert torch.equal(undo(x0[row : row + 1], far[row : row + 1], one)[0], whole[row])


@pytest.mark.parametrize("levels", [0, 256])
def test_the_engine_puts_needless_pixels_of_an_attack_back(levels: int) -> None:
    model = linear()
    data = samples(model)
    safe = safe_mask(data.y, None, 4, 4)
    meter = Meter(len(data))
    x0 = ops.to_grid(data.x, (0.0, 1.0), 256)
    sweep = Sweep(Pipeline(Defended(model)), x0, Threat(safe, "l0", (0.0, 1.0), levels), generator(0, "u"), meter)

    def propose(rows: torch.Tensor, eps: torch.Tensor | None) -> torch.Tensor:
        step = model.weight.T[(data.y[rows] + 1) % 4] - model.weight.T[data.y[rows]]
        return (x0[rows] + step.sign()).clamp(0, 1)  # every pixel to its edge

    best = sweep.minimal(propose)
    won = best.distance.isfinite()
    assert won.all()
    assert (best.distance < ops.size(propose(torch.arange(len(data)), None) - x0, "l0")).all()
    assert torch.equal(best.distance, ops.size(best.x - x0, "l0").double())
    assert (model.logits(best.x).argmax(1) != data.y).all()
    assert meter.forwards.sum() > 0


@pytest.mark.parametrize(
    ("changed", "needed"), [(1, 1), (5, 2), (16, 3), (17, 1), (17, 17), (40, 1), (40, 25), (40, 39)]
)
def test_no_more_is_asked_than_halving_and_single_pixels_take(changed: int, needed: int) -> None:
    """All pixels change alike but a little; the needed ones are those that change most, so halving finds them."""
    x0 = torch.zeros(1, 50, dtype=torch.float64)
    far = x0.clone()
    far[0, :changed] = torch.linspace(0.1, 0.2, changed, dtype=torch.float64)
    asked = []

    def wins(at: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        asked.append(int((x != 0).sum()))
        return (x[:, changed - needed : changed] > 0).all(1)

    found = undo(x0, far, wins)
    assert int((found != 0).sum()) == needed
    low, high, expected = 0, changed if changed > SINGLES else 0, 0
    while high - low > 1:
        middle, expected = (low + high) // 2, expected + 1
        low, high = (middle, high) if middle <= changed - needed else (low, middle)
    assert len(asked) == expected + min(SINGLES, changed - high)
