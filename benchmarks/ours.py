"""Our attacks through the engine's own path: problems with meters, the judge, and its search towards the clean
sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack, Defended
from robusteval.contracts.problem import Problem
from robusteval.contracts.tuning import FULL_ONLY, Tuning
from robusteval.engine.schedule.pass_timing import applied, measure
from robusteval.engine.search.distance_search import Best, Sweep
from robusteval.engine.search.judge import Threat, judge
from robusteval.engine.seeding import generator
from robusteval.engine.suite.goals import safe_mask
from robusteval.loaders.pytorch.classifier import TorchClassifier
from robusteval.ops import Norm


@dataclass(frozen=True)
class Arena:
    """A model with its samples, as the engine sees them. x: [N, 1, 28, 28] in [0, 1], y: int64 [N], all right when
    clean; tuning: how the engine does this model's passes here, measured as at the start of a run."""

    classifier: TorchClassifier
    x: Tensor
    y: Tensor
    tuning: Tuning

    @classmethod
    def of(cls, module: nn.Module, x: Tensor, y: Tensor, precision: str = FULL_ONLY) -> Arena:
        classifier = TorchClassifier.from_module(module, tuple(x.shape[1:]))
        return cls(classifier, x, y, measure(classifier, x[:64], precision).tuning)

    @property
    def pipeline(self) -> Pipeline:
        return Pipeline(Defended(self.classifier))

    def threat(self, norm: Norm) -> Threat:
        classes = self.classifier.info.classes
        return Threat(safe_mask(self.y, None, classes, classes), norm, self.classifier.info.bounds)

    def worst(self, attacks: Sequence[Attack], norm: Norm, largest: float, halvings: Sequence[int]) -> Tensor:
        """The nearest wins that any of the attacks finds, [N, *shape], the clean samples where none does."""
        best = self.nearest(attacks[0], norm, largest, halvings[0])
        for attack, often in zip(attacks[1:], halvings[1:], strict=True):
            best.take(torch.arange(len(self.x)), self.nearest(attack, norm, largest, often).judged())
        return best.x

    def nearest(self, attack: Attack, norm: Norm, largest: float, halvings: int) -> Best:
        """The nearest wins; halvings: of the budget search up to `largest`, for fixed attacks."""
        rng, meter = generator(0, attack.info.name), Meter(len(self.x))
        pipeline, threat = self.pipeline, self.threat(norm)

        def propose(rows: Tensor, eps: Tensor | None) -> Tensor:
            return attack.run(_problem(attack, self, threat, rows, eps, pipeline, rng, meter))

        sweep = Sweep(pipeline, self.x, threat, rng, meter)
        with applied(self.tuning):
            if attack.info.budget == "minimal":
                return sweep.minimal(propose)
            return sweep.fixed(propose, largest, halvings)

    def once(self, attack: Attack, norm: Norm, eps: Tensor) -> tuple[int, int]:
        """(gradient passes, samples lost) of one run of an attack, judged; eps: [N], for fixed attacks."""
        rows = torch.arange(len(self.x), device=self.x.device)
        rng, threat, pipeline = generator(0, attack.info.name), self.threat(norm), self.pipeline
        budget, meter = eps if attack.info.budget == "fixed" else None, Meter(len(rows))
        with applied(self.tuning):
            found = attack.run(_problem(attack, self, threat, rows, budget, pipeline, rng, meter))
            won = judge(pipeline, self.x, found, threat, budget, rng).won
        return int(meter.backwards.sum()), int(won.sum())

    def cascade(self, attacks: Sequence[Attack], norm: Norm, eps: float) -> Tensor:
        """Adversarials at one budget, [N, *shape]; every attack sees the survivors of those before it."""
        out = self.x.clone()
        left = torch.arange(len(out))
        pipeline, threat, meter = self.pipeline, self.threat(norm), Meter(len(self.x))
        budget = torch.full((len(out),), eps)
        for number, attack in enumerate(attacks):
            rng = generator(0, attack.info.name, number)
            fixed = attack.info.budget == "fixed"
            problem = _problem(attack, self, threat, left, budget[left] if fixed else None, pipeline, rng, meter)
            with applied(self.tuning):
                found = attack.run(problem)
                judged = judge(pipeline, self.x[left], found, threat[left], budget[left], rng)
            out[left[judged.won]] = found[judged.won]
            left = left[~judged.won]
            if len(left) == 0:
                break
        return out


def _problem(
    attack: Attack,
    arena: Arena,
    threat: Threat,
    rows: Tensor,
    eps: Tensor | None,
    pipeline: Pipeline,
    rng: torch.Generator,
    meter: Meter,
) -> Problem:
    needs, bounds = attack.info.needs, threat.bounds
    x, safe = arena.x[rows], threat.safe[rows]
    return Problem(x, safe, threat.norm, eps, bounds, rng, needs, pipeline, meter, rows, tuning=arena.tuning)
