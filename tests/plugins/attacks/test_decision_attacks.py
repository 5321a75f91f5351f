"""Attacks without gradients: closed forms on linear oracles, and models that give labels or scores alone."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.boundary import Boundary
from robusteval_attacks.hopskipjump import HopSkipJump
from robusteval_attacks.noise import Noise
from robusteval_attacks.square import Square

from robusteval.api import Norm
from robusteval.testing.oracles import LabelsOnly, NoGradient, linear
from robusteval.testing.problems import inputs, pose, safe_all_but, safe_labels
from tests.plugins.attacks.decision_models import distances, right_samples, shipped


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("attack", "norm", "ratio"), [(HopSkipJump(), "l2", 1.05), (HopSkipJump(), "linf", 1.15), (Boundary(), "l2", 1.05)]
)
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.0, 5.0)])
def test_labels_of_a_linear_oracle_suffice(
    attack: HopSkipJump | Boundary, norm: Norm, ratio: float, bounds: tuple[float, float]
) -> None:
    oracle = linear((20,), 3, bounds)
    x = inputs(oracle.info, 12)
    safe = safe_labels(oracle.logits(x).argmax(1), 3)
    problem = pose(LabelsOnly(oracle), x, safe, norm, needs="decision")
    reached = distances(problem, attack.run(problem), oracle).double() / oracle.smallest(x, safe, norm)
    assert float(reached.median()) < ratio
    assert bool((reached > 0.999).all()), "nearer than the closed form allows"


@pytest.mark.parametrize("attack", [HopSkipJump(queries=500), Boundary(queries=500)])
def test_the_queries_are_about_those_allowed(attack: HopSkipJump | Boundary) -> None:
    oracle = linear((20,), 3)
    x = inputs(oracle.info, 5)
    problem = pose(LabelsOnly(oracle), x, safe_labels(oracle.logits(x).argmax(1), 3), "l2", needs="decision")
    attack.run(problem)
    assert 250 < int(problem.meter.forwards.max()) < 650
    assert int(problem.meter.backwards.sum()) == 0


@pytest.mark.statistical
@pytest.mark.parametrize("attack", [HopSkipJump(queries=1500), Boundary(queries=1500)])
def test_a_target_is_reached_from_another_sample_of_its_class(attack: HopSkipJump | Boundary) -> None:
    model = shipped("cnn")
    x, y = right_samples(model, 16)
    safe = safe_all_but(torch.roll(y, 1), 10)
    problem = pose(NoGradient(model), x, safe, "l2", needs="decision")
    start = torch.cdist(x.flatten(1), x.flatten(1)).masked_fill(y[None] != torch.roll(y, 1)[:, None], torch.inf).amin(1)
    reached = distances(problem, attack.run(problem), model)
    assert bool(reached.isfinite().all())
    assert float((reached / start)[start > 0].median()) < 0.5


@pytest.mark.statistical
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("name", ["cnn", "int8"])
def test_hopskipjump_needs_no_gradient(name: str, norm: Norm) -> None:
    """Probes smaller than a quantisation step see nothing: the paper's own size fails on int8 (1.8 in l2)."""
    model = shipped(name)
    x, y = right_samples(model, 16)
    problem = pose(NoGradient(model), x, safe_labels(y, 10), norm, needs="decision")
    reached = distances(problem, HopSkipJump(queries=1500).run(problem), model)
    assert float(reached.median()) < (1.0 if norm == "l2" else 0.07)


@pytest.mark.statistical
def test_square_needs_no_gradient() -> None:
    model = shipped("int8")
    x, y = right_samples(model, 16)
    safe = safe_labels(y, 10)
    posed = pose(NoGradient(model), x, safe, "linf", eps=0.1, needs="scores")
    noise = pose(NoGradient(model), x, safe, "linf", eps=0.1, needs="decision")
    found = distances(posed, Square(queries=400).run(posed), model).isfinite()
    assert float(found.float().mean()) > 0.7
    assert found.sum() > 2 * distances(noise, Noise().run(noise), model).isfinite().sum()
