"""One unit of work: one cell on one chunk of the samples, from posing the problem to judged columns."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter, Trace
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.problem import Problem
from robusteval.contracts.samples import Samples
from robusteval.engine.judge import Threat, answers, judge
from robusteval.engine.plan import CHUNK, Planned
from robusteval.engine.sweep import Best, Sweep


@dataclass(frozen=True)
class Context:
    """What every unit of a run shares. attackable: per defence, bool [N]: right when clean, so worth attacking."""

    pipelines: dict[str, Pipeline]
    samples: Samples
    attackable: dict[str, Tensor]
    seed: int


@dataclass
class Strengths:
    """Candidates of a bare cell at several strengths. x: [S, B, *shape]; fools: bool [S, B]."""

    values: list[float]
    x: Tensor
    fools: Tensor


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


def keep_mask(labels: Tensor, classes: int, pipeline_classes: int) -> Tensor:
    """keep [B, K']: the true class, and the class "rejected" where the pipeline has one."""
    keep = torch.zeros(len(labels), pipeline_classes, dtype=torch.bool, device=labels.device)
    keep[:, classes:] = True
    return keep.scatter_(1, labels[:, None], True)


def run_unit(context: Context, planned: Planned, rows: slice, starts: Tensor | None = None) -> UnitResult:
    """Attacks one chunk. Whatever the plugin raises comes out: the runner records it as a failed cell.

    starts: [B, *shape] for a transferred cell, which has no plugin: what it tries instead.
    """
    started = time.perf_counter()
    cell = planned.cell
    pipeline = context.pipelines[cell.defense]
    x, y = context.samples.x[rows], context.samples.y[rows]
    live = context.attackable[cell.defense][rows].nonzero().squeeze(1)
    rng = generator(context.seed, cell.id, rows.start)
    meter = Meter(len(x))
    trace = Trace()
    norm: ops.Norm = _norm(cell.norm)
    threat = Threat(keep_mask(y, pipeline.defended.model.info.classes, pipeline.classes), norm, context.samples.bounds)
    draws = planned.draws if pipeline.stochastic else 1
    memory: dict[str, object] = {}  # of this unit only, so that no result depends on which units ran before

    def propose(chosen: Tensor, eps: Tensor | None) -> Tensor:
        index = live[chosen]
        problem = Problem(
            x[index],
            threat.keep[index],
            norm,
            eps,
            threat.bounds,
            rng,
            planned.attack.info.needs,
            pipeline,
            meter,
            index,
            draws,
            trace,
            memory,
        )
        return _run(planned, problem)

    sweep = Sweep(pipeline, x[live], threat[live], rng, _Shifted(meter, live))
    found = Best.none(x[live])
    if len(live):
        if starts is not None:
            found = sweep.given(starts.to(x.device, x.dtype)[live])
        elif cell.family == "minimal":
            found = sweep.minimal(propose)
        else:
            found = sweep.fixed(propose, planned.largest, planned.search)
    result = _columns(context, pipeline, x, threat, live, found, meter, rng)
    if planned.strengths:
        result.strengths = _strengths(planned, pipeline, x, threat, live, found, propose, rng)
    result.trace = trace.points[:400]
    result.seconds = time.perf_counter() - started
    return result


def nearest_wins(units: Sequence[UnitResult]) -> Tensor:
    """Of several units on the same chunk, each sample's nearest win, [B, *shape]; the clean sample where none won."""
    nearest, distance = units[0].x, units[0].distance
    for unit in units[1:]:
        # 0 is a sample that was wrong when clean, so nothing was tried for it
        nearer = (unit.distance < distance) & (unit.distance > 0)
        nearest = torch.where(ops.per_sample(nearer, nearest), unit.x, nearest)
        distance = torch.where(nearer, unit.distance, distance)
    return nearest


def _run(planned: Planned, problem: Problem) -> Tensor:
    """The plugin's candidates for a problem."""
    candidates = planned.attack.run(problem)
    if not isinstance(candidates, Tensor):
        raise TypeError(f"the attack returned {type(candidates).__name__}, not a tensor")
    return candidates.detach()


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
        low, high = threat.bounds
        rounded = ops.clip(
            ((candidates[hit] - low) / (high - low) * 255).round() / 255 * (high - low) + low, threat.bounds
        )
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


def _strengths(
    planned: Planned,
    pipeline: Pipeline,
    x: Tensor,
    threat: Threat,
    live: Tensor,
    found: Best,
    propose: object,
    rng: Generator,
) -> Strengths:
    """The bare model's adversarials at each strength: a fixed attack at each budget, a minimal one stretched."""
    stacked = x[None].repeat(len(planned.strengths), *[1] * x.dim())
    fools = torch.zeros(len(planned.strengths), len(x), dtype=torch.bool)
    won = torch.isfinite(found.distance)
    for number, strength in enumerate(planned.strengths):
        if len(live) == 0:
            break
        if planned.cell.family == "fixed" and callable(propose):
            eps = torch.full((len(live),), strength, dtype=x.dtype, device=x.device)
            candidates = propose(torch.arange(len(live), device=x.device), eps)
            judged = judge(pipeline, x[live], candidates, threat[live], eps, rng)
            valid = ops.per_sample(judged.won, x)
            candidates = torch.where(valid, candidates, x[live])  # what is judged must be lawful
        else:
            candidates = ops.clip(x[live] + strength * (found.x - x[live]), threat.bounds)
            candidates = torch.where(ops.per_sample(won, x), candidates, x[live])
            judged = judge(pipeline, x[live], candidates, threat[live], None, rng)
        stacked[number, live] = candidates
        fools[number, live.cpu()] = judged.won.cpu()
    return Strengths(list(planned.strengths), stacked.cpu(), fools)


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
