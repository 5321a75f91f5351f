"""Attacks against the smallest distance, which is known in closed form for linear models, the box included."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.deepfool import DeepFool
from robusteval_attacks.fgsm import FGSM
from robusteval_attacks.noise import Noise
from robusteval_attacks.pgd import PGD
from robusteval_attacks.square import Square

from robusteval.api import Defended, Norm, Problem
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Threat
from robusteval.testing import inputs, linear, pose, safe_all_but, safe_labels
from robusteval.testing.oracles import Linear

SHAPES = [((20,), 2, (0.0, 1.0)), ((3, 6, 6), 2, (-1.0, 3.0)), ((1, 12, 12), 2, (0.0, 255.0))]


def setting(
    shape: tuple[int, ...], classes: int, bounds: tuple[float, float], count: int = 9, spread: float = 0.1
) -> tuple[Linear, torch.Tensor, torch.Tensor]:
    model = linear(shape, classes, bounds)
    x = inputs(model.info, count, spread=spread)
    return model, x, safe_labels(model.logits(x).argmax(1), classes)


@pytest.mark.parametrize(("shape", "classes", "bounds"), SHAPES)
@pytest.mark.parametrize(
    ("attack", "norm"), [(DeepFool(halvings=0), "l2"), (DeepFool(halvings=6), "linf"), (DDN(), "l2")], ids=str
)
def test_minimal_attacks_find_the_optimum(
    attack: DeepFool | DDN, norm: Norm, shape: tuple[int, ...], classes: int, bounds: tuple[float, float]
) -> None:
    model, x, safe = setting(shape, classes, bounds)
    problem = pose(model, x, safe, norm)
    found = attack.run(problem)
    assert problem.won(found).all()
    ratio = problem.distance(found) / model.smallest(x, safe, norm)
    assert ratio.min() > 0.999
    assert ratio.max() < 1.05


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_finds_the_nearest_of_many_boundaries(norm: Norm) -> None:
    model, x, safe = setting((3, 6, 6), 7, (0.0, 1.0))
    problem = pose(model, x, safe, norm)
    ratio = problem.distance(DeepFool().run(problem)) / model.smallest(x, safe, norm)
    assert ratio.max() < 1.05


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_crosses_boundaries_that_the_box_hides(norm: Norm) -> None:
    model, x, safe = setting((1, 12, 12), 2, (0.0, 1.0), spread=0.5)
    x = x.round()  # every value sits at an edge of the box, half of them at the useless one
    safe = safe_labels(model.logits(x).argmax(1), 2)
    problem = pose(model, x, safe, norm)
    found = DeepFool().run(problem)
    assert problem.won(found).all()
    assert (problem.distance(found) / model.smallest(x, safe, norm)).max() < 1.05


@pytest.mark.parametrize(("shape", "classes", "bounds"), SHAPES)
@pytest.mark.parametrize(
    ("attack", "norm"),
    [(FGSM(), "linf"), (FGSM(), "l2"), (PGD(), "linf"), (PGD(), "l2"), (PGD(), "l1"), (PGD(loss="margin"), "linf")],
    ids=str,
)
def test_fixed_attacks_find_the_optimum_when_the_budget_is_searched(
    attack: FGSM | PGD, norm: Norm, shape: tuple[int, ...], classes: int, bounds: tuple[float, float]
) -> None:
    model, x, safe = setting(shape, classes, bounds)
    smallest = model.smallest(x, safe, norm)
    low, high = torch.zeros_like(smallest), 4 * smallest
    for _ in range(8):
        middle = (low + high) / 2
        problem = pose(model, x, safe, norm, eps=middle)
        won = problem.won(attack.run(problem))
        low, high = torch.where(won, low, middle), torch.where(won, middle, high)
    assert (high / smallest).max() < 1.10


def test_targets_need_no_code_of_their_own() -> None:
    model, x, _ = setting((3, 6, 6), 5, (0.0, 1.0))
    goal = (model.logits(x).argmax(1) + 2) % 5
    safe = safe_all_but(goal, 5)
    for attack in (DeepFool(), DDN(), PGD(loss="margin")):
        minimal = attack.info.budget == "minimal"
        eps = None if minimal else 2 * model.smallest(x, safe, "l2")
        found = attack.run(pose(model, x, safe, "l2", eps=eps))
        assert (model.logits(found).argmax(1) == goal).all(), attack


@pytest.mark.statistical
def test_won_samples_leave_the_batch() -> None:
    model, x, safe = setting((20,), 2, (0.0, 1.0))
    eps = 1.5 * model.smallest(x, safe, "linf")
    eps[0] = 0
    for attack in (PGD(), Square(queries=50)):
        needs = attack.info.needs
        problem = pose(model, x, safe, "linf", eps=eps, needs=needs)
        attack.run(problem)
        passes = problem.meter.forwards
        assert passes[0] == (31 if needs == "gradient" else 50)
        assert passes[1:].float().mean() < 0.9 * passes[0]


def test_restarts_run_on_the_survivors_only() -> None:
    model, x, safe = setting((20,), 2, (0.0, 1.0))
    eps = 1.5 * model.smallest(x, safe, "linf")
    eps[0] = 0
    problem = pose(model, x, safe, "linf", eps=eps)
    PGD(restarts=3).run(problem)
    assert problem.meter.forwards[0] == 3 * 31
    assert problem.meter.forwards[1:].max() < 31


def test_noise_has_the_exact_size_although_the_box_cuts_it() -> None:
    model, x, _ = setting((1, 12, 12), 2, (0.0, 1.0))
    x = torch.zeros_like(x)
    cases: tuple[tuple[Norm, float], ...] = (("l2", 1.5), ("linf", 0.2))
    for norm, eps in cases:
        problem = pose(model, x, safe_labels(model.logits(x).argmax(1), 2), norm, eps=eps, needs="decision")
        size = problem.distance(Noise(repeats=1).run(problem))
        assert torch.allclose(size, torch.full_like(size, eps), rtol=1e-3)


def test_l1_steps_move_few_values() -> None:
    model, x, safe = setting((1, 12, 12), 2, (0.0, 1.0))
    eps = model.smallest(x, safe, "l1") * 1.2
    found = PGD(random_start=False).run(pose(model, x, safe, "l1", eps=eps))
    assert ((found - x).flatten(1) != 0).sum(1).max() < 30


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize(
    ("attack", "norm", "most"),
    [
        (DeepFool(), "l2", 1.05),
        (DeepFool(), "linf", 1.05),
        (DDN(loss="nearest"), "l2", 1.05),
        (PGD(loss="nearest"), "l2", 1.10),
        (PGD(loss="nearest"), "linf", 1.10),
    ],
    ids=str,
)
def test_the_nearest_of_many_classes_is_found_through_the_engines_search(
    attack: DeepFool | DDN | PGD, norm: Norm, most: float, classes: int
) -> None:
    # Samples from all over the box, so that it binds, and boundaries of several classes at similar distances.
    model = linear((1, 8, 8), classes)
    x = inputs(model.info, 24)
    safe = safe_labels(model.logits(x).argmax(1), classes)
    assert (searched(model, attack, x, safe, norm) / model.smallest(x, safe, norm)).max() < most


def searched(model: Classifier, attack: Attack, x: torch.Tensor, safe: torch.Tensor, norm: Norm) -> torch.Tensor:
    """Smallest distance that the engine's search finds with this attack, [B]."""
    pipeline, meter, rng = Pipeline(Defended(model)), Meter(len(x)), torch.Generator().manual_seed(0)
    bounds = model.info.bounds
    memory: dict[str, Any] = {}
    sweep = Sweep(pipeline, x, Threat(safe, norm, bounds), rng, meter)

    def propose(rows: torch.Tensor, eps: torch.Tensor | None) -> torch.Tensor:
        view = (pipeline, meter, rows)
        return attack.run(Problem(x[rows], safe[rows], norm, eps, bounds, rng, "gradient", *view, memory=memory))

    if attack.info.budget == "minimal":
        return sweep.minimal(propose).distance
    return sweep.fixed(propose, {"l2": 6.0, "linf": 0.5}[norm], 6).distance
