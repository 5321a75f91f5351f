"""CROWN: linear bounds of the margin by backward substitution, with bounds before each ReLU by the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from robusteval.api import CERTIFIED_NORMS, Certifier, CertifierInfo, Proof, Statement, hookimpl
from robusteval_certifiers._common.intervals import forward
from robusteval_certifiers._common.margins import STEPS, by_intervals, in_parts, leads, smallest
from robusteval_certifiers._common.network import Network, lowered
from robusteval_certifiers._common.substitution import least, refined


@dataclass(frozen=True)
class Crown:
    """Backward substitution from every layer; the lower line of a ReLU is the one that leaves less area."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="crown",
        version="1",
        norms=CERTIFIED_NORMS,
        summary="Bounds the margin by a linear function of the pixels, found by backward substitution through lines "
        "that bound each activation.",
        reference="Zhang et al., Efficient neural network robustness certification with general activation functions, "
        "NeurIPS 2018; Singh et al., An abstract domain for certifying neural networks, POPL 2019",
        effort=1,
    )

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]."""
        network = lowered(statement.graph)
        with torch.no_grad():
            return in_parts(network, statement, lambda part: _proof(network, part))


def _proof(network: Network, statement: Statement) -> Proof:
    bounds = forward(network, statement)
    refined(network, bounds)
    rows = leads(statement)
    found = least(network, bounds, len(network.nodes) - 1, rows, steps=STEPS)
    # lines may lose where intervals do not: both are sound
    return Proof(smallest(statement, torch.maximum(found, by_intervals(network, bounds, rows))))


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [Crown]
