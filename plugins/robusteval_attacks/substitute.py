"""Substitute: a small network is trained on the oracle's labels, and adversarials against it are tried on the
oracle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Passes, Problem, hookimpl, margin, param
from robusteval_attacks._common.surrogate import Substitute, climb, fit, small_network

_MEMORY = "substitute"


@dataclass(frozen=True)
class SubstituteAttack:
    """Algorithm 1 of the paper, then gradient steps on the substitute; one substitute for all budgets of a unit."""

    info: ClassVar[AttackInfo] = AttackInfo(
        name="substitute",
        version="1",
        norms=("linf", "l2", "l0"),
        budget="fixed",
        needs="decision",
        summary="Trains a network on labels that the oracle gives to a few samples and to points made from them, and "
        "attacks that network.",
        reference="Papernot, McDaniel, Goodfellow, Jha, Celik, Swami: Practical black-box attacks against machine "
        "learning, 2017",
        stochastic=True,
        strengths="Needs labels alone, a few dozen per attacked sample; shows what transfers from a stranger's model.",
        limits="Only as good as the substitute's agreement with the oracle; decision attacks come much nearer.",
    )
    per_class: int = param(10, "Samples of each predicted class to start from.", minimum=1, maximum=100_000)
    rounds: int = param(4, "Rounds of augmentation; each doubles the set.", minimum=0, maximum=20)
    reach: float = param(0.1, "Step of the augmentation, as a share of the range.", minimum=1e-4, maximum=1.0)
    growth: int = param(2000, "New points per round at most, drawn from the set.", minimum=1, maximum=1_000_000)
    epochs: int = param(10, "Passes over the set in each round.", minimum=1, maximum=10_000)
    rate: float = param(1e-3, "Learning rate of Adam.", minimum=1e-6, maximum=1.0)
    width: int = param(16, "Channels of the substitute's first layer.", minimum=1, maximum=1024)
    steps: int = param(20, "Gradient steps on the substitute; 1 is FGSM with step = 1.", minimum=1, maximum=10_000)
    step: float = param(0.15, "Size of a gradient step as a share of eps.", minimum=1e-4, maximum=2.0)

    def passes(self, norm: str, classes: int) -> Passes:
        # all budgets of a unit share one substitute, which asks for about this much per sample
        return Passes(1 + 2**self.rounds, own=self.epochs * 2**self.rounds * self.steps // 2)

    def run(self, problem: Problem) -> Tensor:
        if len(problem) == 0:
            return problem.x.clone()
        if _MEMORY not in problem.memory:
            problem.memory[_MEMORY] = self.train(problem)
        substitute: Substitute = problem.memory[_MEMORY]
        return climb(problem, lambda x: margin(substitute(x), problem.safe), self.steps, self.step)

    def train(self, problem: Problem) -> Substitute:
        """A substitute for the oracle behind the problem; notes its agreement on clean samples that it did not learn
        from (on all of them where none is left over)."""
        clean = problem.labels(problem.x)
        rows = _first_of_each(clean, self.per_class)
        unseen = torch.ones(len(clean), dtype=torch.bool, device=clean.device)
        unseen[rows] = len(rows) == len(clean)
        x, labels = problem.x[rows], clean[rows]
        substitute = Substitute(small_network(x, problem.classes, self.width, problem.rng), problem.bounds)
        for number in range(self.rounds + 1):
            fit(substitute, x, labels, self.epochs, self.rate, problem.rng)
            agreed = (substitute.labels(problem.x) == clean)[unseen]
            problem.note(agreement=float(agreed.double().mean()), points=len(x))
            if number == self.rounds:
                break
            parents = torch.randperm(len(x), generator=problem.rng, device=problem.rng.device)[: self.growth].to(
                x.device
            )
            new = self._augmented(problem, substitute, x[parents], labels[parents])
            # The oracle answers for the clean sample that a point descends from, so its meter counts the query.
            answers = problem[rows[parents]].labels(new)
            x, labels, rows = torch.cat([x, new]), torch.cat([labels, answers]), torch.cat([rows, rows[parents]])
        return substitute

    def _augmented(self, problem: Problem, substitute: Substitute, x: Tensor, labels: Tensor) -> Tensor:
        """x moved by the sign of the gradient of the score of its label, where the substitute's answer changes most."""
        leaf = x.detach().requires_grad_(True)
        with torch.enable_grad():
            score = substitute(leaf).gather(1, labels[:, None])
            (grad,) = torch.autograd.grad(score.sum(), leaf)
        return problem.clip(x + self.reach * (problem.bounds[1] - problem.bounds[0]) * grad.sign())


def _first_of_each(labels: Tensor, count: int) -> Tensor:
    """Rows of the first so many samples of each label, in their order."""
    same = labels[:, None] == labels[None, :]
    earlier = same.tril(-1).sum(1)
    return (earlier < count).nonzero().squeeze(1)


@hookimpl
def robusteval_attacks() -> list[type[SubstituteAttack]]:
    return [SubstituteAttack]
