"""CROWN: linear bounds of the margin by backward substitution, with bounds before each ReLU by the same."""

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
from robusteval_certifiers._common.decided import counted, work_of


@dataclass(frozen=True)
class Crown:
    """Backward substitution from every layer; the lower line of a ReLU is the one that leaves less area."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="crown",
        version="3",
        norms=CERTIFIED_NORMS,
        summary="Bounds the margin by a linear function of the pixels, found by backward substitution through lines "
        "that bound each activation.",
        reference="Zhang et al., Efficient neural network robustness certification with general activation functions, "
        "NeurIPS 2018; Singh et al., An abstract domain for certifying neural networks, POPL 2019",
        effort=1,
    )

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]: the tightest where more would prove no more, else the first that proves."""
        margin, spent = counted(statement)
        return Proof(margin, work=spent)

    def work(self, graph: ModelGraph, norm: Norm) -> BoundWork:
        """Multiplications of a bound of one image, from the graph alone."""
        return work_of(graph)


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [Crown]
