"""The class whose boundary lies nearest, judged by one linearisation at the clean sample as in DeepFool."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from robusteval.api import Passes, Problem

_NEVER = -1e30
_DUAL = {"l2": 2.0, "linf": 1.0, "l1": math.inf}
_CANDIDATES = 9


def nearest_class(problem: Problem) -> Tensor:
    """Index of the winning class with the smallest linearised distance in the problem's norm, int64 [B].

    Costs one forward and up to ten backward passes per sample, once per unit of work: a budget search asks many times.
    Among the nine best classes; where no gradient tells anything, the best of them.
    """
    known: dict[int, Tensor] = problem.memory.setdefault("nearest class", {})
    rows = problem.rows.tolist()
    missing = [index for index, row in enumerate(rows) if row not in known]
    if missing:
        found = _linearised(problem[torch.tensor(missing, device=problem.x.device)])
        known.update({rows[index]: found[number] for number, index in enumerate(missing)})
    return torch.stack([known[row] for row in rows]) if rows else problem.rows


def aim_passes(classes: int) -> Passes:
    """What nearest_class costs per sample."""
    return Passes(2, 1 + min(_CANDIDATES, classes - 1))


def towards(safe: Tensor, aim: Tensor) -> Callable[[Tensor], Tensor]:
    """A loss [B] of scores [B, K]: the score of the class aim [B] minus the largest score in safe."""

    def loss(scores: Tensor) -> Tensor:
        return scores.gather(1, aim[:, None]).squeeze(1) - scores.masked_fill(~safe, _NEVER).amax(1)

    return loss


def _linearised(problem: Problem) -> Tensor:
    scores, safe = problem.scores(problem.x), problem.safe
    count = min(_CANDIDATES, problem.classes - 1)
    outside = scores.masked_fill(safe, _NEVER).topk(count, dim=1).indices
    inside = scores.masked_fill(~safe, _NEVER).argmax(1, keepdim=True)
    scores, grads = problem.jacobian(problem.x, torch.cat([inside, outside], dim=1))
    slope = (grads[:, 1:] - grads[:, :1]).flatten(2)
    steepness = torch.linalg.vector_norm(slope, ord=_DUAL[problem.norm], dim=2)
    gap = scores.gather(1, inside) - scores.gather(1, outside)
    usable = ~safe.gather(1, outside) & (steepness > 1e-20) & torch.isfinite(gap)
    reach = torch.where(usable, gap / steepness.clamp_min(1e-20), torch.inf)
    # argmin takes the first of equals, so a row without any gradient aims at the best class.
    return outside.gather(1, reach.argmin(1, keepdim=True)).squeeze(1)
