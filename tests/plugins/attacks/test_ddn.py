"""ddn: how its radius changes."""

from __future__ import annotations

import itertools
import math

import pytest
from robusteval_attacks.ddn import DDN

from tests.plugins.attacks.minimal import reach, trained
from tests.plugins.linear_models import linear, middling, pose, untargeted
from tests.sure import sure


def _factors(attack: DDN) -> list[float]:
    """By what the radius of a single sample is multiplied from step to step."""
    model = linear((20,), 3)
    x = middling(model, 1)
    problem = pose(attack, model, x, untargeted(model, x), "l2", trace=True)
    attack.run(problem)
    radii = [point["radius"] for point in sure(problem.trace).points]
    return [after / before for before, after in itertools.pairwise(radii)]


def test_the_papers_share_stays_the_same() -> None:
    factors = _factors(DDN(steps=30, gamma=0.05, last_gamma=0.05))
    assert all(min(abs(factor - 0.95), abs(factor - 1.05)) < 1e-4 for factor in factors)


def test_the_share_falls_from_the_first_to_the_last_on_a_cosine() -> None:
    steps, first, last = 40, 0.2, 0.02
    shares = [abs(factor - 1) for factor in _factors(DDN(steps=steps, gamma=first, last_gamma=last))]
    expected = [last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2 for step in range(len(shares))]
    assert shares == pytest.approx(expected, abs=1e-4)


@pytest.mark.statistical
def test_the_decay_comes_nearer_than_a_constant_share_on_a_robust_model() -> None:
    """There the first radius is far too short."""
    model, x, safe = trained("robust")
    decayed, constant = (reach(attack, model, x, safe, "l2") for attack in (DDN(), DDN(gamma=0.05, last_gamma=0.05)))
    assert decayed.isfinite().all()
    assert (decayed / constant).median() < 0.99
