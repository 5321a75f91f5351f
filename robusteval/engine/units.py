"""One unit of work: one cell on one chunk of the samples, from posing the problem to judged columns."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter, Trace
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Attack
from robusteval.contracts.problem import Problem
from robusteval.contracts.samples import Samples
from robusteval.engine.cascade import run_cascade
from robusteval.engine.judge import Threat, answers, judge
from robusteval.engine.plan import CHUNK, Member, Planned
from robusteval.engine.strengths import Strengths, keep_strengths
from robusteval.engine.sweep import Best, Propose, Sweep
from robusteval.engine.targets import ALL, LEAST_LIKELY, keep_mask
from robusteval.engine.targets import number as class_number


@dataclass(frozen=True)
class Context:
    """What every unit of a run shares. attackable: per defence, bool [N]: right when clean, so worth attacking;
    least_likely: int64 [N], the bare model's least likely class; levels: the grid of Threat."""

    pipelines: dict[str, Pipeline]
    samples: Samples
    attackable: dict[str, Tensor]
    seed: int
    least_likely: Tensor | None = None
    levels: int = 0


@dataclass
class UnitResult:
    """Columns of one chunk; distance inf: never lost, 0: wrong when clean. Oblivious units fill `judged` only."""

    distance: Tensor
    l2: Tensor
    answer: Tensor
    suspicion: Tensor
    survives: Tensor
    forwards: Tensor
    backwards: Tensor
    x: Tensor
    zero_gradients: int = 0
    bad_gradients: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    strengths: Strengths | None = None
    trace: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0
    member: Tensor | None = None  # int64 [B] place of the cascade's member that won, -1 where none did
    by_target: Tensor | None = None  # [B, K] smallest distance to each class; attacks on every class in turn only


@dataclass
class JudgedUnit:
    """A bare cell's candidates judged on a defended pipeline. answer: int64 [S, B]; suspicion: [S, B] or empty;
    fools: bool [S, B]; distance, l2: float64 [S, B]."""

    values: list[float]
    answer: Tensor
    suspicion: Tensor
    fools: Tensor
    distance: Tensor
    l2: Tensor
    seconds: float = 0.0


def chunks(planned: Planned, samples: int) -> list[slice]:
    """The chunks of a cell; their size is fixed, as the numbers of stochastic attacks depend on it."""
    total = samples if planned.rows is None else min(samples, planned.rows)
    return [slice(start, min(start + CHUNK, total)) for start in range(0, total, CHUNK)]


def generator(seed: int, *parts: object) -> Generator:
    """A generator that depends on the seed and these parts only, never on what ran before."""
    text = repr((seed, *parts)).encode()
    number = int.from_bytes(hashlib.sha256(text).digest()[:8], "big") >> 1
    return Generator().manual_seed(number)


def run_unit(context: Context, planned: Planned, rows: slice) -> UnitResult:
    """Attacks one chunk. Whatever the plugin raises comes out: the runner records it as a failed cell."""
    started = time.perf_counter()
    chunk = _Chunk(context, planned, rows)
    x, y, target = context.samples.x[rows], context.samples.y[rows], planned.cell.target
    live = context.attackable[planned.cell.defense][rows].nonzero().squeeze(1)
    by_target: Tensor | None = None
    member: Tensor | None = None
    proposer: Propose | None = None
    if planned.members:
        threat = chunk.threat(keep_mask(y, _goals(context, target, rows, y), chunk.classes, chunk.pipeline.classes))
        found, member = chunk.cascade(live, threat)
    elif target == ALL:
        threat = chunk.threat(keep_mask(y, None, chunk.classes, chunk.pipeline.classes))
        found, by_target = chunk.every_target(live, y)
    else:
        goals = _goals(context, target, rows, y)
        threat = chunk.threat(keep_mask(y, goals, chunk.classes, chunk.pipeline.classes))
        proposer = chunk.proposer(live, threat)
        found = chunk.search(live, threat, proposer)
    result = _columns(context, chunk.pipeline, x, threat, live, found, chunk.meter, chunk.rng)
    result.by_target, result.member = by_target, member
    if planned.strengths:
        result.strengths = keep_strengths(planned, chunk.pipeline, x, threat, live, found, proposer, chunk.rng)
    result.trace = chunk.trace.points[:400]
    result.seconds = time.perf_counter() - started
    return result


def _goals(context: Context, target: str, rows: slice, y: Tensor) -> Tensor | None:
    """The class that each sample is to be taken for, int64 [B], or None where any wrong one will do."""
    if target == LEAST_LIKELY:
        if context.least_likely is None:
            raise ValueError("the least likely classes were not worked out")
        return context.least_likely[rows]
    goal = class_number(target)
    return None if goal is None else torch.full_like(y, goal)


class _Chunk:
    """One cell on one chunk: the pipeline, the meters, and the ways to search."""

    def __init__(self, context: Context, planned: Planned, rows: slice) -> None:
        self.context, self.planned, self.start = context, planned, rows.start
        self.x = context.samples.x[rows]
        self.pipeline = context.pipelines[planned.cell.defense]
        self.classes = self.pipeline.defended.model.info.classes
        self.rng = generator(context.seed, planned.cell.id, rows.start)
        self.meter, self.trace = Meter(len(self.x)), Trace()
        # of this unit only, so that no result depends on which units ran before
        self.memory: dict[str, object] = {}

    def threat(self, keep: Tensor) -> Threat:
        return Threat(keep, _norm(self.planned.cell.norm), self.context.samples.bounds, self.context.levels)

    def proposer(self, live: Tensor, threat: Threat) -> Propose:
        """The plugin as a function (rows among live, eps or None) -> candidates."""
        return lambda chosen, eps: self.ask(self.planned.attack, live[chosen], threat, eps)

    def ask(self, attack: Attack, index: Tensor, threat: Threat, eps: Tensor | None) -> Tensor:
        """The attack's candidates for the samples `index` of the chunk."""
        problem = Problem(
            self.x[index],
            threat.keep[index],
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
        )
        candidates = attack.run(problem)
        if not isinstance(candidates, Tensor):
            raise TypeError(f"the attack returned {type(candidates).__name__}, not a tensor")
        return candidates.detach()

    def cascade(self, live: Tensor, threat: Threat) -> tuple[Best, Tensor]:
        """What the members of a cascade find within its budget: the wins of the samples `live`, and by whom, [B]."""
        by = torch.full((len(self.x),), -1, dtype=torch.int64)
        if len(live) == 0:
            return Best.none(self.x[live]), by
        sweep = Sweep(self.pipeline, self.x[live], threat[live], self.rng, _Shifted(self.meter, live))

        def ask(member: Member, rows: Tensor, eps: Tensor | None) -> Tensor:
            self.memory.clear()
            return self.ask(member.attack, live[rows], threat, eps)

        found, places = run_cascade(sweep, self.planned.members, self.planned.largest, ask)
        by[live.cpu()] = places.cpu()
        return found, by

    def search(self, live: Tensor, threat: Threat, propose: Propose) -> Best:
        """The nearest win of each of the samples `live`."""
        if len(live) == 0:
            return Best.none(self.x[live])
        sweep = Sweep(self.pipeline, self.x[live], threat[live], self.rng, _Shifted(self.meter, live))
        if self.planned.cell.family == "minimal":
            return sweep.minimal(propose)
        return sweep.fixed(propose, self.planned.largest, self.planned.search)

    def every_target(self, live: Tensor, y: Tensor) -> tuple[Best, Tensor]:
        """The nearest win over all classes in turn, and the smallest distance to each, float64 [B, K]: inf where it
        was not found, 0 to the true class."""
        nearest = Best.none(self.x[live])
        table = torch.full((len(y), self.classes), torch.inf, dtype=torch.float64)
        table.scatter_(1, y.cpu()[:, None], 0.0)
        place = torch.full((len(y),), -1, dtype=torch.int64, device=y.device)
        place[live] = torch.arange(len(live), device=y.device)
        for goal in range(self.classes):
            some = live[y[live] != goal]
            if len(some) == 0:
                continue
            self.memory.clear()
            threat = self.threat(keep_mask(y, torch.full_like(y, goal), self.classes, self.pipeline.classes))
            found = self.search(some, threat, self.proposer(some, threat))
            table[some.cpu(), goal] = found.distance.cpu()
            nearest.take(place[some], found.judged())
        return nearest, table


def _norm(name: str) -> ops.Norm:
    for norm in ops.NORMS:
        if norm == name:
            return norm
    raise ValueError(f"unknown norm {name!r}")


class _Shifted(Meter):
    """A meter for rows counted within the attacked samples of a chunk."""

    def __init__(self, meter: Meter, live: Tensor) -> None:
        super().__init__(0)
        self._meter, self._live = meter, live

    def forward(self, rows: Tensor, passes: int = 1) -> None:
        """Counts forward passes at the samples' places in the chunk."""
        self._meter.forward(self._live[rows], passes)


def _columns(
    context: Context,
    pipeline: Pipeline,
    x: Tensor,
    threat: Threat,
    live: Tensor,
    found: Best,
    meter: Meter,
    rng: Generator,
) -> UnitResult:
    """The columns of a chunk from what was found for its attacked samples."""
    distance = torch.zeros(len(x), dtype=torch.float64)  # wrong when clean: lost at distance 0
    l2 = torch.zeros_like(distance)
    answer = torch.full((len(x),), -1, dtype=torch.int64)
    suspicion = torch.full_like(distance, torch.nan)
    survives = torch.zeros(len(x), dtype=torch.bool)
    candidates = x.clone()
    rows = live.cpu()
    distance[rows], l2[rows] = found.distance.cpu(), found.l2.cpu()
    answer[rows], suspicion[rows] = found.answer.cpu(), found.suspicion.cpu()
    candidates[live] = found.x
    hit = live[torch.isfinite(found.distance)]
    if len(hit):
        rounded = ops.to_grid(candidates[hit], threat.bounds, 255)
        again = judge(pipeline, x[hit], rounded, threat[hit], None, rng)
        survives[hit.cpu()] = again.won.cpu()
    return UnitResult(
        distance,
        l2,
        answer,
        suspicion,
        survives,
        meter.forwards,
        meter.backwards,
        candidates.cpu(),
        int(meter.zero_gradients.sum()),
        int(meter.bad_gradients.sum()),
        found.rejected,
    )


def judge_unit(context: Context, planned: Planned, rows: slice, strengths: Strengths) -> JudgedUnit:
    """Judges a bare unit's candidates on the defended pipeline of an oblivious cell."""
    started = time.perf_counter()
    cell = planned.cell
    pipeline = context.pipelines[cell.defense]
    x = context.samples.x[rows]
    rng = generator(context.seed, cell.id, rows.start)
    answer, suspicion, distance, l2 = [], [], [], []
    for candidates in strengths.x:
        one, doubt = answers(pipeline, candidates.to(x.device), rng)
        answer.append(one.cpu())
        if doubt is not None:
            suspicion.append(doubt.double().cpu())
        distance.append(ops.distance(x.cpu(), candidates, _norm(cell.norm)))
        l2.append(ops.distance(x.cpu(), candidates, "l2"))
    return JudgedUnit(
        strengths.values,
        torch.stack(answer),
        torch.stack(suspicion) if suspicion else torch.empty(0),
        strengths.fools,
        torch.stack(distance),
        torch.stack(l2),
        time.perf_counter() - started,
    )
