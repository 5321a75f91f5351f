"""Interval bound propagation: every value between two numbers, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import CERTIFIED_NORMS, Certifier, CertifierInfo, Proof, Statement, hookimpl
from robusteval_certifiers._common.intervals import Bounds, forward
from robusteval_certifiers._common.margins import in_parts, leads, smallest
from robusteval_certifiers._common.network import Network, lowered, transposed


@dataclass(frozen=True)
class Ibp:
    """Intervals forward through the network. Cheap, and loose on nets that were not trained for it."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="ibp",
        version="1",
        norms=CERTIFIED_NORMS,
        summary="Bounds every value of the network by an interval, layer by layer.",
        reference="Gowal et al., On the effectiveness of interval bound propagation, 2018",
        effort=0,
    )

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]."""
        network = lowered(statement.graph)
        with torch.no_grad():
            return in_parts(network, statement, lambda part: _proof(network, part))


def _proof(network: Network, statement: Statement) -> Proof:
    bounds = forward(network, statement)
    return Proof(smallest(statement, _leads(network, bounds, leads(statement))))


def _leads(network: Network, bounds: Bounds, a: Tensor) -> Tensor:
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


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [Ibp]
