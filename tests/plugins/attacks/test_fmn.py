from __future__ import annotations

import pytest
from robusteval_attacks.ddn import DDN
from robusteval_attacks.fmn import FMN

from robusteval.api import Norm
from tests.plugins.attacks.minimal import excess, fewest, reach, trained
from tests.plugins.linear_models import linear, middling, untargeted


@pytest.mark.statistical
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(("bounds", "classes"), [((0.0, 1.0), 2), ((-3.0, 5.0), 3), ((0.0, 255.0), 10)])
def test_finds_the_closed_form_on_a_linear_model(norm: Norm, bounds: tuple[float, float], classes: int) -> None:
    found = excess(FMN(), norm, bounds, classes)
    assert found.min() > 0.999
    assert found.isfinite().all()
    assert found.median() < 1.001  # the largest score need not be that of the nearest class, so not of every sample


@pytest.mark.statistical
def test_l1_ends_near_the_closed_form() -> None:
    assert excess(FMN(), "l1").median() < 1.1


@pytest.mark.statistical
def test_l0_needs_hardly_more_values_than_the_closed_form() -> None:
    model = linear((12,), 3)
    x = middling(model, 24)
    safe = untargeted(model, x)
    found, least = reach(FMN(), model, x, safe, "l0"), fewest(model, x, safe)
    assert (found >= least).all()
    assert (found - least).mean() < 0.5


@pytest.mark.statistical
@pytest.mark.parametrize("name", ["cnn", "robust"])
def test_beats_or_meets_ddn_on_trained_models(name: str) -> None:
    model, x, safe = trained(name)
    assert reach(FMN(), model, x, safe, "l2").median() < 1.1 * reach(DDN(), model, x, safe, "l2").median()
    assert reach(FMN(steps=100), model, x, safe, "linf").isfinite().all()
