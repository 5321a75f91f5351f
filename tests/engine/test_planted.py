"""The tests of the attacks: planted adversarials exist and are found; noise counts what it finds; forgotten wins are seen."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from robusteval.contracts.meter import Watch
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended
from robusteval.engine import noise_search, planted
from robusteval.engine.catalogue import discover
from robusteval.engine.checks.effort import power
from robusteval.engine.extras import NoiseDraws, Planted
from robusteval.engine.suite import Suite, parse
from tests.engine.test_findings import cell, honest
from tests.engine.toys import linear, samples

TOML = """
name = "p"
version = "1"
norms = ["l2", "linf"]
planted = { samples = 6, inner = 40, eps_l2 = 0.3, eps_linf = 0.05 }
[[attack]]
plugin = "pgd"
[[attack]]
plugin = "ddn"
[[attack]]
plugin = "fmn"
"""


def suite() -> Suite:
    return parse(TOML, "p", discover())


def test_the_keys_of_a_suite():
    made = suite()
    assert made.planted == Planted(6, 0.3, 0.05, 40)
    assert made.noise_draws == NoiseDraws(0, 10_000)


@pytest.mark.parametrize(("norm", "eps"), [("l2", 0.3), ("linf", 0.05)])
def test_a_readout_says_inner_on_the_sample_and_planted_somewhere_in_the_ball(norm, eps):
    model = linear(size=12, classes=6)
    given = samples(model, count=8)
    for index in range(8):
        found = planted.plant(model, given, index, norm, eps, 40, seed=0)
        assert found is not None
        weight, bias = found
        assert float(model.logits(given.x[index]) @ weight - bias) < -1
        way = model.weight @ weight  # the readout is linear in x here, so its largest value in the ball is known
        far = eps * float(way.norm() if norm == "l2" else way.abs().sum())
        assert float(model.logits(given.x[index]) @ weight - bias) + far > 0


def test_the_attacks_find_all_and_a_masked_gradient_finds_none():
    model = linear(size=12, classes=6)
    given = samples(model, count=8)
    right = torch.ones(8, dtype=torch.bool)
    for row in planted.test(model, given, right, suite(), discover(), 0):
        assert (row.status, len(row.samples), row.failed) == ("done", 6, {})
        assert power(row.found, row.needs) == 1.0
        assert sum(row.random) < 6
    masked = dataclasses.replace(model)
    masked.twin = lambda x: model.twin(x.detach()) + 0 * x.sum()
    for row in planted.test(masked, given, right, suite(), discover(), 0):
        assert power(row.found, row.needs) < 0.5


def test_nothing_is_planted_where_no_attack_fits_or_none_is_asked_for():
    model = linear()
    given, right = samples(model, count=4), torch.ones(4, dtype=torch.bool)
    model.info = dataclasses.replace(model.info, gradients="none")
    rows = planted.test(model, given, right, suite(), discover(), 0)
    assert [row.status for row in rows] == ["excluded", "excluded"]
    without = dataclasses.replace(suite(), planted=Planted())
    assert planted.test(model, given, right, without, discover(), 0) == []


def test_a_crowd_of_equal_scores_is_excluded():
    model = linear()
    model.weight = torch.zeros_like(model.weight)
    model.bias = torch.arange(4.0)
    given = samples(linear(), count=4)
    rows = planted.test(model, given, torch.ones(4, dtype=torch.bool), suite(), discover(), 0)
    assert {row.status for row in rows} == {"excluded"}


@pytest.mark.parametrize(("factor", "hits"), [(1.0, False), (30.0, True)])
def test_noise_finds_nothing_below_the_true_distance_and_something_below_a_false_one(factor, hits):
    model = linear()
    given = samples(model, count=5)
    true = model.double().smallest(given.x, given.y, 2)
    record = honest()
    record.cells = [cell("ddn", [float(factor * value) for value in true])]
    asked = dataclasses.replace(suite(), noise_draws=NoiseDraws(3, 700))
    (row,) = noise_search.search(record, Pipeline(Defended(model)), given, asked, 0)
    assert (row.norm, row.samples, row.draws) == ("l2", [0, 1, 2], 700)
    assert row.eps == pytest.approx([0.9 * factor * float(value) for value in true[:3]])
    assert any(count > 0 for count in row.hits) == hits
    assert all(count <= 700 for count in row.hits)


def test_a_watch_sees_lawful_wins_only():
    x0 = torch.zeros(3, 2)
    keep = torch.tensor([[True, False]] * 3)
    watch = Watch(5, torch.tensor([4, 0, 2]), x0, keep, "linf", torch.full((3,), 0.5), (0.0, 1.0))
    wins, loses = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])
    watch.see(torch.tensor([0]), torch.full((1, 2), 0.6), wins)  # over the budget
    watch.see(torch.tensor([2]), torch.full((1, 2), -0.1), wins)  # outside the box
    watch.see(torch.tensor([4]), torch.full((1, 2), 0.4), loses)
    assert watch.met.tolist() == [False, False, False]
    watch.see(torch.tensor([0]), torch.full((1, 2), 0.5), wins)
    watch.see(torch.tensor([0]), torch.full((1, 2), 0.5), loses)  # what was met stays met
    assert watch.met.tolist() == [False, True, False]
