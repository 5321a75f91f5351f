"""ead: near the closed form on linear models, in any range of pixels."""

from __future__ import annotations

import pytest
from robusteval_attacks.alma import ALMA
from robusteval_attacks.ead import EAD

from tests.plugins.attacks.minimal import reach, trained
from tests.plugins.linear_models import linear, middling, optimum, pose, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 3.0)])
@pytest.mark.parametrize("classes", [2, 4])
def test_within_twice_the_smallest_distance(bounds: tuple[float, float], classes: int) -> None:
    model = linear((20,), classes, bounds)
    x = middling(model, 8, share=0.4)
    safe = untargeted(model, x)
    problem = pose(EAD(), model, x, safe, "l1")
    found = EAD().run(problem)
    assert problem.won(found).all()
    ratio = problem.distance(found) / optimum(model, x, safe, "l1")
    assert (ratio >= 0.999).all()
    assert ratio.median() < 2


@pytest.mark.statistical
def test_shrinkage_brings_it_near_in_l1_on_a_trained_model() -> None:
    model, x, safe = trained("cnn", 16)
    near, dense, other = (reach(attack, model, x, safe, "l1") for attack in (EAD(), EAD(beta=1e-4), ALMA(steps=150)))
    assert (near / other).median() < 1.3
    assert (dense / other).median() > 1.5
