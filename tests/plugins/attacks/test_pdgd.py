import pytest
from robusteval_attacks.ddn import DDN
from robusteval_attacks.pdgd import PDGD

from tests.plugins.attacks.minimal import excess, reach, trained


@pytest.mark.parametrize(("bounds", "classes"), [((0.0, 1.0), 2), ((-3.0, 5.0), 3), ((0.0, 255.0), 10)])
def test_finds_the_closed_form_on_a_linear_model(bounds, classes):
    found = excess(PDGD(), "l2", bounds, classes)
    assert found.min() > 0.999
    assert found.median() < (1.02 if classes < 10 else 1.2)  # with ten it may settle at another class


def test_is_far_nearer_than_ddn_on_the_robust_model():
    model, x, keep = trained("robust")
    found, other = reach(PDGD(), model, x, keep, "l2"), reach(DDN(), model, x, keep, "l2")
    assert found.isfinite().all()
    assert (found / other).median() < 0.97
