"""Meters at the pipeline: what an attack used is counted here, never by the attack."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robusteval import ops
from robusteval.ops import Norm

_ROOM = 1 + 1e-6  # for float32 rounding of a budget


@dataclass
class Meter:
    """Passes and gradient health, per sample: int64 [N] each; shared by all sub-problems of a unit."""

    size: int
    forwards: Int64[Tensor, " n"] = field(init=False)
    backwards: Int64[Tensor, " n"] = field(init=False)
    zero_gradients: Int64[Tensor, " n"] = field(
        init=False
    )  # backward passes of gradient queries whose answer was exactly zero
    bad_gradients: Int64[Tensor, " n"] = field(init=False)  # and of those whose answer was not finite

    def __post_init__(self) -> None:
        for name in ("forwards", "backwards", "zero_gradients", "bad_gradients"):
            setattr(self, name, torch.zeros(self.size, dtype=torch.int64, device="cpu"))

    def forward(self, rows: Int64[Tensor, " b"], passes: int = 1) -> None:
        """Counts forward passes of these rows (repeated rows count each time)."""
        self.forwards.index_add_(0, rows.cpu(), torch.full((len(rows),), passes, device="cpu"))

    def backward(self, rows: Int64[Tensor, " b"], passes: int = 1) -> None:
        """Counts backward passes of these rows."""
        self.backwards.index_add_(0, rows.cpu(), torch.full((len(rows),), passes, device="cpu"))

    def gradients(
        self, grad: Float[Tensor, " b *shape"], bad: Bool[Tensor, " b"], rows: Int64[Tensor, " b"], passes: int
    ) -> None:
        """Counts a gradient query's backward passes, and those of the rows whose gradient was zero or not finite: a
        query for C classes or n draws that is useless is as many useless passes, or its share of all passes would hide
        it."""
        self.backward(rows, passes)
        zero = (grad.flatten(1) == 0).all(1) & ~bad
        self.zero_gradients.index_add_(0, rows.cpu(), passes * zero.long().cpu())
        self.bad_gradients.index_add_(0, rows.cpu(), passes * bad.long().cpu())


@dataclass
class Trace:
    """Trace points of a run: for each name, the sum over samples and their number at each step."""

    points: list[dict[str, float]] = field(default_factory=list)
    run: int = 0  # how often an attack was started so far; each point says to which of them it belongs

    def add(self, rows: Int64[Tensor, " b"], values: dict[str, Tensor | float]) -> None:
        """One point: each value's mean over the samples where it is finite (a distance is infinite until a win), left
        out where it is nowhere; and how many samples were still in play. JSON can carry every number of it."""
        point = {"samples": float(len(rows))} | ({"run": float(self.run)} if self.run else {})
        for name, value in values.items():
            column = torch.as_tensor(value, dtype=torch.float64, device="cpu").detach()
            column = column[torch.isfinite(column)]
            if column.numel():
                point[name] = float(column.mean())
        self.points.append(point)


class Watch:
    """Which samples an attack saw lost on its way, by its own queries, in one run of it.

    rows: int64 [B], the samples' places among `size`; x0: [B, *shape]; safe: bool [B, K]; eps: [B], or None where any
    distance counts. The mask and the clean samples are those that the engine posed, whatever the attack put in their
    place.
    """

    def __init__(
        self,
        size: int,
        rows: Int64[Tensor, " b"],
        x0: Float[Tensor, " b *shape"],
        safe: Bool[Tensor, "b k"],
        norm: Norm,
        eps: Float[Tensor, " b"] | None,
        bounds: tuple[float, float],
    ) -> None:
        self._place = torch.full((size,), -1, dtype=torch.int64, device=rows.device)
        self._place[rows] = torch.arange(len(rows), device=rows.device)
        self._x0, self._safe, self._norm, self._eps, self._bounds = x0, safe, norm, eps, bounds
        self.met = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)

    def see(
        self, rows: Int64[Tensor, " b"], x: Float[Tensor, " b *shape"], scores: Float[Tensor, " b *classes"]
    ) -> None:
        """One query: x [B', *shape] of these rows and the scores [B', K] that came back."""
        index = self._place[rows]
        if not len(index) or scores.shape[1:] != self._safe.shape[1:]:
            return
        new = (ops.wins(scores.detach(), self._safe[index]) & ~self.met[index]).nonzero().squeeze(1)
        if len(new):
            self.met[index[new[self.is_feasible(index[new], x[new])]]] = True

    def is_feasible(self, index: Int64[Tensor, " b"], x: Float[Tensor, " b *shape"]) -> Bool[Tensor, " b"]:
        """Whether x [B', *shape], of the samples at these places among the B, keeps to box and budget: bool [B']."""
        inside = ((x >= self._bounds[0]) & (x <= self._bounds[1])).flatten(1).all(1)
        if self._eps is None:
            return inside
        far = ops.distance(self._x0[index], x.detach(), self._norm) > self._eps[index].double() * _ROOM
        return inside & ~far
