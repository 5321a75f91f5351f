"""The bare model's adversarials at several strengths, which oblivious cells judge on the defended pipelines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.plan.plan import Planned
from robusteval.engine.search.distance_search import Best, Propose
from robusteval.engine.search.judge import Threat, answers, judge


@dataclass
class Strengths:
    """Candidates of a bare cell at several strengths. x: [S, B, *shape], the clean sample where there is no
    adversarial; fools: bool [S, B]; answer: int64 [S, B], the bare model's; distance, l2: float64 [S, B] of the
    attack's own candidates, won or not, NaN where it made none."""

    values: list[float]
    x: Tensor
    fools: Tensor
    answer: Tensor
    distance: Tensor
    l2: Tensor


def keep_strengths(
    planned: Planned,
    pipeline: Pipeline,
    x: Tensor,
    threat: Threat,
    correct: Tensor,
    found: Best,
    propose: Propose | None,
    rng: Generator,
) -> Strengths:
    """The bare model's adversarials at each strength: a fixed attack at each budget, a minimal one stretched."""
    stacked = x[None].repeat(len(planned.strengths), *[1] * x.dim())
    fools = torch.zeros(len(planned.strengths), len(x), dtype=torch.bool, device="cpu")
    answer = answers(pipeline, x, rng)[0].cpu()[None].repeat(len(planned.strengths), 1)
    distance = torch.full(fools.shape, torch.nan, dtype=torch.float64, device="cpu")
    l2 = torch.full_like(distance, torch.nan)
    won = torch.isfinite(found.distance)
    for number, strength in enumerate(planned.strengths):
        if len(correct) == 0:
            break
        if planned.cell.family == "fixed" and propose is not None:
            eps = torch.full((len(correct),), strength, dtype=x.dtype, device=x.device)
            candidates = propose(torch.arange(len(correct), device=x.device), eps)
            judged = judge(pipeline, x[correct], candidates, threat[correct], eps, rng)
            own, counts = judged.x, torch.isfinite(candidates.flatten(1)).all(1)
            # what is judged on other pipelines must be feasible
            candidates = torch.where(ops.per_sample(judged.won, x), judged.x, x[correct])
        else:
            candidates = threat.round_to_feasible(x[correct] + strength * (found.x - x[correct]))
            candidates = torch.where(ops.per_sample(won, x), candidates, x[correct])
            judged = judge(pipeline, x[correct], candidates, threat[correct], None, rng)
            own, counts = candidates, won
        stacked[number, correct] = candidates
        rows = correct.cpu()
        fools[number, rows], answer[number, rows] = judged.won.cpu(), judged.answer.cpu()
        distance[number, rows] = _sizes(x[correct], own, counts, threat.norm).cpu()
        l2[number, rows] = _sizes(x[correct], own, counts, "l2").cpu()
    return Strengths(list(planned.strengths), stacked.cpu(), fools, answer, distance, l2)


def _sizes(x: Tensor, candidates: Tensor, counts: Tensor, norm: ops.Norm) -> Tensor:
    """Distances of candidates [B, *shape] from x, float64 [B]; NaN where none was made."""
    found = ops.distance(x, torch.where(ops.per_sample(counts, x), candidates, x), norm)
    return torch.where(counts, found, torch.full_like(found, torch.nan))
