"""A problem as other libraries know it: a torch module, images in [0, 1], labels, one budget at a time.

For attacks that come from elsewhere. They ask the module as they like; every question goes through the problem's
meter, and what they return is judged like any other candidate.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robusteval.contracts.plugins import Attack, AttackInfo
from robusteval.contracts.problem import Problem

Borrowed = Callable[[Any, "Posed"], Any]


@dataclass(frozen=True)
class Posed:
    """What an attack of another library is given. module: images [N, *shape] in [0, 1] to scores [N, K],
    differentiable; x: float32 [B, *shape] in [0, 1]; labels: int64 [B], the first class that counts as no win; targets:
    int64 [B], the class to reach, or None where any wrong one will do; eps: the budget in units of [0, 1] (l0: as it
    is), None where there is none."""

    module: nn.Module
    x: Tensor
    labels: Tensor
    targets: Tensor | None
    eps: float | None
    problem: Problem

    @property
    def images(self) -> Tensor:
        """x as [B, C, H, W], flat inputs as one row of pixels; the module takes these as well."""
        return self.x if self.x.dim() == 4 else self.x.reshape(len(self.x), 1, 1, -1)

    def back(self, unit: Any) -> Tensor:
        """Images in [0, 1], an array or a tensor, as candidates: in the problem's bounds, inside box and budget; what
        is not finite is the clean sample."""
        problem = self.problem
        low, high = problem.bounds
        array = unit.detach().cpu().numpy() if isinstance(unit, Tensor) else np.asarray(unit)
        given = torch.as_tensor(array, device=problem.x.device)
        x = problem.clip(low + given.to(problem.x).reshape(problem.x.shape) * (high - low))
        kept = torch.isfinite(x.flatten(1)).all(1)
        x = torch.where(kept.reshape(-1, *[1] * (x.dim() - 1)), x, problem.x)
        return x if problem.eps is None else problem.project(x)


def posed(problem: Problem, attack: Callable[[Posed], Tensor]) -> Tensor:
    """The candidates [B, *shape] that an attack of another library gives: asked once for each budget that some samples
    share, with the global generators seeded from problem.rng and put back afterwards."""
    answer = problem.x.clone()
    if not len(problem):
        return answer
    budgets: list[float | None] = [None] if problem.eps is None else sorted(set(problem.eps.tolist()))
    for eps in budgets:
        rows = torch.arange(len(problem), device=problem.x.device)
        if problem.eps is not None:
            rows = torch.eq(problem.eps, torch.as_tensor(eps, device=problem.x.device)).nonzero().squeeze(1)
        some = problem[rows]
        if eps == 0:
            continue
        with _own_randomness(some):
            answer[rows] = attack(_given(some, eps)).detach().to(answer)
    return answer


def _given(problem: Problem, eps: float | None) -> Posed:
    low, high = problem.bounds
    safe = problem.safe
    alone = (~safe).sum(1) == 1
    targets = (~safe).float().argmax(1) if bool(alone.all()) and safe.shape[1] > 2 else None
    unit = ((problem.x - low) / (high - low)).clamp(0, 1)
    share = eps if eps is None or problem.norm == "l0" else eps / (high - low)
    return Posed(_Asked(problem), unit, safe.float().argmax(1), targets, share, problem)


class _Asked(nn.Module):
    """The problem's pipeline as a module. A question about other images than the problem has counts for its first
    ones, as nobody says whose they are: sums are right, shares of single samples may not be."""

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.problem = problem
        self.anchor = nn.Parameter(torch.zeros((), device=problem.x.device), requires_grad=False)  # tells the device
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = _Scores.apply(x, self.problem)  # type: ignore[no-untyped-call]
        return scores


class _Scores(torch.autograd.Function):
    """Scores of images in [0, 1]; their gradient is asked of the problem when it is wanted, which is another pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, problem: Problem) -> Tensor:
        ctx.save_for_backward(x)
        ctx.problem = problem
        return torch.cat([part.scores(images) for part, images in _parts(problem, x)]).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        low, high = ctx.problem.bounds
        grads, start = [], 0
        for part, images in _parts(ctx.problem, x):
            weights = given[start : start + len(images)].to(images)
            grads.append(part.grad(images, partial(_weighted, weights)).grad)
            start += len(images)
        return torch.cat(grads).to(x).reshape(x.shape) * (high - low), None


def _weighted(weights: Tensor, scores: Tensor) -> Tensor:
    return (scores * weights).sum(1)


def _parts(problem: Problem, x: Tensor) -> Iterator[tuple[Problem, Tensor]]:
    """The images in the problem's bounds, with as many of its rows beside them."""
    low, high = problem.bounds
    images = problem.clip(low + x.to(problem.x.dtype).reshape(len(x), *problem.x.shape[1:]) * (high - low))
    for start in range(0, len(x), len(problem)):
        some = images[start : start + len(problem)]
        whole = len(some) == len(problem)
        yield (problem if whole else problem[torch.arange(len(some), device=x.device)]), some


@contextmanager
def _own_randomness(problem: Problem) -> Iterator[None]:
    """The global generators of torch, numpy and random seeded from problem.rng, and afterwards as they were."""
    seed = int(torch.randint(2**31 - 1, (), generator=problem.rng, device="cpu"))
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()
    torch.default_generator.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_rng_state(torch_state)
        np.random.set_state(numpy_state)
        random.setstate(python_state)


def borrowed(module: str, class_name: str, info: AttackInfo, params: Mapping[str, Any], call: Borrowed) -> type[Attack]:
    """An attack plugin, a frozen dataclass, that calls another library's. module: `__name__` of the caller, where the
    class has to stand under its name, so that it can be pickled. params: its parameters, each made by `param`. call:
    (the plugin, what it is given) -> images in [0, 1], like Posed.x."""

    def run(self: Attack, problem: Problem) -> Tensor:
        return posed(problem, lambda given: given.back(call(self, given)))

    stated = [(name, type(item.default), item) for name, item in params.items()]
    space = {"info": info, "run": run, "__doc__": info.summary, "__module__": module}
    made: type[Attack] = make_dataclass(class_name, stated, namespace=space, frozen=True)
    made.__module__ = module
    return made
