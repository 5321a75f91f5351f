"""One cell on one chunk of the samples: the pipeline, the meters, and the ways to search."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter, Trace, Watch
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack
from robusteval.contracts.problem import Problem
from robusteval.contracts.tuning import Tuning
from robusteval.engine.plan.cascades import Member
from robusteval.engine.plan.plan import Planned
from robusteval.engine.search.asking import candidates_of
from robusteval.engine.search.distance_search import Best, Propose, Sweep
from robusteval.engine.search.judge import Grid, Threat, common_grid
from robusteval.engine.seeding import generator
from robusteval.engine.source import Source, Window
from robusteval.engine.suite.goals import safe_mask
from robusteval.engine.units.cascade import run_cascade


@dataclass(frozen=True)
class Context:
    """What every unit of a run shares. samples: of a worker that cannot reach the data, those of its unit alone;
    initially_correct: per defence, bool [N]: right when clean, so worth attacking;
    least_likely: int64 [N], the bare model's least likely class; levels: the grid of Threat; tuning: how passes are
    done; threads: on which a unit computes."""

    pipelines: dict[str, Pipeline]
    samples: Source | Window
    initially_correct: dict[str, Tensor]
    seed: int
    least_likely: Tensor | None = None
    levels: int = 0
    tuning: Tuning = field(default_factory=Tuning)
    threads: int = 1

    @property
    def grid(self) -> tuple[int, Grid]:
        """Levels and file's grid of every Threat."""
        return common_grid(self.levels, self.samples.bounds, self.samples.grid)

    def passes(self, defense: str) -> Tuning:
        """How passes through a pipeline are done: behind a defence in full precision, as it was calibrated on the bare
        model."""
        return self.tuning if defense == "none" else self.tuning.full()


class Chunk:
    """One cell on one chunk: the pipeline, the meters, and the ways to search."""

    def __init__(self, context: Context, planned: Planned, rows: slice) -> None:
        self.context, self.planned, self.start = context, planned, rows.start
        part = context.samples[rows]
        self.x, self.y = part.x, part.y
        self.pipeline = context.pipelines[planned.cell.defense]
        self.classes = self.pipeline.defended.model.info.classes
        self.rng = generator(context.seed, planned.cell.id, rows.start)
        self.meter, self.trace = Meter(len(self.x)), Trace()
        # of this unit only, so that no result depends on which units ran before
        self.memory: dict[str, object] = {}
        self.watched: Counter[str] = Counter()
        self._watch: Watch | None = None

    def threat(self, safe: Tensor) -> Threat:
        return Threat(safe, ops.norm_named(self.planned.cell.norm), self.context.samples.bounds, *self.context.grid)

    def proposer(self, correct: Tensor, threat: Threat) -> Propose:
        """The plugin as a function (rows among the correct, eps or None) -> candidates."""
        return lambda chosen, eps: self.ask(self.planned.attack, correct[chosen], threat, eps)

    def ask(self, attack: Attack, index: Tensor, threat: Threat, eps: Tensor | None) -> Tensor:
        """The attack's candidates for the samples `index` of the chunk."""
        self.trace.run += 1
        # on one draw of a random pipeline a win is luck, so nothing can be said to be lost there
        self._watch = (
            None
            if self.pipeline.stochastic
            else Watch(len(self.x), index, self.x[index], threat.safe[index], threat.norm, eps, threat.bounds)
        )
        problem = Problem(
            self.x[index],
            threat.safe[index],
            threat.norm,
            eps,
            threat.bounds,
            self.rng,
            attack.info.needs,
            self.pipeline,
            self.meter,
            index,
            self.planned.draws if self.pipeline.stochastic else 1,
            self.trace,
            self.memory,
            self.context.passes(self.planned.cell.defense),
            self._watch,
            self.pipeline.sizes,
            self.pipeline.stochastic,
        )
        return candidates_of(attack, problem)

    def cascade(self, correct: Tensor, threat: Threat) -> tuple[Best, Tensor]:
        """What the members of a cascade find within its budget: the wins of the samples `correct`, and by whom, [B]."""
        by = torch.full((len(self.x),), -1, dtype=torch.int64, device="cpu")
        if len(correct) == 0:
            return Best.none(self.x[correct]), by
        sweep = Sweep(self.pipeline, self.x[correct], threat[correct], self.rng, _Shifted(self.meter, correct))

        def ask(member: Member, rows: Tensor, eps: Tensor | None) -> Tensor:
            self.memory.clear()
            return self.ask(member.attack, correct[rows], threat, eps)

        found, places = run_cascade(sweep, self.planned.members, self.planned.largest, ask)
        by[correct.cpu()] = places.cpu()
        return found, by

    def search(self, correct: Tensor, threat: Threat, propose: Propose) -> Best:
        """The nearest win of each of the samples `correct`."""
        if len(correct) == 0:
            return Best.none(self.x[correct])
        sweep = Sweep(
            self.pipeline,
            self.x[correct],
            threat[correct],
            self.rng,
            _Shifted(self.meter, correct),
            lambda rows, candidates, won: self._settle(threat.safe[correct[rows]], candidates, won),
        )
        if self.planned.cell.family == "minimal":
            return sweep.minimal(propose)
        return sweep.fixed(propose, self.planned.largest, self.planned.search)

    def _settle(self, safe: Tensor, candidates: Tensor, won: Tensor) -> None:
        """Counts, of one run of the attack, wins that were met on the way and not returned, and candidates that fool
        the differentiable twin but not the true pipeline. safe: bool [B, K] of the candidates [B, *shape]."""
        watch, self._watch = self._watch, None
        if watch is None or self.planned.attack is None:
            return
        rows = (~won).nonzero().squeeze(1)
        fooled = torch.zeros_like(won)
        finite = torch.isfinite(candidates.flatten(1)).all(1)
        rows = rows[finite[rows]]
        if len(rows) and self.planned.attack.info.needs == "gradient":
            with torch.no_grad():
                scores = self.pipeline.twin(candidates[rows])
            fooled[rows] = ops.wins(scores, safe[rows]) & watch.is_feasible(rows, candidates[rows])
        self.watched.update(
            asked=len(won),
            met=int(watch.met.sum()),
            lost=int((watch.met & ~won & ~fooled).sum()),
            fooled=int((won | fooled).sum()),
            not_carried=int(fooled.sum()),
        )

    def given(self, correct: Tensor, threat: Threat, starts: Tensor) -> Best:
        """What the points [B, *shape] win, of the samples `correct`."""
        sweep = Sweep(self.pipeline, self.x[correct], threat[correct], self.rng, _Shifted(self.meter, correct))
        return (
            sweep.given(starts.to(self.x.device, self.x.dtype)[correct]) if len(correct) else Best.none(self.x[correct])
        )

    def every_target(self, correct: Tensor, y: Tensor) -> tuple[Best, Tensor]:
        """The nearest win over all classes in turn, and the smallest distance to each, float64 [B, K]: inf where it
        was not found, 0 to the true class."""
        nearest = Best.none(self.x[correct])
        table = torch.full((len(y), self.classes), torch.inf, dtype=torch.float64, device="cpu")
        table.scatter_(1, y.cpu()[:, None], 0.0)
        position = torch.full((len(y),), -1, dtype=torch.int64, device=y.device)
        position[correct] = torch.arange(len(correct), device=y.device)
        for goal in range(self.classes):
            some = correct[y[correct] != goal]
            if len(some) == 0:
                continue
            self.memory.clear()
            threat = self.threat(safe_mask(y, torch.full_like(y, goal), self.classes, self.pipeline.classes))
            found = self.search(some, threat, self.proposer(some, threat))
            table[some.cpu(), goal] = found.distance.cpu()
            nearest.take(position[some], found.judged())
        return nearest, table


class _Shifted(Meter):
    """A meter for rows counted within the attacked samples of a chunk."""

    def __init__(self, meter: Meter, correct: Tensor) -> None:
        super().__init__(0)
        self._meter, self._correct = meter, correct

    def forward(self, rows: Tensor, passes: int = 1) -> None:
        """Counts forward passes at the samples' places in the chunk."""
        self._meter.forward(self._correct[rows], passes)
