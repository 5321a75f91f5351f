"""alpha-CROWN: CROWN whose lower lines of undecided ReLUs are turned, by gradient ascent on the bound itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import CERTIFIED_NORMS, Certifier, CertifierInfo, Proof, Statement, hookimpl, param
from robusteval_certifiers._common.intervals import Bounds, forward
from robusteval_certifiers._common.margins import STEPS, bounded, crown, crown_over_intervals, ibp, leads, smallest
from robusteval_certifiers._common.network import Network
from robusteval_certifiers._common.substitution import least, refined


@dataclass(frozen=True)
class AlphaCrown:
    """Every slope between 0 and 1 is sound, so the best one may be looked for; each rival class has its own."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="alpha-crown",
        version="1",
        norms=CERTIFIED_NORMS,
        summary="Optimises the slopes of CROWN's lower lines for each image and rival class.",
        reference="Xu et al., Fast and complete: enabling complete verification with rapid and massively parallel "
        "incomplete verifiers, ICLR 2021",
        effort=2,
    )
    steps: int = param(60, "Steps of Adam on the slopes.", minimum=0, maximum=10_000)
    inner: int = param(
        20, "The same for bounds before activations that few elements need; 0: CROWN's own.", minimum=0, maximum=10_000
    )
    rate: float = param(0.25, "Step size of the first step; it falls to a tenth.", minimum=1e-6, maximum=10.0)

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]."""
        return bounded(statement, [ibp, crown_over_intervals, crown, self._climbed])

    def _climbed(self, network: Network, statement: Statement) -> Tensor:
        def sharper(place: int, rows: Tensor) -> Tensor:
            return _climb(network, bounds, place, rows, self.inner, self.rate)

        bounds = forward(network, statement)
        refined(network, bounds, sharper if self.inner else None)
        last = len(network.nodes) - 1
        goal = statement.graph.slack
        return smallest(statement, _climb(network, bounds, last, leads(statement), self.steps, self.rate, STEPS, goal))


def _climb(
    network: Network,
    bounds: Bounds,
    start: int,
    rows: Tensor,
    steps: int,
    rate: float,
    dual: int = 2,
    goal: float = torch.inf,
) -> Tensor:
    """The best bounds [B, S] of the node `start` that were met on the way up, CROWN's own first. dual: steps in search
    of a dual variable in L2; goal: beyond which no bound need go."""
    best = least(network, bounds, start, rows, steps=dual)
    slopes = {
        place: fitted.low_slope[:, None].repeat(1, rows.shape[1], 1).requires_grad_(True)
        for place, fitted in bounds.lines.items()
        if place < start and bool(fitted.free.any())
    }
    if not slopes or not steps:
        return best
    ascent = torch.optim.Adam(list(slopes.values()), lr=rate, maximize=True)
    for step in range(steps):
        for group in ascent.param_groups:
            group["lr"] = rate * 0.1 ** (step / steps)
        with torch.enable_grad():
            found = least(network, bounds, start, rows, slopes, dual)
            if not found.requires_grad:  # no ReLU that is free lies before this node
                return best
            grads = torch.autograd.grad(found.sum(), list(slopes.values()), allow_unused=True)
        best = _better(best, found.detach(), goal)
        if bool((best > goal).all()):
            return best
        for slope, grad in zip(slopes.values(), grads, strict=True):
            slope.grad = grad
        ascent.step()
        for place, slope in slopes.items():
            floor = bounds.lines[place].least[:, None]
            slope.data = torch.minimum(torch.maximum(slope.data, floor), slope.new_ones(()))
    return _better(best, least(network, bounds, start, rows, slopes, dual).detach(), goal)


def _better(best: Tensor, found: Tensor, goal: float) -> Tensor:
    """The larger of two bounds; of an image that is done already the first, however long others beside it take."""
    return torch.where((best > goal).all(1, keepdim=True), best, torch.fmax(best, found))


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [AlphaCrown]
