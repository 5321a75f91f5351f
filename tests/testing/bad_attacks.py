"""Attacks that break one promise each (at least that one); the name of the promise is the key."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Problem, param
from tests.testing.bad_facts import Melting, Nameless, NoDefault, StrangeNorm, Undescribed, Unpicklable, walk_info
from tests.testing.good import Step, Walk


@dataclass(frozen=True)
class Double(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem).double()


@dataclass(frozen=True)
class Unboxed(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem) + 5


@dataclass(frozen=True)
class Spender(Step):
    def run(self, problem: Problem) -> Tensor:
        return problem.clip(problem.x + 0.01)


@dataclass(frozen=True)
class NotANumber(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem) * torch.nan


@dataclass(frozen=True)
class InPlace(Walk):
    def run(self, problem: Problem) -> Tensor:
        return problem.x.mul_(0.9)


@dataclass(frozen=True)
class GlobalTorch(Walk):
    def run(self, problem: Problem) -> Tensor:
        torch.manual_seed(0)
        return super().run(problem)


@dataclass(frozen=True)
class GlobalPython(Walk):
    def run(self, problem: Problem) -> Tensor:
        random.random()
        return super().run(problem)


@dataclass(frozen=True)
class Trailing(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem).requires_grad_(True)


@dataclass(frozen=True)
class GradModeOff(Walk):
    def run(self, problem: Problem) -> Tensor:
        answer = super().run(problem)
        torch.set_grad_enabled(False)
        return answer


@dataclass(frozen=True)
class Moody(Walk):
    info: ClassVar[AttackInfo] = walk_info(stochastic=True)

    def run(self, problem: Problem) -> Tensor:
        return problem.clip(super().run(problem) + 0.001 * random.SystemRandom().random())


@dataclass(frozen=True)
class SecretlyRandom(Walk):
    def run(self, problem: Problem) -> Tensor:
        return problem.clip(super().run(problem) + 0.01 * torch.rand(problem.x.shape, generator=problem.rng))


@dataclass(frozen=True)
class Sociable(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem).flip(0)


@dataclass(frozen=True)
class Squeezer(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem).squeeze()


@dataclass(frozen=True)
class Hungry(Walk):
    def run(self, problem: Problem) -> Tensor:
        problem.note(worst=float(problem.x.max()))
        return super().run(problem)


@dataclass(frozen=True)
class Greedy(Walk):
    info: ClassVar[AttackInfo] = walk_info(needs="scores")


@dataclass(frozen=True)
class BehindTheView(Walk):
    info: ClassVar[AttackInfo] = walk_info(needs="decision")

    def run(self, problem: Problem) -> Tensor:
        problem.view.twin(problem.x)
        return problem.x


@dataclass(frozen=True)
class Unmetered(Walk):
    def run(self, problem: Problem) -> Tensor:
        problem.view.scores(problem.x)
        return super().run(problem)


@dataclass(frozen=True)
class Idle(Walk):
    def run(self, problem: Problem) -> Tensor:
        return problem.x


@dataclass(frozen=True)
class Overshooting(Walk):
    steps: int = param(1, "Steps along the way.")


@dataclass(frozen=True)
class Timid(Step):
    def run(self, problem: Problem) -> Tensor:
        problem.scores(problem.x)
        return problem.x


@dataclass(frozen=True)
class ThreeClasses(Walk):
    def run(self, problem: Problem) -> Tensor:
        problem.jacobian(problem.x, torch.full((len(problem), 1), 2))
        return super().run(problem)


@dataclass(frozen=True)
class FewClasses(Walk):
    def run(self, problem: Problem) -> Tensor:
        problem.jacobian(problem.x, torch.zeros(len(problem), 1, dtype=torch.int64))
        assert problem.classes < 10
        return super().run(problem)


@dataclass(frozen=True)
class Untargetable(Walk):
    """Has the sign of targeted problems wrong."""

    def run(self, problem: Problem) -> Tensor:
        targeted = len(problem) > 0 and int(problem.safe[0].sum()) > 1
        return super().run(replace(problem, safe=~problem.safe) if targeted else problem)


@dataclass(frozen=True)
class Oblivious(Walk):
    """Attacks the model it knows, three classes, and runs into the detector."""

    def run(self, problem: Problem) -> Tensor:
        if problem.classes == 4:
            up = torch.ones_like(problem.x)
            problem.scores(problem.x)
            return problem.clip(problem.x + up)
        return super().run(problem)


@dataclass(frozen=True)
class FlatOnly(Walk):
    def run(self, problem: Problem) -> Tensor:
        _batch, _size = problem.x.shape
        return super().run(problem)


@dataclass(frozen=True)
class UnitRange(Walk):
    def run(self, problem: Problem) -> Tensor:
        return super().run(problem).clamp(0, 1)


@dataclass(frozen=True)
class Divider(Walk):
    """Divides by the length of the gradient."""

    def run(self, problem: Problem) -> Tensor:
        grad = problem.grad(problem.x).grad
        unit = grad / grad.flatten(1).norm(dim=1).reshape(-1, *[1] * (grad.dim() - 1))
        return problem.clip(problem.x + 0.3 * unit)


@dataclass(frozen=True)
class TrustsScores(Walk):
    def run(self, problem: Problem) -> Tensor:
        loss = problem.loss(problem.x)
        weight = (loss * 0).reshape(-1, *[1] * (problem.x.dim() - 1))
        return super().run(problem) + weight


@dataclass(frozen=True)
class OwnNoise(Walk):
    """Repeats itself on plain models, but rolls system dice when scores change from call to call."""

    def run(self, problem: Problem) -> Tensor:
        same = torch.equal(problem.scores(problem.x), problem.scores(problem.x))
        extra = 0.0 if same else 0.01 * random.SystemRandom().random()
        return problem.clip(super().run(problem) + extra)


@dataclass(frozen=True)
class Wasteful(Walk):
    def run(self, problem: Problem) -> Tensor:
        if len(problem) and bool(problem.won(problem.x).all()):
            for _ in range(500):
                problem.won(problem.x)
        return super().run(problem)


BAD_ATTACKS: dict[str, list[type]] = {
    "declares itself": [Nameless],
    "has defaults": [NoDefault],
    "describes its parameters": [Undescribed],
    "is frozen": [Melting],
    "can be pickled": [Unpicklable],
    "declares a threat": [StrangeNorm],
    "answers like the samples": [Double],
    "stays in the box": [Unboxed],
    "stays in the budget": [Spender],
    "answers are finite": [NotANumber],
    "leaves the problem alone": [InPlace],
    "leaves global randomness alone": [GlobalTorch, GlobalPython],
    "leaves nothing behind": [Trailing, GradModeOff],
    "repeats itself": [Moody],
    "is random only if it says so": [SecretlyRandom],
    "minds each sample alone": [Sociable],
    "takes a batch of one": [Squeezer],
    "takes a batch of none": [Hungry],
    "asks no more than it declares": [Greedy, BehindTheView],
    "goes through the meter": [Unmetered],
    "queries the model": [Idle],
    "finds small perturbations": [Overshooting, Idle],
    "uses its budget": [Timid],
    "takes two classes": [ThreeClasses],
    "takes many classes": [FewClasses],
    "goes for a target": [Untargetable],
    "evades a detector": [Oblivious],
    "takes images": [FlatOnly],
    "takes other ranges": [UnitRange],
    "survives zero gradients": [Divider],
    "survives bad scores": [TrustsScores],
    "takes random pipelines": [OwnNoise],
    "wastes nothing on the lost": [Wasteful],
}
