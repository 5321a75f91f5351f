"""HopSkipJump: walks along the boundary by gradient directions that are estimated from decisions alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, ascent, hookimpl, param, per_sample
from robusteval_attacks._common.decision_based import START_PASSES, first_wins, to_boundary

# Probes are asked in passes of about so many rows, so that a single sample does not take a pass a probe.
_ROWS = 256
_HALVINGS = 12
_FINEST, _COARSEST = 2e-6, 0.01  # precision of a bisection, as a share of its length; float32 resolves no finer
_FARTHEST = 0.1  # largest size of a probe, as a share of the distance


@dataclass(frozen=True)
class HopSkipJump:
    """Algorithm 2 of the paper, for all samples at once; `queries` takes the place of its number of iterations."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="hopskipjump",
        version="1",
        norms=("l2", "linf"),
        budget="minimal",
        needs="decision",
        summary="Estimates the boundary's normal from the decisions around a boundary point, steps along it and "
        "searches back to the boundary.",
        reference="Chen, Jordan, Wainwright: HopSkipJumpAttack, a query-efficient decision-based attack, 2020",
        stochastic=True,
        strengths="Needs the predicted label alone, so neither masked gradients nor hidden scores stop it.",
        limits="Thousands of queries per sample; stalls where the decision is flat around the boundary.",
    )
    queries: int = param(5000, "Queries per sample, about.", minimum=10, maximum=10_000_000)
    batch: int = param(100, "Probes of the first estimate; later ones grow by the root of the step.", minimum=2)
    largest_batch: int = param(10_000, "Probes of one estimate at most.", minimum=2, maximum=1_000_000)
    gamma: float = param(
        50.0,
        "Size of the probes and of the bisection's precision, against the paper's; 1 is lost on quantised models.",
        minimum=1e-3,
        maximum=1e3,
    )
    starts: int = param(30, "Draws of noise until one is misclassified.", minimum=0, maximum=100_000)

    def passes(self, norm: str, classes: int) -> Passes:
        return Passes(max(self.queries, self.batch) + START_PASSES)

    def run(self, problem: Problem) -> Tensor:
        best = problem.x.clone()
        if len(best) == 0:
            return best
        values = best[0].numel()
        theta = min(_COARSEST, max(_FINEST, self.gamma * values ** (-1.5 if problem.norm == "l2" else -2)))
        x, found = first_wins(problem, self.starts, theta)
        best[found] = x[found]
        left = (found & (problem.distance(x) > 0)).nonzero().squeeze(1)
        problem, x = problem[left], x[left]
        spent, search, step = 0, math.ceil(-math.log2(theta)), 1
        while len(left):
            probes = min(round(self.batch * math.sqrt(step)), self.largest_batch)
            spent += probes + search + 1
            if spent > self.queries and step > 1:
                break
            length = problem.distance(x)
            normal = self._normal(problem, x, probes, self._reach(problem, length, values, step))
            x = to_boundary(problem, _jump(problem, x, normal, length / math.sqrt(step)), theta)
            shortest = problem.distance(best[left])
            nearer = problem.distance(x) < shortest
            best[left[nearer]] = x[nearer]
            problem.note(distance=torch.minimum(shortest, problem.distance(x)))
            step += 1
        return best

    def _reach(self, problem: Problem, length: Tensor, values: int, step: int) -> Tensor:
        """l2 size of the probes, [B]; the first estimate, far from the clean sample, looks farther around."""
        if step == 1:
            return torch.full_like(length, 0.1 * (problem.bounds[1] - problem.bounds[0]))
        across = length if problem.norm == "l2" else length * math.sqrt(values)
        return min(self.gamma / values, _FARTHEST) * across

    def _normal(self, problem: Problem, x: Tensor, probes: int, reach: Tensor) -> Tensor:
        """Direction of the boundary's normal at x from that many decisions (equations 9 and 16 of the paper)."""
        total, signed, wins = torch.zeros_like(x), torch.zeros_like(x), x.new_zeros(len(x))
        at_once, done = max(1, _ROWS // len(x)), 0
        while done < probes:
            count = min(at_once, probes - done)
            rows = torch.arange(len(x), device=x.device).repeat_interleave(count)
            part, around = problem[rows], x[rows]
            if problem.norm == "l2":
                noise = torch.randn(around.shape, generator=problem.rng, device=problem.rng.device).to(
                    x.device, x.dtype
                )
            else:
                noise = (
                    torch.rand(around.shape, generator=problem.rng, device=problem.rng.device).to(x.device, x.dtype) * 2
                    - 1
                )
            probe = problem.clip(around + ascent(noise, "l2") * per_sample(reach[rows], noise))
            won = part.won(probe)
            moved = (probe - around) / per_sample(reach[rows].clamp_min(1e-30), noise)
            sign = won.to(x.dtype) * 2 - 1
            total += moved.reshape(len(x), count, *x.shape[1:]).sum(1)
            signed += (moved * per_sample(sign, moved)).reshape(len(x), count, *x.shape[1:]).sum(1)
            wins += sign.reshape(len(x), count).sum(1)
            done += count
        mean = wins / probes
        one_sided = mean.abs() == 1
        # The mean is taken off the decisions, which lowers the variance; where all agree it would leave nothing.
        normal = torch.where(per_sample(one_sided, x), signed, signed - per_sample(mean, x) * total)
        return ascent(normal, problem.norm)


def _jump(problem: Problem, x: Tensor, normal: Tensor, length: Tensor) -> Tensor:
    """x moved along the normal by the largest of length, length / 2, ... that wins; x itself where none does."""
    out, left = x.clone(), torch.arange(len(x), device=x.device)
    for _ in range(_HALVINGS):
        candidate = problem.clip(x[left] + normal[left] * per_sample(length[left], x))
        won = problem[left].won(candidate)
        out[left[won]] = candidate[won]
        left = left[~won]
        if len(left) == 0:
            break
        length = length / 2
    return out


@hookimpl
def robusteval_attacks() -> list[type[HopSkipJump]]:
    return [HopSkipJump]
