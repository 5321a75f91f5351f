"""Interval bound propagation: every value between two numbers, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from robusteval.api import (
    CERTIFIED_NORMS,
    BoundWork,
    Certifier,
    CertifierInfo,
    ModelGraph,
    Norm,
    Proof,
    Statement,
    hookimpl,
)
from robusteval_certifiers._common.margins import bounded, ibp
from robusteval_certifiers._common.network import lowered


@dataclass(frozen=True)
class Ibp:
    """Intervals forward through the network. Cheap, and loose on nets that were not trained for it."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="ibp",
        version="2",
        norms=CERTIFIED_NORMS,
        summary="Bounds every value of the network by an interval, layer by layer.",
        reference="Gowal et al., On the effectiveness of interval bound propagation, 2018",
        effort=0,
    )

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]."""
        return bounded(statement, [ibp])

    def work(self, graph: ModelGraph, norm: Norm) -> BoundWork:
        """Multiplications of a bound of one image: values forward, and their widths and errors."""
        network = lowered(graph)
        each = 4 * network.work(len(network.nodes) - 1)
        return BoundWork(each, each)


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [Ibp]
