"""Auto-PGD: projected gradient ascent with momentum that halves its own steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from robusteval.api import (
    AttackInfo,
    Passes,
    Problem,
    ascent,
    hookimpl,
    margin,
    param,
    per_sample,
    project_l1_box,
    random_on_sphere,
    wins,
)

_RISES = 0.75  # share of the steps between two checkpoints that must raise the loss
_MOMENTUM = 0.75
_RADII = ((3.0, 0.3), (2.0, 0.3))  # l1: the wider balls, in budgets, and the share of the steps that each gets
_EVERY_L1 = 0.04  # l1: share of the steps between two checkpoints


@dataclass(frozen=True)
class APGD:
    """Croce & Hein's algorithm 1, and their sparse variant for l1.

    Two runs of fifty steps by default, the second on what the first left, not one of a hundred: another start mostly
    finds more than further steps do, at no higher cost (benchmarks/results/peers.md has both).
    """

    info: ClassVar[AttackInfo] = AttackInfo(
        name="apgd",
        version="3",
        norms=("linf", "l2", "l1"),
        budget="fixed",
        needs="gradient",
        summary="Gradient steps with momentum; the step size halves where progress stalls, from the best point so far.",
        reference="Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse "
        "parameter-free attacks, 2020; l1: Mind the box: l1-APGD for sparse adversarial attacks on image classifiers, "
        "2021",
        stochastic=True,
        strengths="No step size to tune; with loss targeted-dlr one of the strongest gradient attacks.",
        limits="Masked gradients stop it; targeted-dlr takes one run for each of up to nine classes.",
    )
    steps: int = param(50, "Gradient steps per run; 100 in the paper.", minimum=2, maximum=100_000)
    restarts: int = param(2, "Random starts; later ones run on the samples that withstood.", minimum=1, maximum=1000)
    loss: Literal["ce", "margin", "dlr", "targeted-dlr"] = param(
        "dlr",
        "What is climbed; targeted-dlr goes for the likeliest classes one by one.",
        choices=["ce", "margin", "dlr", "targeted-dlr"],
    )
    targets: int = param(9, "Classes that targeted-dlr goes for, the likeliest first.", minimum=1, maximum=1000)
    sparsity: float = param(0.2, "Share of the values that the first l1 steps move.", minimum=1e-6, maximum=1.0)
    radii: bool = param(True, "l1: whether a run begins with balls of three and two budgets, as in the paper.")

    def passes(self, norm: str, classes: int) -> Passes:
        runs = min(self.targets, classes - 1) if self.loss == "targeted-dlr" else 1
        return Passes(self.steps + 1, self.steps) * (runs * self.restarts) + Passes(self.loss == "targeted-dlr")

    def run(self, problem: Problem) -> Tensor:
        best, highest = problem.x.clone(), problem.x.new_full((len(problem),), -math.inf)
        if len(problem) == 0:
            return best
        order = None
        if self.loss == "targeted-dlr":
            scores = problem.scores(problem.x).nan_to_num()
            highest = highest.masked_fill(wins(scores, problem.safe), math.inf)
            order = scores.masked_fill(problem.safe, -math.inf).argsort(dim=1, descending=True, stable=True)
        for run in range(self.restarts * (1 if order is None else min(self.targets, problem.classes - 1))):
            left = (highest < math.inf).nonzero().squeeze(1)
            aim = None
            if order is not None:
                # where fewer classes win than there are runs, as in a targeted problem, the rest has nothing to go for
                target = order[left, run // self.restarts][:, None]
                sensible = ~problem.safe[left].gather(1, target).squeeze(1)
                left, target = left[sensible], target[sensible]
                aim = torch.ones_like(problem.safe[left]).scatter_(1, target, False)
            if len(left) == 0:
                continue
            found, value = self._climb(problem[left], aim)
            better = value > highest[left]
            best[left[better]], highest[left[better]] = found[better], value[better]
        return best

    def _climb(self, problem: Problem, aim: Tensor | None) -> tuple[Tensor, Tensor]:
        """One run: the best point of each sample, [B, *shape], and its margin, [B], infinite where it won.

        In l1 its steps are shared out over three radii; the best points of a wider ball, brought into the next one, are
        where that begins. Wins outside the budget are none, so the wider balls do not end a sample.
        """
        eps = problem.budget.to(problem.x.dtype)
        start = problem.x + random_on_sphere(problem.x, problem.norm, eps, problem.rng)
        steps = self.steps
        if problem.norm == "l1" and self.radii and len(problem):
            for factor, share in _RADII:
                part = int(share * self.steps)
                if part:
                    wide = replace(problem, eps=problem.budget * factor)
                    start = self._ascend(wide, aim, start, part, wide=True)[0]
                    steps -= part
        return self._ascend(problem, aim, start, steps)

    def _ascend(
        self, problem: Problem, aim: Tensor | None, start: Tensor, steps: int, wide: bool = False
    ) -> tuple[Tensor, Tensor]:
        """`steps` steps from start: the best points and their margins; wide: a win is not the end, the loss decides."""
        kind = "dlr" if self.loss == "targeted-dlr" else self.loss
        eps = problem.budget.to(problem.x.dtype)
        x = _within(problem, start)
        out, value = x.clone(), x.new_full((len(x),), -math.inf)
        left = torch.arange(len(x), device=x.device)
        state = _State.start(x, eps * (1 if problem.norm == "l1" else 2), self.sparsity)
        checks = _checkpoints(steps, problem.norm)
        for step in range(steps):
            guide = problem if aim is None else replace(problem, safe=aim[left])
            grad, loss, scores, _ = guide.roughly(step / steps).grad(state.x, kind)
            won = wins(scores, problem.safe)
            reached = margin(scores, problem.safe).masked_fill(won, math.inf)
            problem.note(loss=loss, step=state.step, won=won.float())
            better = reached > value[left]
            out[left[better]], value[left[better]] = state.x[better], reached[better]
            if bool(won.any()) and not wide:
                on = ~won
                problem, left, state, grad, loss = problem[on], left[on], state[on], grad[on], loss[on]
            if len(left) == 0:
                return out, value
            state.observe(grad, loss)
            if step in checks:
                since = step - max((c for c in checks if c < step), default=0)
                _adapt_l1(problem, state) if problem.norm == "l1" else _adapt(state, since)
            state.move(problem, momentum=step > 0 and problem.norm != "l1")
        if wide:
            return state.best, value
        scores = problem.scores(state.x)
        reached = margin(scores, problem.safe).masked_fill(wins(scores, problem.safe), math.inf)
        better = reached > value[left]
        out[left[better]], value[left[better]] = state.x[better], reached[better]
        return out, value


@dataclass
class _State:
    """What a run remembers of each sample; best and best_grad belong to the point of the highest loss."""

    x: Tensor
    grad: Tensor
    previous: Tensor
    best: Tensor
    best_grad: Tensor
    highest: Tensor
    last: Tensor  # loss of the step before
    rises: Tensor  # steps since the checkpoint that raised the loss
    step: Tensor
    first: Tensor  # the largest step
    halved: Tensor  # at the last checkpoint
    checked: Tensor  # highest loss at the last checkpoint
    many: Tensor  # l1: values that a step moves
    support: Tensor  # l1: values moved so far by the best point at the last checkpoint

    @classmethod
    def start(cls, x: Tensor, step: Tensor, sparsity: float) -> _State:
        never, none = torch.full_like(step, -math.inf), torch.zeros_like(x)
        count = torch.full_like(step, sparsity * x[0].numel())
        yes = torch.ones_like(step, dtype=torch.bool)
        zero = torch.zeros_like(step)
        return cls(x, none, x, x, none, never, never, zero, step, step, yes, never, count, count.clone())

    def __getitem__(self, rows: Tensor) -> _State:
        return _State(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def observe(self, grad: Tensor, loss: Tensor) -> None:
        """Takes in the gradient and the loss at x."""
        loss = loss.nan_to_num(nan=-math.inf)
        self.rises = self.rises + (loss > self.last)
        better = loss > self.highest
        self.best = torch.where(per_sample(better, self.x), self.x, self.best)
        self.best_grad = torch.where(per_sample(better, self.x), grad, self.best_grad)
        self.grad, self.highest, self.last = grad, torch.where(better, loss, self.highest), loss

    def back(self, rows: Tensor) -> None:
        """Returns to the best point where rows [B] is true."""
        there = per_sample(rows, self.x)
        self.x, self.grad = torch.where(there, self.best, self.x), torch.where(there, self.best_grad, self.grad)

    def move(self, problem: Problem, momentum: bool) -> None:
        """One projected step, with a share of the last one where there is momentum."""
        length = per_sample(self.step, self.x)
        if problem.norm == "l1":
            direction = _sparse(self.grad, self.many)
        else:
            direction = ascent(self.grad, problem.norm)
        x = _within(problem, self.x + length * direction)
        if momentum:
            x = self.x + _MOMENTUM * (x - self.x) + (1 - _MOMENTUM) * (self.x - self.previous)
            x = _within(problem, x)
        self.previous, self.x = self.x, x


def _checkpoints(steps: int, norm: str) -> list[int]:
    if norm == "l1":
        every = max(1, int(_EVERY_L1 * steps))
        return list(range(every, steps, every))
    points, gap = [0.0, 0.22], 0.22
    while points[-1] < 1:
        gap = max(gap - 0.03, 0.06)
        points.append(points[-1] + gap)
    return sorted({math.ceil(point * steps) for point in points[1:] if point < 1})


def _adapt(state: _State, since: int) -> None:
    """Halves the step where too few steps rose, or where neither step nor record changed since the last checkpoint."""
    stalled = (state.rises < _RISES * since) | (~state.halved & (state.checked >= state.highest))
    state.step = torch.where(stalled, state.step / 2, state.step)
    state.back(stalled)
    state.halved, state.checked, state.rises = stalled, state.highest, torch.zeros_like(state.rises)


def _adapt_l1(problem: Problem, state: _State) -> None:
    """Fewer values per step as the best point grows sparse; shorter steps from it once its support has settled."""
    support = (state.best != problem.x).flatten(1).sum(1).to(state.step.dtype)
    settled = support / state.support.clamp_min(1) >= 0.95
    shorter = torch.maximum(state.step / 1.5, state.first / 10)
    state.step = torch.where(settled, shorter, state.first)
    state.many, state.support = (support / 1.5).clamp_min(1), support
    state.back(settled)


def _sparse(grad: Tensor, count: Tensor) -> Tensor:
    """Signs of the `many` [B] largest values of each gradient, of l1 size 1."""
    flat = grad.flatten(1)
    order = flat.abs().argsort(dim=1, descending=True)
    inside = torch.arange(flat.shape[1], device=flat.device) < count.clamp(1, flat.shape[1]).round()[:, None]
    signs = torch.zeros_like(flat).scatter_(1, order, inside.to(flat.dtype)) * flat.sign()
    return (signs / signs.abs().sum(1, keepdim=True).clamp_min(1)).reshape(grad.shape)


def _within(problem: Problem, x: Tensor) -> Tensor:
    """x on ball and box; in l1 the nearest point of both, which keeps more of the step than one after the other."""
    if problem.norm == "l1":
        x = project_l1_box(problem.x, x, problem.budget, problem.bounds)
    return problem.project(x)


@hookimpl
def robusteval_attacks() -> list[type[APGD]]:
    return [APGD]
