"""From a statement to bounds of its margin: leads over the rivals, and cheap bounds before dear ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from robusteval.api import Proof, Statement, rivals
from robusteval_certifiers._common.intervals import Bounds, forward
from robusteval_certifiers._common.network import Network, lowered, transposed
from robusteval_certifiers._common.substitution import least, refined

STEPS = 12  # in search of a good dual variable in L2, for the few bounds of the scores
_BYTES = 2**20  # of coefficients at the widest node for one part of a batch

Stage = Callable[[Network, Statement], Tensor]  # a lower bound of the margin of each image, [B]


def bounded(statement: Statement, stages: Sequence[Stage]) -> Proof:
    """Each stage is asked about the images of which those before it did not prove the statement, in parts that fit."""
    network = lowered(statement.graph)
    margin = torch.full_like(statement.eps.double(), -torch.inf)
    with torch.no_grad():
        for stage in stages:
            for part in unproved(network, statement, margin):
                found = stage(network, statement[part])
                margin[part] = torch.maximum(margin[part], torch.nan_to_num(found, nan=-torch.inf, posinf=torch.inf))
    return Proof(margin)


def unproved(network: Network, statement: Statement, margin: Tensor) -> tuple[Tensor, ...]:
    """The images of which a margin [B] does not prove the statement, in parts that fit."""
    left = (~(margin > statement.graph.slack)).nonzero().squeeze(1)
    size = max(1, _BYTES // (8 * network.widest * statement.right.shape[1]))
    return left.split(size) if len(left) else ()


def ibp(network: Network, statement: Statement) -> Tensor:
    """By intervals alone."""
    return smallest(statement, by_intervals(network, forward(network, statement), leads(statement)))


def crown_over_intervals(network: Network, statement: Statement) -> Tensor:
    """One substitution from the scores, over intervals: what it proves needs no more."""
    bounds = forward(network, statement)
    return smallest(statement, least(network, bounds, len(network.nodes) - 1, leads(statement), steps=STEPS))


def crown(network: Network, statement: Statement) -> Tensor:
    """By substitution, with bounds before each activation by the same."""
    bounds = forward(network, statement)
    refined(network, bounds)
    rows = leads(statement)
    found = least(network, bounds, len(network.nodes) - 1, rows, steps=STEPS)
    # lines may lose where intervals, which are tighter now, do not: both are sound
    return smallest(statement, torch.maximum(found, by_intervals(network, bounds, rows)))


def leads(statement: Statement) -> Tensor:
    """Coefficients of the label's lead over each other class, float64 [B, K - 1, K]."""
    others, _ = rivals(statement)
    batch, classes = statement.right.shape
    rows = torch.zeros(batch, classes - 1, classes, dtype=torch.float64, device=others.device)
    rows.scatter_(2, others[..., None], -1.0)
    rows[torch.arange(batch, device=others.device), :, statement.label] = 1.0
    return rows


def smallest(statement: Statement, bounds: Tensor) -> Tensor:
    """The margin [B] from bounds of the leads [B, K - 1]: the least over classes that are wrong; -inf for no number."""
    _, wrong = rivals(statement)
    margin = torch.where(wrong, bounds, torch.inf).amin(1)
    return torch.where(torch.isnan(bounds).any(1), -torch.inf, margin)


def by_intervals(network: Network, bounds: Bounds, a: Tensor) -> Tensor:
    """Bounds of the leads [B, S]: the last affine nodes are put into the coefficients, then intervals decide."""
    place, total = len(network.nodes) - 1, a.new_zeros(a.shape[:2])
    while place and network.nodes[place].op != "activation" and len(network.nodes[place].inputs) == 1:
        total = total - (a.abs() * bounds.error[place][:, None]).sum(-1) + a @ network.constants[place]
        (a,) = transposed(network, place, a)
        (place,) = network.nodes[place].inputs
    if place == 0:
        return total + bounds.ball.least(a)
    low, high = bounds.low[place][:, None], bounds.high[place][:, None]
    sizes = torch.maximum(low.abs(), high.abs())
    own = (a.abs() * sizes).sum(-1) * 2.0**-32
    return total + torch.where(a > 0, a * low, a * high).sum(-1) - own
