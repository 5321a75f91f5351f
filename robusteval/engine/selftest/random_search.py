"""Many random points around a few samples (Carlini et al. 2019): is one of them an adversarial where the attacks saw
none?"""

from __future__ import annotations

import math

import torch

from robusteval import ops
from robusteval.assessment.evidence.worst_case import envelope_of
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.search.judge import Threat, common_grid, is_win
from robusteval.engine.seeding import generator
from robusteval.engine.source import Source
from robusteval.engine.suite.goals import ALL, LEAST_LIKELY, UNTARGETED, least_likely, number, safe_mask
from robusteval.engine.suite.suite import Suite
from robusteval.ops import norm_named
from robusteval.record.run import Record, Search

_BATCH = 500
_SHORT = 0.9  # of the nearest adversarial's distance
_FREE = 0.25  # of the largest budget, where no adversarial was found


def search(
    record: Record, pipeline: Pipeline, samples: Source, suite: Suite, seed: int, target: str = UNTARGETED
) -> list[Search]:
    """A row for each of l2 and linf that attacks finished in; none where the suite asks for no samples.

    Half of the points lie on the sphere, half in the ball. A hit is what the judge would call a win of the run's
    attacks: of the target's class where there is a target, and on the grid where there is one. Only for models whose
    answers do not change.
    """
    settings, searches = suite.noise_draws, []
    low, high = samples.bounds
    for norm in ("l2", "linf"):
        nearest = envelope_of(record, norm, "none") if settings.samples else []
        if not nearest or pipeline.stochastic:
            continue
        rows = [index for index, value in enumerate(nearest) if value > 0][: settings.samples]
        free = _FREE * suite.largest(norm, tuple(samples.x.shape[1:])) * (high - low)
        threat = _threat(pipeline, samples, rows, norm, suite, target)
        found = Search(norm, settings.draws)
        searches.append(found)
        for position, index in enumerate(rows):
            eps = _SHORT * nearest[index] if math.isfinite(nearest[index]) else free
            found.samples.append(index)
            found.eps.append(eps)
            own = threat[torch.tensor([position], device="cpu")]
            found.hits.append(_hits(pipeline, samples.x[index], own, eps, settings.draws, seed, index))
    return searches


def _threat(pipeline: Pipeline, samples: Source, rows: list[int], norm: str, suite: Suite, target: str) -> Threat:
    """What the run's attacks on these samples count as a win."""
    y, goal = samples.y[rows], number(target)
    goals = None if goal is None else torch.full_like(y, goal)
    if target == LEAST_LIKELY:
        goals = least_likely(pipeline.defended.model, samples[torch.tensor(rows, dtype=torch.long, device="cpu")])
    safe = safe_mask(y, goals if target != ALL else None, pipeline.defended.model.info.classes, pipeline.classes)
    return Threat(safe, norm_named(norm), samples.bounds, *common_grid(suite.levels, samples.bounds, samples.grid))


def _hits(pipeline: Pipeline, x0: torch.Tensor, threat: Threat, eps: float, draws: int, seed: int, index: int) -> int:
    """How many of the points around x0 [*shape] win; those that the grid's rounding moves beyond eps do not count."""
    rng = generator(seed, "noise-draws", threat.norm, index)
    hits = 0
    for start in range(0, draws, _BATCH):
        count = min(_BATCH, draws - start)
        x = x0.expand(count, *x0.shape)
        size = torch.full((count,), eps, dtype=x.dtype, device=x.device)
        draw = ops.random_on_sphere if (start // _BATCH) % 2 == 0 else ops.random_in_ball
        points = ops.clip(x + draw(x, threat.norm, size, rng).to(x), threat.bounds)
        points = threat.round_directed(x, points, away=False)
        answer, _, _ = pipeline.decide(points)
        near = ops.distance(x, points, threat.norm) <= eps * (1 + 1e-6)
        hits += int((is_win(answer, threat.safe.expand(count, -1)) & near).sum())
    return hits
