import pytest
import robusteval_acme

from robusteval.testing import Check, assert_conforms, checks_for


@pytest.mark.parametrize("check", checks_for(robusteval_acme.Coordinate), ids=str)
def test_promise(check: Check) -> None:
    check()


def test_all() -> None:
    assert_conforms(robusteval_acme.Coordinate)
