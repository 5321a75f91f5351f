"""Losses over (scores, safe): one definition for untargeted, targeted and rejecting pipelines."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from robusteval import ops


def untargeted(y: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(y, classes).bool()


def case(seed: int, classes: int, mode: str, batch: int = 6) -> tuple[Tensor, Tensor]:
    """Random scores without ties, and a safe mask: untargeted, targeted, or with a class "rejected"."""
    rng = torch.Generator().manual_seed(seed)
    scores = torch.randn((batch, classes), generator=rng)
    y = torch.randint(0, classes, (batch,), generator=rng)
    safe = untargeted(y, classes)
    if mode == "targeted":
        safe = ~safe
    elif mode == "rejecting":
        safe[:, -1] = True
        safe[:, 0] &= safe[:, :-1].sum(1) < classes - 1  # something outside safe remains
    return scores, safe


MODES = st.sampled_from(["untargeted", "targeted", "rejecting"])


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(3, 12), mode=MODES, scale=st.sampled_from([1e-3, 1.0, 200.0]))
def test_margin_is_positive_exactly_at_a_win(seed: int, classes: int, mode: str, scale: float) -> None:
    scores, safe = case(seed, classes, mode)
    scores = scores * scale
    assert torch.equal(ops.margin(scores, safe) > 0, ops.wins(scores, safe))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 2**31), classes=st.integers(2, 12))
def test_cross_entropy_is_softplus_of_ce_with_the_same_direction(seed: int, classes: int) -> None:
    scores, safe = case(seed, classes, "untargeted")
    y = safe.int().argmax(1)
    leaf = scores.double().requires_grad_(True)
    ours = ops.ce(leaf, safe)
    theirs = torch.nn.functional.cross_entropy(leaf, y, reduction="none")
    assert torch.allclose(torch.nn.functional.softplus(ours), theirs)
    (a,) = torch.autograd.grad(ours.sum(), leaf, retain_graph=True)
    (b,) = torch.autograd.grad(theirs.sum(), leaf)
    assert torch.allclose(torch.nn.functional.cosine_similarity(a, b), torch.ones(len(a)).double())


def test_targeted_ce_has_the_direction_of_cross_entropy_towards_the_target() -> None:
    scores, safe = case(3, 5, "targeted")
    target = (~safe).int().argmax(1)
    leaf = scores.double().requires_grad_(True)
    (a,) = torch.autograd.grad(ops.ce(leaf, safe).sum(), leaf)
    (b,) = torch.autograd.grad(-torch.nn.functional.cross_entropy(leaf, target, reduction="sum"), leaf)
    assert torch.allclose(torch.nn.functional.cosine_similarity(a, b), torch.ones(len(a)).double())


@pytest.mark.parametrize("mode", ["untargeted", "targeted", "rejecting"])
@pytest.mark.parametrize("kind", list(ops.LOSSES))
def test_no_loss_saturates_at_a_temperature_of_200(kind: str, mode: str) -> None:
    scores, safe = case(0, 6, mode, batch=200)
    live = ~ops.wins(scores, safe)
    assert int(live.sum()) > 20
    leaf = (scores * 200).requires_grad_(True)
    (grad,) = torch.autograd.grad(ops.loss(leaf, safe, kind).sum(), leaf)
    assert bool(torch.isfinite(grad).all())
    assert bool((grad[live].abs().amax(1) > 1e-6).all()), f"{kind} has no gradient at logits x 200"


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    classes=st.integers(4, 12),
    shift=st.floats(-20, 20),
    scale=st.floats(0.05, 50),
    mode=MODES,
)
def test_dlr_does_not_change_with_shift_and_scale(
    seed: int, classes: int, shift: float, scale: float, mode: str
) -> None:
    scores, safe = case(seed, classes, mode)
    scores = scores.double()
    assert torch.allclose(ops.dlr(scores * scale + shift, safe), ops.dlr(scores, safe), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_dlr_below_four_classes_is_the_margin(classes: int) -> None:
    scores, safe = case(1, classes, "untargeted")
    assert torch.equal(ops.dlr(scores, safe), ops.margin(scores, safe))


def test_rejected_is_no_win_but_any_other_class_is() -> None:
    safe = torch.tensor([[True, False, False, True]] * 3)
    scores = torch.tensor([[0.0, 1.0, 2.0, 3.0], [0.0, 4.0, 2.0, 3.0], [9.0, 4.0, 2.0, 3.0]])
    assert ops.wins(scores, safe).tolist() == [False, True, False]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_never_win(bad: float) -> None:
    scores = torch.tensor([[0.0, 5.0, bad]])
    assert not bool(ops.wins(scores, torch.tensor([[True, False, False]])))


@pytest.mark.parametrize("kind", list(ops.LOSSES))
def test_empty_batches_have_empty_losses(kind: str) -> None:
    scores, safe = torch.zeros(0, 5), torch.zeros(0, 5, dtype=torch.bool)
    assert ops.loss(scores, safe, kind).shape == (0,)
    assert ops.wins(scores, safe).shape == (0,)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown loss 'hinge'"):
        ops.loss(torch.zeros(1, 3), torch.ones(1, 3, dtype=torch.bool), "hinge")
