"""beta-CROWN: where linear bounds of a whole ball do not do, it is split at its ReLUs, and every part is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

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
    param,
    rivals,
)
from robusteval_certifiers._branching.climbing import climbed
from robusteval_certifiers._branching.parts import Frame, whole
from robusteval_certifiers._branching.refuting import lowest_met
from robusteval_certifiers._branching.searching import Effort, searched
from robusteval_certifiers._common.decided import counted, pass_work, work_of
from robusteval_certifiers._common.intervals import forward
from robusteval_certifiers._common.margins import STEPS, leads
from robusteval_certifiers._common.network import Network, lowered
from robusteval_certifiers._common.substitution import FEW, refined, refined_work

_WORK = 2e11  # multiplications for the parts of one image: of large networks fewer parts are bounded
_BYTES = 2**28  # of what is kept of all parts of one image
_AT_ONCE = 2**22  # bytes of coefficients at the widest node for one batch of parts
_DOWN = 10  # steps down the gradient: what they refute nobody has to try to prove


@dataclass(frozen=True)
class BetaCrown:
    """Branch and bound. Its bound is that of `alpha-crown` where there is nothing to split."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="beta-crown",
        version="2",
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
        """Lower bounds of the margin, [B], image by image, as each has its own parts."""
        margin, spent = counted(statement)
        network = lowered(statement.graph)
        left = torch.full_like(spent, torch.inf) if statement.work is None else statement.work - spent
        with torch.no_grad():
            for row in (~(margin > statement.graph.slack)).nonzero():
                found, more = self._branched(network, statement[row], float(left[row]))
                margin[row] = margin[row].clamp_min(found)
                spent[row] += more
        return Proof(margin, work=spent)

    def work(self, graph: ModelGraph, norm: Norm) -> BoundWork:
        """Multiplications of a bound of one image: where CROWN proves it, and where all parts are bounded."""
        network, crown = lowered(graph), work_of(graph)
        inner = 0.0
        for node in network.nodes:
            if node.op == "activation":
                inner += 6 * min(node.numel, FEW) * self.inner * network.work(node.inputs[0])
        parts = min(self.parts * self._each(network), _WORK)
        return BoundWork(crown.least, 2 * crown.most + (self.first + _DOWN) * 3 * pass_work(network) + inner + parts)

    def _each(self, network: Network) -> float:
        """Multiplications that the bound of one part takes at most."""
        return (3 * self.steps + 2 * self.looks + 2) * network.work(len(network.nodes) - 1)

    def _branched(self, network: Network, statement: Statement, left: float) -> tuple[float, float]:
        """(a bound, multiplications) of one image. left: multiplications that there are."""
        bounds, goal = forward(network, statement), statement.graph.slack
        rows = leads(statement)[0][rivals(statement)[1][0]]
        frame = Frame(network, bounds, len(network.nodes) - 1, STEPS)
        step = 3 * pass_work(network)
        spent = _DOWN * step + float(refined_work(network, bounds)[0])
        if spent + step > left:
            return -torch.inf, 0.0
        if lowest_met(frame, rows, _DOWN) <= goal:
            return -torch.inf, _DOWN * step

        def sharper(place: int, wanted: Tensor) -> Tensor:
            nonlocal spent
            cost = 3.0 * self.inner * wanted.shape[1] * network.work(place)
            if spent + cost + step * self.first > left:
                return wanted.new_full(wanted.shape[:2], -torch.inf)
            spent += cost
            before = Frame(network, bounds, place)
            return climbed(before, whole(before, wanted[0]), self.inner, self.rate).best[None]

        refined(network, bounds, sharper if self.inner else None)
        frame = Frame(network, bounds, len(network.nodes) - 1, STEPS)
        steps = int(min(self.first, max(0.0, (left - spent) / step / 2)))  # the other half is for parts
        parts = climbed(frame, whole(frame, rows), steps, self.rate, goal)
        spent += steps * step
        found, count = searched(frame, parts, goal, self._effort(frame, left - spent))
        return found, spent + count * self._each(network)

    def _effort(self, frame: Frame, left: float) -> Effort:
        limit = min(
            self.parts, min(_WORK, max(left, 0.0)) / self._each(frame.network), _BYTES / (24 * max(1, frame.count))
        )
        at_once = max(1, _AT_ONCE // (16 * frame.network.widest))
        return Effort(int(limit), at_once, self.steps, self.rate, self.looks)


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [BetaCrown]
