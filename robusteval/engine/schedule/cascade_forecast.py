"""How many samples hold out against a single step of the whole budget, asked of the model before the run, for the
forecast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.problem import Problem
from robusteval.engine.plan.plan import Planned
from robusteval.engine.search.judge import Threat, common_grid, judge
from robusteval.engine.seeding import generator
from robusteval.engine.source import Source
from robusteval.engine.suite.goals import safe_mask
from robusteval.ops import norm_named

_SAMPLES = 64


def survivors(
    planned: Iterable[Planned],
    pipelines: Mapping[str, Pipeline],
    samples: Source,
    initially_correct: Mapping[str, Tensor],
    levels: int,
) -> dict[str, float]:
    """By cell: about the largest share of the attacked samples that holds out at the largest budget, of cascades (what
    is left after their first member with gradients) and of attacks with gradients at fixed budgets.

    One step of the whole budget along the gradient is tried on the first 64 attacked samples; what holds against it,
    and one more of n + 1 for what so few cannot show, counts as left. An attack of many steps that is worth its passes
    leaves fewer. Nothing is said, so that all count, where no gradient is to be had, where a pipeline is random or not
    fitted yet, where not every error is a win, and in L1 and L0, where one step is one pixel.
    """
    found: dict[str, float] = {}
    known: dict[tuple[str, str, float], float] = {}
    for entry in planned:
        cell, pipeline = entry.cell, pipelines.get(entry.cell.defense)
        searched = cell.family == "fixed" and cell.needs == "gradient" and not entry.source
        if (
            not (entry.members or searched)
            or pipeline is None
            or pipeline.stochastic
            or cell.norm not in ("l2", "linf")
        ):
            continue
        if pipeline.defended.model.info.gradients == "none" or cell.target != "untargeted" or cell.eps is None:
            continue
        at = (cell.defense, cell.norm, cell.eps)
        if at in known:
            found[cell.id] = known[at]
            continue
        mask = initially_correct.get(cell.defense, torch.ones(len(samples), dtype=torch.bool, device="cpu"))
        rows = mask.nonzero().squeeze(1)[:_SAMPLES].to(samples.x.device)
        if len(rows):
            won = _one_step(pipeline, samples, rows, cell.norm, cell.eps, levels)
            found[cell.id] = known[at] = (int((~won).sum()) + 1) / (len(rows) + 1)
    return found


def _one_step(pipeline: Pipeline, samples: Source, rows: Tensor, norm: str, eps: float, levels: int) -> Tensor:
    """bool [n]: which of the samples a single step takes; those wrong when clean count as taken."""
    x, y = samples.x[rows], samples.y[rows]
    safe = safe_mask(y, None, pipeline.defended.model.info.classes, pipeline.classes)
    budget = torch.full((len(x),), eps, dtype=x.dtype, device=x.device)
    grid = common_grid(levels, samples.bounds, samples.grid)
    threat, rng = Threat(safe, norm_named(norm), samples.bounds, *grid), generator(0, "survivors", norm, eps)
    order = torch.arange(len(x), device=x.device)
    problem = Problem(
        x, safe, threat.norm, budget, samples.bounds, rng, "gradient", pipeline, Meter(len(x)), order
    )  # fmt: skip
    step = ops.ascent(torch.nan_to_num(problem.grad(x, "margin").grad), threat.norm) * ops.per_sample(budget, x)
    return judge(pipeline, x, problem.project(x + step), threat, budget, rng).won
