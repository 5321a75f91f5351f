"""beta-CROWN: where linear bounds of a whole ball do not do, it is split at its ReLUs, and every part is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import CERTIFIED_NORMS, Certifier, CertifierInfo, Proof, Statement, hookimpl, param, rivals
from robusteval_certifiers._branching.climbing import climbed
from robusteval_certifiers._branching.parts import Frame, whole
from robusteval_certifiers._branching.refuting import lowest_met
from robusteval_certifiers._branching.searching import Effort, searched
from robusteval_certifiers._common.intervals import forward
from robusteval_certifiers._common.margins import STEPS, bounded, crown, crown_over_intervals, ibp, leads
from robusteval_certifiers._common.network import Network
from robusteval_certifiers._common.substitution import refined

_WORK = 2e11  # multiplications for the parts of one image: of large networks fewer parts are bounded
_BYTES = 2**28  # of what is kept of all parts of one image
_AT_ONCE = 2**22  # bytes of coefficients at the widest node for one batch of parts
_DOWN = 10  # steps down the gradient: what they refute nobody has to try to prove


@dataclass(frozen=True)
class BetaCrown:
    """Branch and bound. Its bound is that of `alpha-crown` where there is nothing to split."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="beta-crown",
        version="1",
        norms=CERTIFIED_NORMS,
        summary="Splits the ball at undecided ReLUs until each part is proved, the parts with the least bounds first.",
        reference="Wang et al., Beta-CROWN: efficient bound propagation with per-neuron split constraints for neural "
        "network robustness verification, NeurIPS 2021; Bunel et al., Branch and bound for piecewise linear neural "
        "network verification, JMLR 2020",
        effort=3,
    )
    parts: int = param(400, "Parts of its ball that are bounded for an image, at most.", minimum=0, maximum=1_000_000)
    steps: int = param(12, "Steps of Adam on the slopes and multipliers of a part.", minimum=0, maximum=10_000)
    first: int = param(60, "The same for the whole ball.", minimum=0, maximum=10_000)
    inner: int = param(
        20, "The same for bounds before activations that few elements need; 0: CROWN's own.", minimum=0, maximum=10_000
    )
    rate: float = param(0.25, "Step size of the first step; it falls to a tenth.", minimum=1e-6, maximum=10.0)
    looks: int = param(4, "ReLUs of which both halves are bounded before one is split.", minimum=1, maximum=1000)

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]."""
        return bounded(statement, [ibp, crown_over_intervals, crown, self._each])

    def _each(self, network: Network, statement: Statement) -> Tensor:
        """Image by image, as each has its own parts."""
        rows = torch.arange(len(statement.eps), device=statement.eps.device)
        return torch.cat([self._branched(network, statement[row[None]]) for row in rows])

    def _branched(self, network: Network, statement: Statement) -> Tensor:
        def sharper(place: int, rows: Tensor) -> Tensor:
            frame = Frame(network, bounds, place)
            return climbed(frame, whole(frame, rows[0]), self.inner, self.rate).best[None]

        bounds, goal = forward(network, statement), statement.graph.slack
        rows = leads(statement)[0][rivals(statement)[1][0]]
        frame = Frame(network, bounds, len(network.nodes) - 1, STEPS)
        if lowest_met(frame, rows, _DOWN) <= goal:
            return torch.full_like(statement.eps.double(), -torch.inf)
        refined(network, bounds, sharper if self.inner else None)
        frame = Frame(network, bounds, len(network.nodes) - 1, STEPS)
        parts = climbed(frame, whole(frame, rows), self.first, self.rate, goal)
        found, _ = searched(frame, parts, goal, self._effort(frame))
        return torch.full_like(statement.eps.double(), found)

    def _effort(self, frame: Frame) -> Effort:
        work = (3 * self.steps + 2 * self.looks + 2) * frame.network.work(frame.start)
        limit = min(self.parts, _WORK / work, _BYTES / (24 * max(1, frame.count)))
        at_once = max(1, _AT_ONCE // (16 * frame.network.widest))
        return Effort(int(limit), at_once, self.steps, self.rate, self.looks)


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [BetaCrown]
