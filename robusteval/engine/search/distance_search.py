"""From an attack to the smallest distance at which each sample is lost.

Minimal attacks give it directly; for fixed ones the core searches the budget per sample. Either way a cheap search
on the true pipeline towards the clean sample follows, here and in no plugin.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float64, Int64
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.search.judge import Judged, Threat, is_win, judge
from robusteval.engine.search.l0_pruning import undo

VERSION = "2"  # of the search below; another one whenever the same attacks come to other distances

# A minimal attack may stop a hair's breadth on the wrong side (the twin and the truth differ by rounding).
_NUDGES = (1.002, 1.01, 1.05)
STRETCHES = (1.1, 1.25, 1.5, 2.0, 3.0)  # an adversarial of another pipeline may have to go on as far
LINE_STEPS = 10
_SHRINK = 0.35
_CLIMB, CLIMBS = 4, 2  # losing samples go up by this factor, so often at most

Settle = Callable[[Tensor, Tensor, Tensor], None]  # (rows, their candidates, bool: whether each was judged a win)
Propose = Callable[[Tensor, Tensor | None], Tensor]  # (rows, eps of these rows or None) -> candidates of these rows


@dataclass
class Best:
    """The nearest win so far, per sample. distance, l2: float64 [B], inf where none; x: [B, *shape]."""

    x: Float[Tensor, " b *shape"]
    distance: Float64[Tensor, " b"]
    l2: Float64[Tensor, " b"]
    answer: Int64[Tensor, " b"]
    detector_score: Float64[Tensor, " b"]
    rejected: Counter[str]

    @classmethod
    def none(cls, x0: Float[Tensor, " b *shape"]) -> Best:
        """No win yet: the clean samples at distance inf."""
        never = torch.full((len(x0),), torch.inf, dtype=torch.float64, device=x0.device)
        nothing = torch.full((len(x0),), -1, dtype=torch.int64, device=x0.device)
        return cls(x0.clone(), never, never.clone(), nothing, torch.full_like(never, torch.nan), Counter())

    def judged(self) -> Judged:
        """The wins as the judge found them."""
        won = torch.isfinite(self.distance)
        return Judged(self.x, won, self.distance, self.l2, self.answer, self.detector_score, self.rejected)

    def take(self, rows: Int64[Tensor, " b"], judged: Judged) -> None:
        """Keeps those of the judged candidates of these rows that are nearer."""
        self.rejected += judged.rejected
        nearer = judged.distance < self.distance[rows]
        chosen = rows[nearer]
        self.x[chosen] = judged.x[nearer]
        self.distance[chosen] = judged.distance[nearer]
        self.l2[chosen] = judged.l2[nearer]
        self.answer[chosen] = judged.answer[nearer]
        if judged.detector_score is not None:
            self.detector_score[chosen] = judged.detector_score[nearer].double()


@dataclass(frozen=True)
class Sweep:
    """One chunk of one cell under search."""

    pipeline: Pipeline
    x0: Float[Tensor, " b *shape"]
    threat: Threat
    rng: Generator
    meter: Meter
    settle: Settle | None = None  # told of every run of the attack, once its candidates are judged

    def minimal(self, propose: Propose) -> Best:
        """The nearest win of a minimal attack."""
        best = Best.none(self.x0)
        rows = torch.arange(len(self.x0), device=self.x0.device)
        candidates = propose(rows, None)
        judged = judge(self.pipeline, self.x0, candidates, self.threat, None, self.rng)
        best.take(rows, judged)
        self._nudge(best, candidates.detach(), judged.won)
        if self.settle is not None:
            self.settle(rows, candidates, torch.isfinite(best.distance))
        self._approach(best, rows[torch.isfinite(best.distance)])
        return best

    def given(self, candidates: Float[Tensor, " b *shape"]) -> Best:
        """The nearest win on the rays from the clean samples through given candidates [B, *shape]."""
        best = Best.none(self.x0)
        rows = (candidates != self.x0).flatten(1).any(1).nonzero().squeeze(1)
        judged = judge(self.pipeline, self.x0[rows], candidates[rows], self.threat[rows], None, self.rng)
        self.meter.forward(rows)
        best.take(rows, judged)
        self._nudge(best, candidates, torch.isfinite(best.distance), STRETCHES)
        self._approach(best, torch.isfinite(best.distance).nonzero().squeeze(1))
        return best

    def fixed(self, propose: Propose, largest: float, halvings: int) -> Best:
        """The smallest budget at which a fixed attack wins.

        The search starts at a sixteenth of the largest budget: from there losing samples go up, winning ones down, so
        that few runs are spent far from the boundary, where an attack wins at once and in a poor direction. A bracket's
        upper end is the nearest judged win, not the budget that was tried, so most brackets shrink faster than by half.
        """
        best = Best.none(self.x0)
        low = torch.zeros(len(self.x0), dtype=torch.float64, device=self.x0.device)
        for _ in range(halvings + CLIMBS + 1):
            found = torch.isfinite(best.distance)
            open_ended = ~found & (low < largest)
            tolerance = 1.0 if self.threat.norm == "l0" else 0.01 * best.distance
            rows = (open_ended | (found & (best.distance - low > tolerance))).nonzero().squeeze(1)
            if len(rows) == 0:
                break
            up = (low * _CLIMB).clamp(largest / _CLIMB**CLIMBS, largest)
            # until a budget has failed nothing is known of the order of magnitude: shrink faster than by half
            down = torch.where(low > 0, (low + best.distance) / 2, _SHRINK * best.distance)
            eps = torch.where(found, down, up)[rows]
            candidates = propose(rows, eps.to(self.x0.dtype))
            judged = judge(self.pipeline, self.x0[rows], candidates, self.threat[rows], eps, self.rng)
            best.take(rows, judged)
            if self.settle is not None:
                self.settle(rows, candidates, judged.won)
            self._approach(best, rows[judged.won])
            low[rows] = torch.where(judged.won, low[rows], eps)
        return best

    def _nudge(self, best: Best, candidates: Tensor, won: Tensor, factors: tuple[float, ...] = _NUDGES) -> None:
        """Tries points a little beyond the losing candidates, away from the clean sample."""
        low, high = self.threat.bounds
        feasible = ((candidates >= low) & (candidates <= high)).flatten(1).all(1)  # NaN is not
        rows = (~won & feasible).nonzero().squeeze(1)
        rows = rows[(candidates[rows] != self.x0[rows]).flatten(1).any(1)]
        for factor in factors:
            if len(rows) == 0:
                return
            further = ops.clip(self.x0[rows] + factor * (candidates[rows] - self.x0[rows]), self.threat.bounds)
            judged = judge(self.pipeline, self.x0[rows], further, self.threat[rows], None, self.rng)
            self.meter.forward(rows)
            judged.rejected.clear()  # our own points, not the plugin's
            best.take(rows, judged)
            rows = rows[~judged.won]

    def _approach(self, best: Best, rows: Tensor) -> None:
        """The search from the nearest win towards the clean sample, on the true pipeline.

        Along a line every norm but l0 shrinks in proportion; in l0 changed pixels are put back. A random pipeline is
        searched on one draw and the result judged like any other candidate.
        """
        if len(rows) == 0:
            return
        x0, far = self.x0[rows], best.x[rows]
        nearest = (self._undone if self.threat.norm == "l0" else self._bisected)(rows, x0, far)
        moved = (nearest != far).flatten(1).any(1).nonzero().squeeze(1)
        if len(moved) == 0:
            return
        judged = judge(self.pipeline, x0[moved], nearest[moved], self.threat[rows[moved]], None, self.rng)
        judged.rejected.clear()
        best.take(rows[moved], judged)

    def _undone(self, rows: Tensor, x0: Tensor, far: Tensor) -> Tensor:
        """far [R, *shape] with needless pixels put back."""
        safe, view = self.threat.safe[rows], self.pipeline.draw(self.rng)

        def wins(at: Tensor, x: Tensor) -> Tensor:
            self.meter.forward(rows[at])
            return is_win(view.decide(self.threat.round_to_feasible(x))[0], safe[at])

        return self.threat.round_to_feasible(undo(x0, far, wins))

    def _bisected(self, rows: Tensor, x0: Tensor, far: Tensor) -> Tensor:
        """The nearest point won on the lines from far [R, *shape] to x0."""
        safe, view = self.threat.safe[rows], self.pipeline.draw(self.rng)
        low = torch.zeros(len(rows), dtype=x0.dtype, device=x0.device)
        high = torch.ones_like(low)
        for _ in range(LINE_STEPS):
            middle = (low + high) / 2
            x = self.threat.round_to_feasible(x0 + ops.per_sample(middle, x0) * (far - x0))
            won = is_win(view.decide(x)[0], safe)
            high, low = torch.where(won, middle, high), torch.where(won, low, middle)
        self.meter.forward(rows, LINE_STEPS)
        moved = ops.clip(x0 + ops.per_sample(high, x0) * (far - x0), self.threat.bounds)
        return torch.where(ops.per_sample(high < 1, x0), moved, far)
