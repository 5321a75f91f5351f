"""TF32, which only a GPU has: what can be seen without one is which switches are on when."""

from __future__ import annotations

import pytest
import torch

from robusteval.contracts.tuning import TF32, Tuning


def products() -> tuple[bool, bool]:
    return torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    ("tuning", "there", "back"),
    [
        (Tuning(precision=TF32), (True, True), (True, True)),
        (Tuning(), (False, False), None),
        (Tuning(precision=TF32).full(), (False, False), None),
    ],
)
def test_tf32_is_on_for_gradients_that_may_be_rounded_alone(
    tuning: Tuning, there: tuple[bool, bool], back: tuple[bool, bool] | None
) -> None:
    """On the way there and back; what is asked in full in between, as of the images near the boundary, is in full."""
    before = products()
    with tuning.there_and_back("cuda"):
        assert products() == (back or before)
        with tuning.kernels("cuda"):
            assert products() == there
        with Tuning().kernels("cuda"):
            assert products() == (False, False)
        assert products() == (back or before)
    assert products() == before
    with tuning.there_and_back("cpu"), tuning.kernels("cpu"):
        assert products() == before
