"""alpha-CROWN: CROWN whose lower lines of undecided ReLUs are turned, by gradient ascent on the bound itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import CERTIFIED_NORMS, Certifier, CertifierInfo, Proof, Statement, hookimpl, param
from robusteval_certifiers._common.intervals import Bounds, forward
from robusteval_certifiers._common.margins import in_parts, leads, smallest
from robusteval_certifiers._common.network import Network, lowered
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
    steps: int = param(20, "Steps of Adam on the slopes.", minimum=0, maximum=10_000)
    rate: float = param(0.25, "Step size of the first step; it falls to a tenth.", minimum=1e-6, maximum=10.0)

    def bound(self, statement: Statement) -> Proof:
        """Lower bounds of the margin, [B]."""
        network = lowered(statement.graph)
        return in_parts(network, statement, lambda part: self._proof(network, part))

    def _proof(self, network: Network, statement: Statement) -> Proof:
        last, rows = len(network.nodes) - 1, leads(statement)
        with torch.no_grad():
            bounds = forward(network, statement)
            refined(network, bounds)
            best = least(network, bounds, last, rows)
        found = _climb(network, bounds, rows, self.steps, self.rate)
        return Proof(smallest(statement, torch.maximum(best, found) if found is not None else best))


def _climb(network: Network, bounds: Bounds, rows: Tensor, steps: int, rate: float) -> Tensor | None:
    """The best bounds [B, S] that were met on the way; None where no slope is free."""
    last, batch, count = len(network.nodes) - 1, *rows.shape[:2]
    slopes = {
        place: fitted.low_slope[:, None].repeat(1, count, 1).requires_grad_(True)
        for place, fitted in bounds.lines.items()
        if bool(fitted.free.any())
    }
    if not slopes or not steps:
        return None
    ascent = torch.optim.Adam(list(slopes.values()), lr=rate, maximize=True)
    best = rows.new_full((batch, count), -torch.inf)
    for step in range(steps):
        for group in ascent.param_groups:
            group["lr"] = rate * 0.1 ** (step / steps)
        with torch.enable_grad():
            found = least(network, bounds, last, rows, slopes)
            grads = torch.autograd.grad(found.sum(), list(slopes.values()))
        best = torch.maximum(best, torch.nan_to_num(found.detach(), nan=-torch.inf))
        for slope, grad in zip(slopes.values(), grads, strict=True):
            slope.grad = grad
        ascent.step()
        with torch.no_grad():
            for place, slope in slopes.items():
                slope.copy_(torch.minimum(torch.maximum(slope, bounds.lines[place].least[:, None]), slope.new_ones(())))
    with torch.no_grad():
        return torch.maximum(best, torch.nan_to_num(least(network, bounds, last, rows, slopes), nan=-torch.inf))


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [AlphaCrown]
