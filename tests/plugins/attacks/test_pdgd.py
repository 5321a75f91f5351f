from __future__ import annotations

import pytest
from robusteval_attacks.ddn import DDN
from robusteval_attacks.pdgd import PDGD

from tests.plugins.attacks.minimal import excess, reach, trained
from tests.plugins.linear_models import pose


@pytest.mark.statistical
@pytest.mark.parametrize(("bounds", "classes"), [((0.0, 1.0), 2), ((-3.0, 5.0), 3), ((0.0, 255.0), 10)])
def test_finds_the_closed_form_on_a_linear_model(bounds: tuple[float, float], classes: int) -> None:
    found = excess(PDGD(), "l2", bounds, classes)
    assert found.min() > 0.999
    assert found.median() < (1.02 if classes < 10 else 1.2)  # with ten it may settle at another class


@pytest.mark.statistical
def test_is_far_nearer_than_ddn_on_the_robust_model() -> None:
    model, x, safe = trained("robust")
    found, other = reach(PDGD(), model, x, safe, "l2"), reach(DDN(), model, x, safe, "l2")
    assert found.isfinite().all()
    assert (found / other).median() < 0.97


def test_repeats_differ_and_never_lose() -> None:
    model, x, safe = trained("robust")
    x, safe = x[:6], safe[:6]
    problem = pose(PDGD(), model, x, safe, "l2")
    once, other, both = (
        problem.distance(PDGD(steps=60, targets=1, dual_rate=rate, repeats=repeats).run(problem))
        for rate, repeats in ((0.1, 1), (0.2, 1), (0.1, 2))
    )
    assert (once != other).any()
    assert both.tolist() == pytest.approx(once.minimum(other).tolist(), rel=1e-4)
