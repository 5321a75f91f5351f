"""Attacks against trained networks: who is stronger than whom, and figures known from other implementations."""

from __future__ import annotations

import pytest
import torch
from robusteval_attacks.ddn import DDN
from robusteval_attacks.deepfool import DeepFool
from robusteval_attacks.fgsm import FGSM
from robusteval_attacks.noise import Noise
from robusteval_attacks.pgd import PGD
from robusteval_attacks.square import Square

from robusteval.api import Norm
from robusteval.contracts.plugins import Attack
from robusteval.testing import pose, safe_labels
from tests.plugins.attacks import minimal
from tests.plugins.conftest import Trained
from tests.sure import sure


def survivors(trained: Trained, attack: Attack, norm: Norm, eps: float) -> float:
    """Share of the samples that the attack leaves right, judged by the model itself."""
    safe = safe_labels(trained.samples.y, 10)
    problem = pose(trained.model, trained.samples.x, safe, norm, eps=eps, needs=attack.info.needs)
    found = attack.run(problem)
    assert problem.distance(found).max() <= eps * (1 + 1e-6)
    return float((trained.model.logits(found).argmax(1) == trained.samples.y).float().mean())


def median(trained: Trained, attack: Attack, norm: Norm) -> float:
    safe = safe_labels(trained.samples.y, 10)
    problem = pose(trained.model, trained.samples.x, safe, norm)
    found = attack.run(problem)
    assert problem.won(found).all()
    return float(problem.distance(found).median())


def test_stronger_attacks_leave_fewer(fashion: Trained) -> None:
    left = [survivors(fashion, attack, "linf", 0.03) for attack in (Noise(), FGSM(), PGD(steps=20))]
    assert left[0] > left[1] > left[2]
    assert survivors(fashion, PGD(steps=20), "linf", 0.1) <= 0.02
    assert survivors(fashion, Square(queries=300), "linf", 0.1) < 0.3


def test_ddn_beats_deepfool(fashion: Trained) -> None:
    assert median(fashion, DDN(steps=50), "l2") < median(fashion, DeepFool(), "l2")


def test_pgd_needs_many_steps_in_every_norm(fashion: Trained) -> None:
    cases: tuple[tuple[Norm, float], ...] = (("l2", 0.5), ("l1", 4.0))
    for norm, eps in cases:
        few, many = (survivors(fashion, PGD(steps=steps), norm, eps) for steps in (2, 20))
        assert many < few


@pytest.mark.slow
def test_known_distances_on_lenet(lenet: Trained) -> None:
    assert median(lenet, DDN(), "l2") == pytest.approx(1.34, abs=0.04)
    assert median(lenet, DeepFool(), "l2") == pytest.approx(1.476, abs=0.03)


@pytest.mark.slow
def test_known_survivors_on_lenet(lenet: Trained) -> None:
    pgd = survivors(lenet, PGD(), "linf", 0.3)
    assert pgd == 0
    assert pgd < survivors(lenet, FGSM(), "linf", 0.2) < survivors(lenet, Noise(), "linf", 0.2)
    assert survivors(lenet, Square(queries=500), "linf", 0.3) <= 0.02
    assert survivors(lenet, Square(queries=500), "l2", 2.5) < 0.5


def test_a_convergence_plot_can_be_drawn(fashion: Trained) -> None:
    safe = safe_labels(fashion.samples.y, 10)
    problem = pose(fashion.model, fashion.samples.x, safe, "linf", eps=0.05)
    PGD(steps=5).run(problem)
    points = sure(problem.trace).points
    assert len(points) == 6
    assert points[-1]["margin"] > points[0]["margin"] or points[-1]["samples"] < points[0]["samples"]
    assert all(torch.isfinite(torch.tensor(list(point.values()))).all() for point in points)


def test_long_steps_that_shrink_take_more_than_equal_ones() -> None:
    model, x, safe = minimal.trained("robust", 64)
    won = []
    for attack in (PGD(step=0.1, schedule="constant"), PGD()):
        problem = pose(model, x, safe, "l2", eps=1.2)
        won.append(int(problem.won(attack.run(problem)).sum()))
    assert won[1] > won[0]
