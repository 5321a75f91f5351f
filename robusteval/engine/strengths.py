"""The bare model's adversarials at several strengths, which oblivious cells judge on the defended pipelines."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.judge import Threat, judge
from robusteval.engine.plan import Planned
from robusteval.engine.sweep import Best, Propose


@dataclass
class Strengths:
    """Candidates of a bare cell at several strengths. x: [S, B, *shape]; fools: bool [S, B]."""

    values: list[float]
    x: Tensor
    fools: Tensor


def keep_strengths(
    planned: Planned,
    pipeline: Pipeline,
    x: Tensor,
    threat: Threat,
    live: Tensor,
    found: Best,
    propose: Propose | None,
    rng: Generator,
) -> Strengths:
    """The bare model's adversarials at each strength: a fixed attack at each budget, a minimal one stretched."""
    stacked = x[None].repeat(len(planned.strengths), *[1] * x.dim())
    fools = torch.zeros(len(planned.strengths), len(x), dtype=torch.bool)
    won = torch.isfinite(found.distance)
    for number, strength in enumerate(planned.strengths):
        if len(live) == 0:
            break
        if planned.cell.family == "fixed" and propose is not None:
            eps = torch.full((len(live),), strength, dtype=x.dtype, device=x.device)
            candidates = propose(torch.arange(len(live), device=x.device), eps)
            judged = judge(pipeline, x[live], candidates, threat[live], eps, rng)
            valid = ops.per_sample(judged.won, x)
            candidates = torch.where(valid, judged.x, x[live])  # what is judged must be lawful
        else:
            candidates = threat.lawful(x[live] + strength * (found.x - x[live]))
            candidates = torch.where(ops.per_sample(won, x), candidates, x[live])
            judged = judge(pipeline, x[live], candidates, threat[live], None, rng)
        stacked[number, live] = candidates
        fools[number, live.cpu()] = judged.won.cpu()
    return Strengths(list(planned.strengths), stacked.cpu(), fools)
