import pytest
from robusteval_attacks.pdpgd import PDPGD

from tests.plugins.attacks.minimal import excess, fewest, reach, trained
from tests.plugins.linear_models import linear, middling, untargeted


@pytest.mark.parametrize("norm", ["l1", "linf"])
def test_ends_near_the_closed_form_on_a_linear_model(norm):
    found = excess(PDPGD(), norm, (-3.0, 5.0))
    assert found.min() > 0.999
    assert found.median() < 1.1


def test_l0_ends_near_the_closed_form():
    model = linear((30,), 3)
    x = middling(model, 24)
    keep = untargeted(model, x)
    found, least = reach(PDPGD(), model, x, keep, "l0"), fewest(model, x, keep)
    assert (found >= least).all()
    assert (found - least).median() <= 2


def test_wins_everywhere_on_a_trained_model():
    model, x, keep = trained("cnn", 8)
    for norm in PDPGD.info.norms:
        assert reach(PDPGD(steps=200), model, x, keep, norm).isfinite().all()
