"""One unit of work: one cell on one chunk of the samples, from posing the problem to judged columns."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Generator, Tensor

from robusteval import ops
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.engine.plan.plan import Planned
from robusteval.engine.search.distance_search import Best, Propose
from robusteval.engine.search.judge import Threat, answers, judge
from robusteval.engine.seeding import generator
from robusteval.engine.suite.goals import ALL, LEAST_LIKELY, safe_mask
from robusteval.engine.suite.goals import number as class_number
from robusteval.engine.units.chunk import Chunk, Context
from robusteval.engine.units.kept_candidates import Strengths, keep_strengths
from robusteval.ops import norm_named


@dataclass
class UnitResult:
    """Columns of one chunk; distance inf: never lost, 0: wrong when clean. Oblivious cells have a `JudgedUnit`."""

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
    watched: Counter[str] = field(default_factory=Counter)  # see Cell.watched
    blind: Tensor | None = None  # int64 [B] backward passes whose gradient was zero or not finite
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
    total = _total(planned, samples)
    return [slice(start, min(start + planned.chunk, total)) for start in range(0, total, planned.chunk)]


def chunk_count(planned: Planned, samples: int) -> int:
    """How many chunks a cell has."""
    return -(-_total(planned, samples) // planned.chunk)


def chunk_rows(planned: Planned, samples: int, chunk: int) -> slice:
    """One of them."""
    start, total = chunk * planned.chunk, _total(planned, samples)
    if not 0 <= start < total:
        raise IndexError(f"there is no chunk {chunk}")
    return slice(start, min(start + planned.chunk, total))


def _total(planned: Planned, samples: int) -> int:
    return samples if planned.rows is None else min(samples, planned.rows)


def run_unit(context: Context, planned: Planned, rows: slice, starts: Tensor | None = None) -> UnitResult:
    """Attacks one chunk. Whatever the plugin raises comes out: the runner records it as a failed cell.

    starts: [B, *shape] for a transferred cell, which has no plugin: what it tries instead.
    """
    started = time.perf_counter()
    chunk = Chunk(context, planned, rows)
    before = chunk.pipeline.sizes.halved
    x, y, target = chunk.x, chunk.y, planned.cell.target
    correct = context.initially_correct[planned.cell.defense][rows].nonzero().squeeze(1)
    by_target: Tensor | None = None
    member: Tensor | None = None
    proposer: Propose | None = None
    if planned.members:
        threat = chunk.threat(safe_mask(y, _goals(context, target, rows, y), chunk.classes, chunk.pipeline.classes))
        found, member = chunk.cascade(correct, threat)
    elif starts is not None:
        threat = chunk.threat(safe_mask(y, _goals(context, target, rows, y), chunk.classes, chunk.pipeline.classes))
        found = chunk.given(correct, threat, starts)
    elif target == ALL:
        threat = chunk.threat(safe_mask(y, None, chunk.classes, chunk.pipeline.classes))
        found, by_target = chunk.every_target(correct, y)
        proposer = chunk.proposer(correct, threat)  # at a given budget any wrong class will do
    else:
        goals = _goals(context, target, rows, y)
        threat = chunk.threat(safe_mask(y, goals, chunk.classes, chunk.pipeline.classes))
        proposer = chunk.proposer(correct, threat)
        found = chunk.search(correct, threat, proposer)
    result = _columns(chunk.pipeline, x, threat, correct, found, chunk.meter, chunk.rng)
    result.by_target, result.member = by_target, member
    if planned.strengths:
        result.strengths = keep_strengths(planned, chunk.pipeline, x, threat, correct, found, proposer, chunk.rng)
    result.trace, result.watched = chunk.trace.points[:400], chunk.watched
    halved = chunk.pipeline.sizes.halved - before
    if halved:
        result.watched["out_of_memory"] = halved
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


def nearest_wins(units: Sequence[UnitResult]) -> Tensor:
    """Of several units on the same chunk, each sample's nearest win, [B, *shape]; the clean sample where none won."""
    nearest, distance = units[0].x, units[0].distance
    for unit in units[1:]:
        # 0 is a sample that was wrong when clean, so nothing was tried for it
        nearer = (unit.distance < distance) & (unit.distance > 0)
        nearest = torch.where(ops.per_sample(nearer, nearest), unit.x, nearest)
        distance = torch.where(nearer, unit.distance, distance)
    return nearest


def _columns(
    pipeline: Pipeline,
    x: Tensor,
    threat: Threat,
    correct: Tensor,
    found: Best,
    meter: Meter,
    rng: Generator,
) -> UnitResult:
    """The columns of a chunk from what was found for its attacked samples."""
    distance = torch.zeros(len(x), dtype=torch.float64, device="cpu")  # wrong when clean: lost at distance 0
    l2 = torch.zeros_like(distance)
    answer = torch.full((len(x),), -1, dtype=torch.int64, device="cpu")
    suspicion = torch.full_like(distance, torch.nan)
    survives = torch.zeros(len(x), dtype=torch.bool, device="cpu")
    candidates = x.clone()
    rows = correct.cpu()
    distance[rows], l2[rows] = found.distance.cpu(), found.l2.cpu()
    answer[rows], suspicion[rows] = found.answer.cpu(), found.detector_score.cpu()
    candidates[correct] = found.x
    hit = correct[torch.isfinite(found.distance)]
    if len(hit):
        rounded = ops.to_grid(candidates[hit], threat.bounds, 255)
        saved = replace(threat[hit], levels=0, file=())  # the saved image is asked as it is, moved to no other grid
        again = judge(pipeline, x[hit], rounded, saved, None, rng)
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
        blind=meter.zero_gradients + meter.bad_gradients,
    )


def judge_unit(context: Context, planned: Planned, rows: slice, strengths: Strengths) -> JudgedUnit:
    """Judges a bare unit's candidates on the defended pipeline of an oblivious cell."""
    started = time.perf_counter()
    cell = planned.cell
    pipeline = context.pipelines[cell.defense]
    x = context.samples[rows].x
    rng = generator(context.seed, cell.id, rows.start)
    answer, suspicion, distance, l2 = [], [], [], []
    for candidates in strengths.x:
        one, doubt = answers(pipeline, candidates.to(x.device), rng)
        answer.append(one.cpu())
        if doubt is not None:
            suspicion.append(doubt.double().cpu())
        distance.append(ops.distance(x.cpu(), candidates, norm_named(cell.norm)))
        l2.append(ops.distance(x.cpu(), candidates, "l2"))
    return JudgedUnit(
        strengths.values,
        torch.stack(answer),
        torch.stack(suspicion) if suspicion else torch.empty(0, device="cpu"),
        strengths.fools,
        torch.stack(distance),
        torch.stack(l2),
        time.perf_counter() - started,
    )
