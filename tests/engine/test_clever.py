"""CLEVER against margins whose largest slope is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from robusteval.api import Norm
from robusteval.contracts.samples import Samples
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.selftest.clever import ball, estimate, fit_weibull_max, largest
from robusteval.engine.suite.options import Clever
from robusteval.record import store
from tests.engine import toys
from tests.sure import number, sure

FEW = Clever(samples=4, batches=20, batch_size=16, radius_l2=5.0, radius_linf=5.0, targets="all")


def everything_right(samples: Samples) -> torch.Tensor:
    return torch.ones(len(samples), dtype=torch.bool)


@pytest.mark.parametrize(("norm", "dual"), [("l2", 2.0), ("linf", 1.0)])
def test_on_a_linear_model_it_is_the_true_distance(norm: str, dual: float) -> None:
    model = toys.linear()
    samples = toys.samples(model)
    (row,) = estimate(model, samples, everything_right(samples), FEW, (norm,), 0)
    true = model.double().smallest(samples.x, samples.y, dual)[:4]
    assert row.value == pytest.approx(true.tolist(), rel=1e-4, abs=1e-6)
    assert row.fit == [None] * 4


@dataclass
class Bent(toys.Linear):
    """Scores bend: the margin's slope between 0 and 1 is 2 + sin(8 t), at most 3."""

    def twin(self, x: torch.Tensor) -> torch.Tensor:
        t = x[:, 0]
        score = 2 * t - torch.cos(8 * t) / 8
        return torch.stack([score, torch.full_like(score, 0.9)], dim=1)


def test_on_a_bent_margin_the_slope_is_the_largest_nearby() -> None:
    model = Bent(torch.zeros(1, 2), torch.zeros(2))
    x = torch.tensor([[0.6], [0.8]])
    data = replace(toys.samples(toys.linear(1, 2)), x=x, y=torch.zeros(2, dtype=torch.int64))
    settings = replace(FEW, batches=60, batch_size=32, radius_l2=0.5)
    (row,) = estimate(model, data, everything_right(data), settings, ("l2",), 0)
    gap = (model.twin(x)[:, 0] - 0.9).tolist()
    assert row.value == pytest.approx([value / 3 for value in gap], rel=0.02)


def test_it_is_never_beyond_its_radius_and_leaves_out_the_wrong_ones() -> None:
    model = toys.linear()
    samples = toys.samples(model)
    right = everything_right(samples)
    right[:3] = False
    (row,) = estimate(model, samples, right, replace(FEW, radius_l2=1e-4), ("l2",), 0)
    assert row.samples == [3, 4, 5, 6]
    assert row.value == [row.limit] * 4 == [1e-4] * 4


def test_models_without_exact_gradients_get_none_and_a_reason() -> None:
    model = toys.linear()
    model.info = replace(model.info, gradients="straight-through")
    samples = toys.samples(model)
    (row,) = estimate(model, samples, everything_right(samples), FEW, ("l2",), 0)
    assert (row.status, row.value) == ("excluded", [])
    assert "exact gradients" in row.reason


def test_a_model_that_breaks_loses_the_estimate_only() -> None:
    model = toys.linear()
    model.weight = model.weight * torch.nan
    samples = toys.samples(toys.linear())
    (row,) = estimate(model, samples, everything_right(samples), FEW, ("l2",), 0)
    assert row.status == "failed"
    assert "finite" in row.reason


def test_nothing_unless_asked_for() -> None:
    model = toys.linear()
    samples = toys.samples(model)
    assert estimate(model, samples, everything_right(samples), Clever(), ("l2", "linf"), 0) == []


def test_the_location_of_a_known_law_is_found() -> None:
    rng = np.random.default_rng(0)
    found = [largest(stats.weibull_max.rvs(2, loc=5, scale=2, size=200, random_state=rng))[0] for _ in range(5)]
    assert np.median([sure(item) for item in found]) == pytest.approx(5, abs=0.1)


def test_the_fit_is_no_less_likely_than_scipys() -> None:
    for seed in range(6):
        data = stats.weibull_max.rvs(2 + seed, size=60, random_state=np.random.default_rng(seed))
        scaled = (data - data.max()) / data.std()
        shape, place = fit_weibull_max(scaled)
        scale = ((place - scaled) ** shape).mean() ** (1 / shape)
        theirs = stats.weibull_max.fit(scaled, 3.0, loc=0.5, scale=2.0)
        own = stats.weibull_max.nnlf((shape, place, scale), scaled)
        assert own <= stats.weibull_max.nnlf(theirs, scaled) + 1e-3 or theirs[0] > 60


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_fit_does_not_depend_on_units(scale: float) -> None:
    maxima = stats.weibull_max.rvs(3, loc=5, scale=2, size=50, random_state=np.random.default_rng(1))
    assert largest(maxima * scale)[0] == pytest.approx(sure(largest(maxima)[0]) * scale, rel=1e-3)


def test_maxima_of_an_open_law_do_not_run_away() -> None:
    rng = np.random.default_rng(2)
    for _ in range(10):
        maxima = stats.gumbel_r.rvs(size=40, random_state=rng)
        place, _ = largest(maxima)
        assert place is not None
        assert maxima.max() <= place < maxima.max() + 600 * maxima.std()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_points_fill_the_ball(norm: Norm) -> None:
    points = ball(4000, torch.Size([2, 3]), norm, 2.0, torch.Generator().manual_seed(0))
    order = 2 if norm == "l2" else float("inf")
    sizes = points.flatten(1).norm(p=order, dim=1)
    assert float(sizes.max()) <= 2.0 + 1e-6
    assert float((sizes < 2 * 0.5 ** (1 / 6)).double().mean()) == pytest.approx(0.5, abs=0.03)  # half of the volume


def test_a_run_keeps_the_estimates_and_shows_them_beside_the_attacks(tmp_path: Path) -> None:
    text = toys.SUITE.split("[[defense]]")[0].replace(
        "[[attack]]", "clever = { samples = 3, batches = 10 }\n[[attack]]", 1
    )
    (tmp_path / "toy.toml").write_text(text)
    model = toys.linear()
    data = toys.samples(model, count=20)
    job = prepare_job(
        model, toys.catalogue(*toys.TOYS), RunOptions(suite=str(tmp_path / "toy.toml"), data=(data.x, data.y))
    )
    record = run(replace(job, folder=tmp_path / "run"))
    assert [(row.norm, row.status, len(row.value)) for row in record.estimates] == [
        ("l2", "done", 3),
        ("linf", "done", 3),
    ]
    (table,) = [result for result in record.results if result.name == "clever/l2"]
    ratios = [row[6] for row in table.rows]
    assert all(
        0.5 < number(ratio) < 1.01 for ratio in ratios
    )  # a linear model: CLEVER is the distance, and no attack is nearer
    assert store.load(tmp_path / "run").estimates == record.estimates
