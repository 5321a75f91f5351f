from __future__ import annotations

import pytest
from robusteval_attacks.alma import ALMA
from robusteval_attacks.ddn import DDN

from tests.plugins.attacks.minimal import excess, reach, trained


@pytest.mark.statistical
@pytest.mark.parametrize(("bounds", "classes"), [((0.0, 1.0), 2), ((-3.0, 5.0), 3), ((0.0, 255.0), 10)])
def test_finds_the_closed_form_on_a_linear_model(bounds: tuple[float, float], classes: int) -> None:
    found = excess(ALMA(), "l2", bounds, classes)
    assert found.min() > 0.999
    assert found.median() < 1.02


@pytest.mark.statistical
def test_l1_ends_near_the_closed_form() -> None:
    assert excess(ALMA(), "l1").median() < 1.2


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["cnn", "robust"])
def test_is_nearer_than_ddn_on_trained_models(name: str) -> None:
    model, x, safe = trained(name)
    found, other = reach(ALMA(), model, x, safe, "l2"), reach(DDN(), model, x, safe, "l2")
    assert found.isfinite().all()
    assert (found / other).median() < 1


@pytest.mark.statistical
def test_l1_needs_short_steps_at_the_end() -> None:
    model, x, safe = trained("robust", 24)
    long, short = (reach(ALMA(steps=150, decay=decay), model, x, safe, "l1").mean() for decay in (0.005, None))
    assert short < 0.8 * long
