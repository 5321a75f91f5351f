"""acme.coordinate: moves the pixels that matter most to the edge of the box, one after the other."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import Attack, AttackInfo, Problem, hookimpl, param, per_sample


@dataclass(frozen=True)
class Coordinate:
    info: ClassVar[AttackInfo] = AttackInfo(
        "acme.coordinate", "2", ("l0",), "minimal", "gradient", "Greedy coordinate moves.", "Acme Labs, 2026."
    )
    pixels: int = param(64, "Largest number of values that may change.", minimum=1)

    def run(self, problem: Problem) -> Tensor:
        low, high = problem.bounds
        x, best, lost = problem.x.clone(), problem.x.clone(), problem.won(problem.x)
        for _ in range(min(self.pixels, x[:1].numel())):
            grad = problem.grad(x).grad
            edge = torch.where(grad > 0, high, low)
            gain = torch.where(x == problem.x, grad * (edge - x), -1.0).flatten(1)
            chosen = torch.zeros_like(gain).scatter_(1, gain.argmax(1, keepdim=True), 1.0).reshape(x.shape).bool()
            x = torch.where(chosen, edge, x)
            won = problem.won(x) & ~lost
            best, lost = torch.where(per_sample(won, x), x, best), lost | won
        return best


@hookimpl
def robusteval_attacks() -> list[type[Attack]]:
    return [Coordinate]
