"""The tests of the attacks: planted adversarials exist and are found; noise counts what it finds; forgotten wins are
seen."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest
import torch
from robusteval_defenses.gradient_masking import GradientMasking
from torch import Tensor, nn

from robusteval.api import Norm
from robusteval.assessment.checks.more_effort import power
from robusteval.contracts.classifier import ModelInfo
from robusteval.contracts.meter import Watch
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.contracts.samples import Samples
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.search.judge import Threat, on_grid
from robusteval.engine.selftest import planted, random_search
from robusteval.engine.selftest.max_margin import outstanding
from robusteval.engine.suite.options import NoiseDraws, Planted
from robusteval.engine.suite.suite import Suite, parse
from robusteval.errors import AccessError
from robusteval.loaders.pytorch.classifier import TorchClassifier
from tests.engine.test_findings import cell, honest
from tests.engine.toys import Linear, linear, samples
from tests.sure import sure

TOML = """
name = "p"
version = "1"
norms = ["l2", "linf"]
planted = { samples = 6, inner = 40, eps_l2 = 0.06, eps_linf = 0.02 }
[[attack]]
plugin = "pgd"
[[attack]]
plugin = "ddn"
[[attack]]
plugin = "fmn"
"""


def suite() -> Suite:
    return parse(TOML, "p", discover())


def test_the_keys_of_a_suite() -> None:
    made = suite()
    assert made.planted == Planted(6, 0.06, 0.02, 40)
    assert made.noise_draws == NoiseDraws(0, 10_000)


@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.06), ("linf", 0.02)])
def test_a_readout_says_inner_on_the_sample_and_planted_somewhere_in_the_ball(norm: Norm, eps: float) -> None:
    model = linear(size=12, classes=6)
    given = samples(model, count=8)
    for index in range(8):
        threat = Threat(torch.empty(0, 2, dtype=torch.bool), norm, given.bounds)
        found = planted.plant(model, given, index, threat, eps, 40, seed=0)
        assert found is not None
        weight, bias = found
        clean = float(model.logits(given.x[index]).double() @ weight - bias)
        assert clean == pytest.approx(-4, abs=1e-4)
        way = (
            model.weight.double() @ weight
        )  # the readout is linear in x here, so its largest value in the ball is known
        far = eps * float(way.norm() if norm == "l2" else way.abs().sum())
        assert clean + far > 0


def test_the_attacks_find_all_and_a_masked_gradient_finds_none() -> None:
    model = linear(size=12, classes=6)
    given = samples(model, count=8)
    right = torch.ones(8, dtype=torch.bool)
    for row in planted.test(model, given, right, suite(), discover(), 0):
        assert (row.status, len(row.samples), row.failed) == ("done", 6, {})
        assert power(row.found, row.needs) == 1.0
        assert sum(row.random) < 6
        assert row.features.startswith("scores: ")
    masked = dataclasses.replace(model)
    masked.twin = lambda x: model.twin(x.detach()) + 0 * x.sum()  # type: ignore[method-assign]
    for row in planted.test(masked, given, right, suite(), discover(), 0):
        assert power(row.found, row.needs) < 0.5


@dataclass
class Deep:
    """A linear model over features of its own, of more dimensions than there are inner points. masked: the features
    give no gradient, and the scores take it from elsewhere; silent: it cannot show them."""

    base: Linear
    masked: bool = False
    silent: bool = False

    @property
    def info(self) -> ModelInfo:
        return self.base.info

    def logits(self, x: Tensor) -> Tensor:
        return self.base.logits(x)

    def twin(self, x: Tensor) -> Tensor:
        return self.base.twin(x)

    def features(self) -> Linear:
        if self.silent:
            raise AccessError("There is no last layer.")
        rng = torch.Generator().manual_seed(3)
        made = Linear(torch.randn(12, 300, generator=rng), 1000 * torch.randn(300, generator=rng))
        if self.masked:
            plain = made.twin
            made.twin = lambda x: plain(x.detach()) + 0 * x.sum()  # type: ignore[method-assign]
        return made


def test_penultimate_features_are_read_where_they_are_shown() -> None:
    model = linear(size=12, classes=6)
    given, right = samples(model, count=8), torch.ones(8, dtype=torch.bool)
    for row in planted.test(Deep(model), given, right, suite(), discover(), 0):
        assert row.features == "penultimate: linear, 300 numbers"
        assert (row.status, len(row.samples), row.failed) == ("done", 6, {})
        assert power(row.found, row.needs) == 1.0
        assert sum(row.random) <= 1
    for row in planted.test(Deep(model, masked=True), given, right, suite(), discover(), 0):
        assert power(row.found, row.needs) <= 0.5  # although the scores' own gradient is as good as ever
    for row in planted.test(Deep(model, silent=True), given, right, suite(), discover(), 0):
        assert row.features == "scores: There is no last layer."
        assert (row.status, power(row.found, row.needs)) == ("done", 1.0)


def test_stairs_in_the_place_of_activations_mask_the_features_too() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = nn.Sequential(nn.Linear(20, 60), nn.ReLU(), nn.Linear(60, 30), nn.ReLU(), nn.Linear(30, 4))
    model = TorchClassifier.from_module(module, (20,))
    x = samples(linear(), count=6).x
    given = Samples(x, model.logits(x).argmax(1), (0.0, 1.0), "toy")
    right = torch.ones(6, dtype=torch.bool)
    for surrogate, least, most in ((False, 0.0, 0.5), (True, 0.99, 1.0)):
        stairs = GradientMasking(step=0.0005, surrogate=surrogate).fit(model, None, torch.Generator()).model
        for row in planted.test(stairs, given, right, suite(), discover(), 0):
            assert row.features.startswith("penultimate")
            assert least <= power(row.found, row.needs) <= most


@pytest.mark.parametrize(("count", "size"), [(50, 8), (30, 400)])
def test_the_candidate_that_stands_out_has_the_widest_margin(count: int, size: int) -> None:
    rng = torch.Generator().manual_seed(count)
    points = 100 + torch.randn(count, size, generator=rng).double()
    candidates = 100 + torch.randn(20, size, generator=rng).double()
    candidates[7] = points.mean(0) + 3 * (candidates[7] - points.mean(0))
    best, way, top, value = sure(outstanding(points, candidates))
    others = torch.cat([points, candidates[:7], candidates[8:]])
    assert best == 7
    assert float(top) == pytest.approx(float((others @ way).max()), rel=1e-12)
    assert float(value) == pytest.approx(float(candidates[7] @ way), rel=1e-12)
    # at the widest margin, the margin is as long as the way itself, and no other way has a wider one
    margin = float(value - top) / float(way.norm())
    assert margin == pytest.approx(float(way.norm()), rel=1e-3)
    for _ in range(50):
        turned = way / way.norm() + 0.05 * torch.randn(size, generator=rng).double()
        assert float(((candidates[7] - others) @ turned).min() / turned.norm()) <= margin * (1 + 1e-6)


def test_nothing_stands_out_of_a_crowd_that_surrounds_it() -> None:
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(400, 2, generator=rng).double()
    assert outstanding(points, 0.1 * torch.randn(20, 2, generator=rng).double()) is None
    assert outstanding(torch.ones(10, 5).double(), torch.ones(4, 5).double()) is None


def test_samples_whose_balls_meet_are_not_planted_on_together() -> None:
    model = linear(size=12, classes=6)
    given = samples(model, count=8)
    x = given.x.clone()
    x[1], x[2] = x[0] + 0.01, x[0] - 0.01
    near = Samples(x, model.logits(x).argmax(1), (0.0, 1.0), "toy")
    for row in planted.test(model, near, torch.ones(8, dtype=torch.bool), suite(), discover(), 0):
        assert not {1, 2} & set(row.samples)
        assert len(row.samples) >= 4
        assert power(row.found, row.needs) == 1.0


def test_nothing_is_planted_where_no_attack_fits_or_none_is_asked_for() -> None:
    model = linear()
    given, right = samples(model, count=4), torch.ones(4, dtype=torch.bool)
    model.info = dataclasses.replace(model.info, gradients="none")
    rows = planted.test(model, given, right, suite(), discover(), 0)
    assert [row.status for row in rows] == ["excluded", "excluded"]
    without = dataclasses.replace(suite(), planted=Planted())
    assert planted.test(model, given, right, without, discover(), 0) == []


BLACK = """
[[attack]]
plugin = "square"
params = { queries = 300 }
when = "no-gradients"
"""


def test_without_gradients_the_test_is_asked_of_the_black_box_attacks() -> None:
    model = linear(size=12, classes=6)
    given, right = samples(model, count=8), torch.ones(8, dtype=torch.bool)
    made = parse(TOML + BLACK, "p", discover())
    for row in planted.test(model, given, right, made, discover(), 0):
        assert sorted(row.needs) == (["ddn", "fmn", "pgd"] if row.norm == "l2" else ["fmn", "pgd"])
    model.info = dataclasses.replace(model.info, gradients="none")
    for row in planted.test(model, given, right, made, discover(), 0):
        assert (row.status, row.needs) == ("done", {"square": "scores"})
        assert power(row.found, row.needs) > 0.5
    model.info = dataclasses.replace(model.info, output="labels")
    for row in planted.test(model, given, right, made, discover(), 0):
        assert (row.status, row.reason) == (
            "excluded",
            "the model answers with labels only, so there is nothing to read out",
        )


def test_a_crowd_of_equal_scores_is_excluded() -> None:
    model = linear()
    model.weight = torch.zeros_like(model.weight)
    model.bias = torch.arange(4.0)
    given = samples(linear(), count=4)
    rows = planted.test(model, given, torch.ones(4, dtype=torch.bool), suite(), discover(), 0)
    assert {row.status for row in rows} == {"excluded"}


@pytest.mark.parametrize(("factor", "hits"), [(1.0, False), (30.0, True)])
def test_noise_finds_nothing_below_the_true_distance_and_something_below_a_false_one(factor: float, hits: bool) -> None:
    model = linear()
    given = samples(model, count=5)
    true = model.double().smallest(given.x, given.y, 2)
    record = honest()
    record.cells = [cell("ddn", [float(factor * value) for value in true])]
    asked = dataclasses.replace(suite(), noise_draws=NoiseDraws(3, 700))
    (row,) = random_search.search(record, Pipeline(Defended(model)), given, asked, 0)
    assert (row.norm, row.samples, row.draws) == ("l2", [0, 1, 2], 700)
    assert row.eps == pytest.approx([0.9 * factor * float(value) for value in true[:3]])
    assert any(count > 0 for count in row.hits) == hits
    assert all(count <= 700 for count in row.hits)


@pytest.mark.parametrize("levels", [0, 31])
def test_planted_points_lie_on_the_grid_and_are_found_there(levels: int) -> None:
    model = linear(size=12, classes=6)
    given = samples(model, count=8)
    grid = () if levels == 0 else (0.0, 1.0, levels)
    given = dataclasses.replace(given, x=on_grid(given.x, grid), grid=grid)
    asked = dataclasses.replace(suite(), planted=Planted(6, 0.3, 0.08, 40))
    for row in planted.test(model, given, torch.ones(8, dtype=torch.bool), asked, discover(), 0):
        assert (row.status, row.failed) == ("done", {})
        assert row.samples
        assert power(row.found, row.needs, "gradient") == 1.0
    threat = Threat(torch.empty(0, 2, dtype=torch.bool), "linf", given.bounds, 0, grid)
    points = planted._noise(given.x[:1], threat, 0.08, 50, torch.Generator().manual_seed(0), True)
    assert levels == 0 or bool(((points * levels - (points * levels).round()).abs() < 1e-4).all())
    assert float((points - given.x[:1]).abs().max()) <= 0.08 + 1e-6


def test_a_watch_sees_lawful_wins_only() -> None:
    x0 = torch.zeros(3, 2)
    safe = torch.tensor([[True, False]] * 3)
    watch = Watch(5, torch.tensor([4, 0, 2]), x0, safe, "linf", torch.full((3,), 0.5), (0.0, 1.0))
    wins, loses = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    watch.see(torch.tensor([0]), torch.full((1, 2), 0.6), wins)  # over the budget
    watch.see(torch.tensor([2]), torch.full((1, 2), -0.1), wins)  # outside the box
    watch.see(torch.tensor([4]), torch.full((1, 2), 0.4), loses)
    assert watch.met.tolist() == [False, False, False]
    watch.see(torch.tensor([0]), torch.full((1, 2), 0.5), wins)
    watch.see(torch.tensor([0]), torch.full((1, 2), 0.5), loses)  # what was met stays met
    assert watch.met.tolist() == [False, True, False]
