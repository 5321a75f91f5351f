"""Many random points around a few samples: is one of them an adversarial where the attacks saw none? (Carlini et al. 2019)"""

from __future__ import annotations

import math

import torch

from robusteval import ops
from robusteval.assessment.envelope import envelope_of
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.samples import Samples
from robusteval.engine.chunk import generator, norm_named
from robusteval.engine.suite import Suite
from robusteval.record.document import Record, Search

_BATCH = 500
_SHORT = 0.9  # of the nearest adversarial's distance
_FREE = 0.25  # of the largest budget, where no adversarial was found


def search(record: Record, pipeline: Pipeline, samples: Samples, suite: Suite, seed: int) -> list[Search]:
    """A row for each of l2 and linf that attacks finished in; none where the suite asks for no samples.

    Half of the points lie on the sphere, half in the ball. Only for models whose answers do not change.
    """
    settings, made = suite.noise_draws, []
    low, high = samples.bounds
    for norm in ("l2", "linf"):
        nearest = envelope_of(record, norm, "none") if settings.samples else []
        if not nearest or pipeline.stochastic:
            continue
        rows = [index for index, value in enumerate(nearest) if value > 0][: settings.samples]
        found = Search(norm, settings.draws)
        made.append(found)
        for index in rows:
            eps = _SHORT * nearest[index] if math.isfinite(nearest[index]) else _FREE * suite.eps[norm] * (high - low)
            found.samples.append(index)
            found.eps.append(eps)
            found.hits.append(_hits(pipeline, samples, index, norm, eps, settings.draws, seed))
    return made


def _hits(pipeline: Pipeline, samples: Samples, index: int, norm: str, eps: float, draws: int, seed: int) -> int:
    rng, kind = generator(seed, "noise-draws", norm, index), norm_named(norm)
    hits = 0
    for start in range(0, draws, _BATCH):
        count = min(_BATCH, draws - start)
        x = samples.x[index].expand(count, *samples.x.shape[1:])
        size = torch.full((count,), eps, dtype=x.dtype, device=x.device)
        draw = ops.random_on_sphere if (start // _BATCH) % 2 == 0 else ops.random_in_ball
        answer, _, _ = pipeline.decide(ops.clip(x + draw(x, kind, size, rng).to(x), samples.bounds))
        hits += int(((answer >= 0) & (answer != samples.y[index])).sum())
    return hits
