"""The judge: a plugin proposes, this decides. On the true pipeline, distances in float64."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.pipeline import JUDGE_DRAWS, Pipeline
from robusteval.errors import SuiteError
from robusteval.ops import Norm
from robusteval.renamed import formerly

# Relative room for the budget, for float32 rounding of eps itself.
_EPS_ROOM = 1e-6

Grid = tuple[float, float, int] | tuple[()]  # (first, last, steps), as in ModelInfo


@formerly("keep", "safe")
@dataclass(frozen=True)
class Threat:
    """What counts as a win, and in which norm. safe: bool [B, K'] over the pipeline's classes; levels: Q > 0 where only
    images on the grid {0, ..., Q} / Q of the pixel range count, 0 where any value does; file: the grid of a file that
    takes whole numbers, as in ModelInfo. Where there are both, the levels lie on the file's grid (`common_grid`)."""

    safe: Bool[Tensor, "b k"]
    norm: Norm
    bounds: tuple[float, float]
    levels: int = 0
    file: Grid = ()

    def __getitem__(self, rows: Tensor) -> Threat:
        return Threat(self.safe[rows], self.norm, self.bounds, self.levels, self.file)

    @property
    def grid(self) -> Grid:
        """(first, last, steps) of the values that count; () where any does."""
        return (*self.bounds, self.levels) if self.levels else self.file

    def round_to_feasible(self, x: Float[Tensor, " b *shape"]) -> Float[Tensor, " b *shape"]:
        """x [B, *shape] in the box, and on the grid where there is one."""
        return on_grid(ops.clip(x, self.bounds), self.grid)

    def round_directed(
        self, x0: Float[Tensor, " b *shape"], x: Float[Tensor, " b *shape"], away: bool
    ) -> Float[Tensor, " b *shape"]:
        """x [B, *shape] on the grid, each value rounded away from that of x0 or towards it; as it is without a grid."""
        grid = self.grid
        return ops.to_grid_directed(x0, x, (grid[0], grid[1]), grid[2], away) if grid else x


def on_grid(x: Float[Tensor, " *shape"], grid: Grid) -> Float[Tensor, " *shape"]:
    """x with each value at the nearest of the grid's; as it is without one."""
    return ops.to_grid(x, (grid[0], grid[1]), grid[2]) if grid else x


def common_grid(levels: int, bounds: tuple[float, float], file: Grid) -> tuple[int, Grid]:
    """(levels, file) of a Threat for a suite's levels and a file's grid: the one whose points lie on both.

    Raises SuiteError where neither lies on the other, so that the suite asks for images that the file cannot receive.
    """
    if not levels or not file:
        return levels, file
    width = bounds[1] - bounds[0]
    whole = max(abs(file[0] - bounds[0]), abs(file[1] - bounds[1])) <= 1e-6 * width
    if whole and file[2] % levels == 0:
        return levels, ()
    if whole and levels % file[2] == 0:
        return 0, file
    raise SuiteError(
        f"The suite asks for images of {levels + 1} levels, but the model's file takes whole numbers, {file[2] + 1} of "
        "them.",
        f"Give levels = {file[2]} in the suite, or leave it away: the file's own grid is kept in any case.",
    )


@dataclass(frozen=True)
class Judged:
    """What the judge found. x: [B, *shape], the candidates as judged, on the grid where the threat has one; won: bool
    [B]; distance, l2: float64 [B], inf where not won; answer: int64 [B], the pipeline's answer (its class count where a
    detector fires); detector_score: [B] or None; rejected: reasons, counted."""

    x: Float[Tensor, " b *shape"]
    won: Bool[Tensor, " b"]
    distance: Float64[Tensor, " b"]
    l2: Float64[Tensor, " b"]
    answer: Int64[Tensor, " b"]
    detector_score: Float[Tensor, " b"] | None
    rejected: Counter[str]


def answers(
    pipeline: Pipeline, x: Float[Tensor, " b *shape"], rng: Generator
) -> tuple[Int64[Tensor, " b"], Float[Tensor, " b"] | None]:
    """The pipeline's answer to each x, by majority over fresh draws where it is random: (int64 [B], detector_score
    [B])."""
    if not pipeline.stochastic:
        answer, _, detector_score = pipeline.decide(x)
        return answer, detector_score
    votes = torch.zeros(len(x), pipeline.classes + 1, device=x.device)
    total: Tensor | None = None
    for _ in range(JUDGE_DRAWS):
        answer, _, detector_score = pipeline.draw(rng).decide(x)
        votes.scatter_add_(1, (answer + 1)[:, None], torch.ones_like(votes[:, :1]))  # column 0: not finite
        if detector_score is not None:
            total = detector_score if total is None else total + detector_score
    return votes.argmax(1) - 1, None if total is None else total / JUDGE_DRAWS


def is_win(answer: Int64[Tensor, " b"], safe: Bool[Tensor, "b k"]) -> Bool[Tensor, " b"]:
    """Whether each answer is a win: finite and outside safe. bool [B]."""
    return (answer >= 0) & ~safe.gather(1, answer.clamp_min(0)[:, None]).squeeze(1)


def judge(
    pipeline: Pipeline,
    x0: Float[Tensor, " b *shape"],
    candidates: Shaped[Tensor, " *any"],
    threat: Threat,
    eps: Float[Tensor, " b"] | None,
    rng: Generator,
) -> Judged:
    """Judges candidates [B, *shape]: throws out what is NaN, outside the box or over its budget, queries the true
    pipeline for the rest, and measures in float64. A candidate of a wrong shape raises ValueError: a broken plugin.

    With a grid each candidate is rounded to the nearest point of it; where that loses the win, away from the clean
    sample, and then towards it. The budget binds the plugin's candidate; the distance is that of the rounded image, so
    it may be longer by the rounding, never shorter than what was measured.
    """
    if candidates.shape != x0.shape:
        raise ValueError(f"the attack returned shape {tuple(candidates.shape)} for samples {tuple(x0.shape)}")
    candidates = candidates.detach().to(x0.device, x0.dtype)
    if not threat.grid:
        return _judge(pipeline, x0, candidates, candidates, threat, eps, rng)
    rounded = on_grid(candidates, threat.grid)
    judged = _judge(pipeline, x0, candidates, rounded, threat, eps, rng)
    for away in (True, False):
        rows = (~judged.won).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        rounded = threat.round_directed(x0[rows], candidates[rows], away)
        some = None if eps is None else eps[rows]
        _take(judged, rows, _judge(pipeline, x0[rows], candidates[rows], rounded, threat[rows], some, rng))
    return judged


def _take(judged: Judged, rows: Tensor, again: Judged) -> None:
    """Writes the wins of `again`, of these rows, into judged; only wins, so reasons for rejection stay the first
    ones."""
    won = rows[again.won]
    judged.x[won], judged.won[won] = again.x[again.won], True
    judged.distance[won], judged.l2[won] = again.distance[again.won], again.l2[again.won]
    judged.answer[won] = again.answer[again.won]
    if judged.detector_score is not None and again.detector_score is not None:
        judged.detector_score[won] = again.detector_score[again.won]
    left = judged.rejected["not a win"] - len(won)
    judged.rejected.update({"not a win": -len(won)})
    if left <= 0:
        del judged.rejected["not a win"]


def _judge(
    pipeline: Pipeline,
    x0: Tensor,
    proposed: Tensor,
    rounded: Tensor,
    threat: Threat,
    eps: Tensor | None,
    rng: Generator,
) -> Judged:
    """Lawful is what was proposed; what is asked of the pipeline and measured is what it was rounded to."""
    rejected: Counter[str] = Counter()
    finite = torch.isfinite(proposed.flatten(1)).all(1)
    safe = torch.where(ops.per_sample(finite, x0), proposed, x0)
    inside = ((safe >= threat.bounds[0]) & (safe <= threat.bounds[1])).flatten(1).all(1)
    far = torch.zeros_like(finite) if eps is None else _beyond(ops.distance(x0, safe, threat.norm), eps)
    rejected["not finite"] = int((~finite).sum())
    rejected["outside the box"] = int((finite & ~inside).sum())
    rejected["over budget"] = int((finite & inside & far).sum())
    valid = finite & inside & ~far
    x = torch.where(ops.per_sample(finite, x0), rounded, x0)
    distance = ops.distance(x0, x, threat.norm)
    answer, detector_score = answers(pipeline, x, rng)
    won = valid & is_win(answer, threat.safe)
    rejected["not a win"] = int((valid & ~won).sum())
    never = torch.full_like(distance, torch.inf)
    return Judged(
        x,
        won,
        torch.where(won, distance, never),
        torch.where(won, ops.distance(x0, x, "l2"), never),
        answer,
        detector_score,
        +rejected,
    )


def _beyond(distance: Tensor, eps: Tensor) -> Tensor:
    return distance > eps.double() * (1 + _EPS_ROOM)
