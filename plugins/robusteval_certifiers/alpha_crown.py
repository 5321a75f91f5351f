"""alpha-CROWN: CROWN whose lower lines of undecided ReLUs are turned, by gradient ascent on the bound itself."""

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
from robusteval_certifiers._common.decided import counted, pass_work, work_of
from robusteval_certifiers._common.intervals import Bounds, forward
from robusteval_certifiers._common.margins import STEPS, leads, smallest, unproved
from robusteval_certifiers._common.network import Network, lowered
from robusteval_certifiers._common.substitution import FEW, least, refined, refined_work


@dataclass(frozen=True)
class AlphaCrown:
    """Every slope between 0 and 1 is sound, so the best one may be looked for; each rival class has its own."""

    info: ClassVar[CertifierInfo] = CertifierInfo(
        name="alpha-crown",
        version="4",
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
        """Lower bounds of the margin, [B]. Of one image alone the slopes are given too, where they were needed: `rows`
        of a node, the functions of its value that were bounded, 2 i for +v[i] and 2 i + 1 for -v[i], of the scores the
        rival class; and for each activation before it the places of its undecided ReLUs and their slopes in each row,
        as "START.rows" [1, S], "START.PLACE.free" [1, F], "START.PLACE.slope" float32 [1, S, F]. Places count in the
        graph with its maxima taken apart (`_common.network`).
        """
        kept: dict[str, Tensor] | None = {} if len(statement.eps) == 1 else None
        margin, spent = counted(statement)
        network = lowered(statement.graph)
        left = torch.full_like(spent, torch.inf) if statement.work is None else statement.work - spent
        with torch.no_grad():
            for part in unproved(network, statement, margin):
                found, more = self._climbed(network, statement[part], kept, left[part])
                margin[part] = torch.fmax(margin[part], torch.nan_to_num(found, nan=-torch.inf, posinf=torch.inf))
                spent[part] += more
        return Proof(margin, slopes=kept or {}, work=spent)

    def work(self, graph: ModelGraph, norm: Norm) -> BoundWork:
        """Multiplications of a bound of one image: where CROWN proves it, and where all steps are made."""
        network, crown = lowered(graph), work_of(graph)
        each, inner = 3 * pass_work(network), 0.0
        for node in network.nodes:
            if node.op == "activation":
                inner += 6 * min(node.numel, FEW) * self.inner * network.work(node.inputs[0])
        return BoundWork(crown.least, 2 * crown.most + (self.steps + 1) * each + inner)

    def _climbed(
        self, network: Network, statement: Statement, kept: dict[str, Tensor] | None, left: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(bounds [B], multiplications [B]). left: multiplications that there are, [B]."""
        bounds, each = forward(network, statement), 3 * pass_work(network)
        spent = refined_work(network, bounds)
        able = spent + each <= left
        if not bool(able.all()):
            found, used = (torch.full_like(left, value) for value in (-torch.inf, 0.0))
            rows = able.nonzero().squeeze(1)
            if len(rows):
                found[rows], used[rows] = self._climbed(network, statement[rows], kept, left[rows])
            return found, used

        def sharper(place: int, rows: Tensor) -> Tensor:
            cost = 3.0 * self.inner * rows.shape[1] * network.work(place)
            pays = spent + cost + each * max(self.steps / 2, 1.0) <= left
            if not bool(pays.any()):
                return rows.new_full(rows.shape[:2], -torch.inf)
            spent[pays] += cost
            met = _climb(network, bounds, place, rows, self.inner, self.rate)
            if kept is not None:
                signs = rows.sum(-1)  # of unit vectors
                _keep(kept, bounds, place, 2 * rows.abs().argmax(-1) + (signs < 0), met)
            return torch.where(pays[:, None], met.best, -torch.inf)

        refined(network, bounds, sharper if self.inner else None)
        last = len(network.nodes) - 1
        allowed = (((left - spent) / each).floor() - 1).clamp(0, self.steps).long()
        found = torch.full_like(left, -torch.inf)
        for steps in allowed.unique().tolist():  # those with as many together: the pace depends on how many there are
            rows = (allowed == steps).nonzero().squeeze(1)
            some, of_some = statement[rows], bounds.of(rows)
            met = _climb(network, of_some, last, leads(some), steps, self.rate, STEPS, some.graph.slack)
            if kept is not None:
                _keep(kept, of_some, last, rivals(some)[0], met)
            found[rows], spent[rows] = smallest(some, met.best), spent[rows] + met.steps.clamp_min(1.0) * each
        return found, spent


class _Best:
    """The best bounds [B, S] that were met, and of each the slopes that gave it, [B, S, n] by place."""

    def __init__(self, first: Tensor, slopes: dict[int, Tensor], goal: float) -> None:
        self.best, self.goal = first, goal
        self.steps = torch.zeros_like(first[:, 0])  # that each image took part in
        self.slopes = {place: slope.detach().clone() for place, slope in slopes.items()}

    @property
    def done(self) -> Tensor:
        """Images [B] whose bounds are beyond the goal: they keep their first ones, however long others take."""
        return (self.best > self.goal).all(1)

    def meet(self, found: Tensor, slopes: dict[int, Tensor]) -> None:
        """Keeps what is better."""
        self.steps += (~self.done).double()
        better = ((found > self.best) | torch.isnan(self.best)) & ~self.done[:, None]
        self.best = torch.where(better, found, self.best)
        for place, slope in slopes.items():
            self.slopes[place] = torch.where(better[..., None], slope.detach(), self.slopes[place])


def _climb(
    network: Network,
    bounds: Bounds,
    start: int,
    rows: Tensor,
    steps: int,
    rate: float,
    dual: int = 2,
    goal: float = torch.inf,
) -> _Best:
    """The best bounds [B, S] of the node `start` that were met on the way up, CROWN's own first. dual: steps in search
    of a dual variable in L2; goal: beyond which no bound need go."""
    slopes = {
        place: fitted.low_slope[:, None].repeat(1, rows.shape[1], 1).requires_grad_(True)
        for place, fitted in bounds.lines.items()
        if place < start and bool(fitted.free.any())
    }
    met = _Best(least(network, bounds, start, rows, steps=dual), slopes, goal)
    if not slopes or not steps:
        return met
    ascent = torch.optim.Adam(list(slopes.values()), lr=rate, maximize=True)
    for step in range(steps):
        for group in ascent.param_groups:
            group["lr"] = rate * 0.1 ** (step / steps)
        with torch.enable_grad():
            found = least(network, bounds, start, rows, slopes, dual)
            if not found.requires_grad:  # no ReLU that is free lies before this node
                return met
            grads = torch.autograd.grad(found.sum(), list(slopes.values()), allow_unused=True)
        met.meet(found.detach(), slopes)
        if bool(met.done.all()):
            return met
        for slope, grad in zip(slopes.values(), grads, strict=True):
            slope.grad = grad
        ascent.step()
        for place, slope in slopes.items():
            floor = bounds.lines[place].least[:, None]
            # as float32 holds them: the slopes that are kept are those of the bound
            slope.data = torch.minimum(torch.maximum(slope.data.float().double(), floor), slope.new_ones(()))
    met.meet(least(network, bounds, start, rows, slopes, dual).detach(), slopes)
    return met


def _keep(kept: dict[str, Tensor], bounds: Bounds, start: int, rows: Tensor, met: _Best) -> None:
    """Adds the slopes of some rows [1, S] of a node to those that are kept. Nodes before it are done with, so that the
    same ReLUs are undecided for all of its rows."""
    if not met.slopes:
        return
    new = {f"{start}.rows": rows}
    for place, slope in met.slopes.items():
        free = bounds.lines[place].free[0].nonzero().squeeze(1)
        kept[f"{start}.{place}.free"] = free[None]
        new[f"{start}.{place}.slope"] = slope[..., free].float()
    for name, value in new.items():
        kept[name] = torch.cat([kept[name], value], 1) if name in kept else value


@hookimpl
def robusteval_certifiers() -> list[type[Certifier]]:
    """The certifier of this module."""
    return [AlphaCrown]
