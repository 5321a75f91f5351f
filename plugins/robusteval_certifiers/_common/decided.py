"""CROWN for a proof alone: layer by layer, until an image is decided, and no further than its work allows.

Bounds before an activation are substituted for those elements of which the margin's own bound loses most; after each
layer the margin is bounded anew, and images that are proved leave. What is left out only leaves intervals in its place,
so that every bound is sound.
"""

from __future__ import annotations

import torch
from torch import Tensor

from robusteval.api import Statement
from robusteval_certifiers._common.intervals import Bounds, forward, onward
from robusteval_certifiers._common.margins import STEPS, by_intervals, leads, smallest
from robusteval_certifiers._common.network import Network
from robusteval_certifiers._common.substitution import FEW, Way, exact, sharpened, undecided

SHARE = 0.98  # of what the margin loses before an activation: elements that make up as much are bounded anew


def crown_decided(network: Network, statement: Statement) -> tuple[Tensor, Tensor]:
    """(lower bounds of the margin [B], multiplications spent [B])."""
    margin = torch.full_like(statement.eps.double(), -torch.inf)
    spent = torch.zeros_like(margin)
    bounds, at = forward(network, statement), torch.arange(len(margin), device=margin.device)
    bounds, at, lost = _judged(network, bounds, statement, at, margin)
    for place, node in enumerate(network.nodes):
        if node.op != "activation" or not len(at):
            continue
        source = node.inputs[0]
        open_ = undecided(network, bounds, place)
        if place in network.exact:
            open_ = open_ & (open_.sum(1, keepdim=True) <= FEW)
        if not bool(open_.any()) or exact(network, bounds, source):
            continue
        wanted = _worth(lost[place], open_)
        sharpened(network, bounds, source, wanted)
        onward(network, bounds, source)
        bounds, at, lost = _judged(network, bounds, statement, at, margin)
    return margin, spent
