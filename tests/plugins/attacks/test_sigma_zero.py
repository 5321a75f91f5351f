from __future__ import annotations

import pytest
from robusteval_attacks.fmn import FMN
from robusteval_attacks.sigma_zero import SigmaZero

from tests.plugins.attacks.minimal import fewest, reach, trained
from tests.plugins.linear_models import linear, middling, untargeted


@pytest.mark.statistical
def test_needs_hardly_more_values_than_the_closed_form() -> None:
    model = linear((30,), 3)
    x = middling(model, 24)
    safe = untargeted(model, x)
    found, least = reach(SigmaZero(steps=300), model, x, safe, "l0"), fewest(model, x, safe)
    assert (found >= least).all()
    assert (found - least).mean() < 1


@pytest.mark.statistical
def test_changes_no_more_pixels_than_fmn() -> None:
    model, x, safe = trained("cnn", 8)
    found = reach(SigmaZero(steps=300), model, x, safe, "l0")
    assert found.median() <= reach(FMN(steps=300), model, x, safe, "l0").median()
