"""The judge: a plugin proposes, this decides. On the true pipeline, distances in float64."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.pipeline import Pipeline
from robusteval.ops import Norm

# Draws by which a random pipeline is judged; odd, so that a majority exists.
JUDGE_DRAWS = 11
# Relative room for the budget, for float32 rounding of eps itself.
_EPS_ROOM = 1e-6


@dataclass(frozen=True)
class Threat:
    """What counts as a win, and in which norm. keep: bool [B, K'] over the pipeline's classes."""

    keep: Tensor
    norm: Norm
    bounds: tuple[float, float]

    def __getitem__(self, rows: Tensor) -> Threat:
        return Threat(self.keep[rows], self.norm, self.bounds)


@dataclass(frozen=True)
class Judged:
    """What the judge found. won: bool [B]; distance, l2: float64 [B], inf where not won; answer: int64 [B], the
    pipeline's answer (its class count where a detector fires); suspicion: [B] or None; rejected: reasons, counted."""

    won: Tensor
    distance: Tensor
    l2: Tensor
    answer: Tensor
    suspicion: Tensor | None
    rejected: Counter[str]


def answers(pipeline: Pipeline, x: Tensor, rng: Generator) -> tuple[Tensor, Tensor | None]:
    """The pipeline's answer to each x, by majority over fresh draws where it is random: (int64 [B], suspicion [B])."""
    if not pipeline.stochastic:
        answer, _, suspicion = pipeline.decide(x)
        return answer, suspicion
    votes = torch.zeros(len(x), pipeline.classes + 1, device=x.device)
    total: Tensor | None = None
    for _ in range(JUDGE_DRAWS):
        answer, _, suspicion = pipeline.draw(rng).decide(x)
        votes.scatter_add_(1, (answer + 1)[:, None], torch.ones_like(votes[:, :1]))  # column 0: not finite
        if suspicion is not None:
            total = suspicion if total is None else total + suspicion
    return votes.argmax(1) - 1, None if total is None else total / JUDGE_DRAWS


def is_win(answer: Tensor, keep: Tensor) -> Tensor:
    """Whether each answer is a win: finite and outside keep. bool [B]."""
    return (answer >= 0) & ~keep.gather(1, answer.clamp_min(0)[:, None]).squeeze(1)


def judge(
    pipeline: Pipeline, x0: Tensor, candidates: Tensor, threat: Threat, eps: Tensor | None, rng: Generator
) -> Judged:
    """Judges candidates [B, *shape]: throws out what is NaN, outside the box or over its budget, queries the true
    pipeline for the rest, and measures in float64. A candidate of a wrong shape raises ValueError: a broken plugin."""
    if candidates.shape != x0.shape:
        raise ValueError(f"the attack returned shape {tuple(candidates.shape)} for samples {tuple(x0.shape)}")
    candidates = candidates.detach().to(x0.device, x0.dtype)
    rejected: Counter[str] = Counter()
    finite = torch.isfinite(candidates.flatten(1)).all(1)
    safe = torch.where(ops.per_sample(finite, x0), candidates, x0)
    inside = ((safe >= threat.bounds[0]) & (safe <= threat.bounds[1])).flatten(1).all(1)
    distance = ops.distance(x0, safe, threat.norm)
    near = torch.ones_like(finite) if eps is None else distance <= eps.double() * (1 + _EPS_ROOM)
    rejected["not finite"] = int((~finite).sum())
    rejected["outside the box"] = int((finite & ~inside).sum())
    rejected["over budget"] = int((finite & inside & ~near).sum())
    valid = finite & inside & near
    answer, suspicion = answers(pipeline, safe, rng)
    won = valid & is_win(answer, threat.keep)
    rejected["not a win"] = int((valid & ~won).sum())
    never = torch.full_like(distance, torch.inf)
    return Judged(
        won,
        torch.where(won, distance, never),
        torch.where(won, ops.distance(x0, safe, "l2"), never),
        answer,
        suspicion,
        +rejected,
    )
