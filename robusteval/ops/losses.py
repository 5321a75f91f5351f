"""Losses and success, written once over (scores [B, K], safe [B, K]).

`safe[b, k]` is true for every prediction that does not count as a win, so the same lines serve untargeted attacks,
targeted ones and detectors (one more class). All losses grow towards a win.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

# Stands in for minus infinity: finite, so that 0 * NEVER has no NaN gradient.
_NEVER = -1e30


def wins(scores: Float[Tensor, "b k"], safe: Bool[Tensor, "b k"]) -> Bool[Tensor, " b"]:
    """True where the prediction (argmax, first on ties) counts as a win: bool [B]. Non-finite scores never win."""
    top = scores.argmax(1, keepdim=True)
    return ~safe.gather(1, top).squeeze(1) & torch.isfinite(scores).all(1)


def ce(scores: Float[Tensor, "b k"], safe: Bool[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """logsumexp(scores outside safe) - logsumexp(scores in safe), [B].

    Cross-entropy is softplus of it, so each sample's direction is that of cross-entropy, but it never saturates.
    """
    outside = scores.masked_fill(safe, _NEVER).logsumexp(1)
    inside = scores.masked_fill(~safe, _NEVER).logsumexp(1)
    return outside - inside


def margin(scores: Float[Tensor, "b k"], safe: Bool[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Largest score outside safe minus largest score in safe, [B]; above 0 exactly at a win (Carlini & Wagner 2017)."""
    return scores.masked_fill(safe, _NEVER).amax(1) - scores.masked_fill(~safe, _NEVER).amax(1)


def dlr(scores: Float[Tensor, "b k"], safe: Bool[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Difference of logits ratio (Croce & Hein 2020): the margin over the gap between the top and the third score, [B].

    Where several classes are kept (targeted, detector) the best score outside may be the third itself and the ratio
    a constant without a gradient, so the third gives way to the mean of third and fourth, as in their targeted loss.
    Invariant to shift and scale of the scores. Undefined below four classes: falls back to the margin there.
    """
    if scores.shape[1] < 4:
        return margin(scores, safe)
    top = scores.topk(4, dim=1).values
    third = torch.where(safe.sum(1) > 1, (top[:, 2] + top[:, 3]) / 2, top[:, 2])
    return margin(scores, safe) / (top[:, 0] - third).clamp_min(1e-12)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ce": ce, "margin": margin, "dlr": dlr}


def loss(scores: Float[Tensor, "b k"], safe: Bool[Tensor, "b k"], kind: str) -> Float[Tensor, " b"]:
    """The loss of that name ("ce", "margin" or "dlr"), [B]. Raises ValueError for another name."""
    if kind not in LOSSES:
        raise ValueError(f"unknown loss {kind!r}; one of {', '.join(LOSSES)}")
    return LOSSES[kind](scores, safe)
