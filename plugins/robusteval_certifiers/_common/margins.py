"""From a statement to coefficients of its scores and back: one row a rival class, and the least of those that count."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.api import Proof, Statement, rivals
from robusteval_certifiers._common.intervals import Bounds
from robusteval_certifiers._common.network import Network, transposed

STEPS = 12  # in search of a good dual variable in L2, for the few bounds of the scores
_BYTES = 2**20  # of coefficients at the widest node for one part of a batch


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


def in_parts(network: Network, statement: Statement, prove: Callable[[Statement], Proof]) -> Proof:
    """A proof of the whole batch, made of parts that fit into memory."""
    size = max(1, _BYTES // (8 * network.widest * statement.right.shape[1]))
    rows = torch.arange(len(statement.x), device=statement.x.device)
    proofs = [prove(statement[part]) for part in rows.split(size)]
    if not proofs:
        return Proof(statement.eps.double())
    slopes = {key: torch.cat([proof.slopes[key] for proof in proofs]) for key in proofs[0].slopes}
    return Proof(torch.cat([proof.margin for proof in proofs]), slopes)
