"""How the cores are shared out where the user does not say: workers x threads x rows at once, by measurement.

Workers of one thread each wait for nobody, so many of them are best where memory is no matter; but they share it, and
where it is short they are few or ask about few rows at once, while one worker of many threads has it all. So a pass
there and back is timed by the clock on one thread and on all of them, of one row and of as many as one worker would
ask about, kept as calibrations are, and what a pass costs on other numbers of threads and rows follows from the four: a
part that threads share and one that they do not, each with what a question costs beside its rows. What workers take
from each other beside the memory, such as its bandwidth, is not measured.

Which way is taken changes figures by rounding at most, so a run that goes on keeps its own; ONNX Runtime's answers come
from one thread in any case, and do not change at all.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from torch import Tensor

from robusteval.contracts.classifier import Classifier
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.tuning import FULL_ONLY, Tuning
from robusteval.engine.batched import sizes_of
from robusteval.engine.plan.job import Job, Way
from robusteval.engine.schedule.memory import LARGEST, Need, Shares, in_words, needs
from robusteval.engine.schedule.pass_timing import CHEAP_S, applied, enough, gradient, kept, key, some
from robusteval.engine.threads import on_threads
from robusteval.foreign import foreign
from robusteval.ops.batches import Sizes

_GAIN = 0.9  # of the time of the first way that another has to do with, so that noise chooses nothing
_TRIES = 3
_SURE_S = 0.3  # two tries of what takes so long say as much as three


@dataclass(frozen=True)
class Costs:
    """Seconds by the clock that a pass there and back takes an image: of one row and of `rows`, on one thread and on
    `threads`."""

    threads: int
    rows: int
    single: float
    batch: float
    single_all: float
    batch_all: float

    def of(self, threads: int, rows: int) -> float:
        """On so many threads, of so many rows at once; never less than on all the threads and of all the rows that were
        measured, as nothing is known beyond."""
        alone = _between(threads, self.threads)
        one, all_ = ((self.single, self.batch), (self.single_all, self.batch_all))
        few = _between(rows, self.rows)
        return alone * (few * one[0] + (1 - few) * one[1]) + (1 - alone) * (few * all_[0] + (1 - few) * all_[1])


def _between(count: int, most: int) -> float:
    """1 at one, 0 at the most, and between them as a part that is shared by `count` shrinks."""
    return 0.0 if count >= most else (1 / count - 1 / most) / (1 - 1 / most)


def ways_of(shares: Shares, asked: int, most: int) -> tuple[Way, ...]:
    """Ways to share out so many cores, the one that memory alone suggests first, then fewer workers of more threads.
    most: threads that torch would take by itself. Empty where there is nothing to choose."""
    ways: dict[int, Way] = {}
    for workers in range(shares.workers, 0, -1):
        part = shares.among(workers)
        first, sizes = workers == shares.workers, part.sizes()
        threads = part.threads(asked) if first else min(part.threads(asked), most)
        words = in_words(sizes, part, asked if first else workers)  # fewer than have room are no lack of it
        ways.setdefault(threads, Way(workers, threads, part.room, sizes, words))
    return tuple(ways.values()) if len(ways) > 1 else ()


def shared(job: Job, tuning: Tuning, threads: int | None = None) -> Job:
    """The job with the workers, threads and rows of its fastest way. threads: of the workers of the run that this one
    goes on with, which it keeps where it can."""
    if not job.ways or not len(job.samples) or job.model.info.gradients == "none":
        return job
    costs = measured(job.model, some(job.samples), tuning, job.ways)
    way = next((way for way in job.ways if way.threads == threads), None) or fastest(job.ways, costs)
    sizes = sizes_of(job.model)
    if not sizes.halved:  # else it is known by now what fits
        _set(sizes, way.sizes)
    faster = 1.0 if costs is None else costs.of(1, _rows(way)) / costs.of(way.threads, _rows(way))
    return replace(
        job, workers=way.workers, threads=way.threads, room=way.room, batches=way.batches,
        shared=_said(way, job.ways, costs), faster=max(faster, 1.0),
    )  # fmt: skip


def sized(job: Job, pipelines: Mapping[str, Pipeline]) -> dict[str, Pipeline]:
    """The pipelines, each with how many inputs fit at once: a defence may ask its model many times about one image."""
    found = {}
    for name, pipeline in pipelines.items():
        need, sizes = Need(), sizes_of(job.model)
        if name != "none":
            # a random one is cut inside; whatever another raises, its cells will say
            if job.room and not pipeline.stochastic and len(job.samples):
                with contextlib.suppress(Exception), foreign():
                    need = needs(pipeline, job.samples.x[:1])
            sizes = Shares(job.workers, job.room, need, 0.0).sizes()
        found[name] = replace(pipeline, sizes=sizes)
    return found


def fastest(ways: Sequence[Way], costs: Costs | None) -> Way:
    """The first way, or the one with the most throughput where that takes a tenth less time; without costs the
    first."""
    if costs is None:
        return ways[0]
    best = min(ways, key=lambda way: _each(way, costs))
    return best if _each(best, costs) <= _GAIN * _each(ways[0], costs) else ways[0]


def measured(model: Classifier, x: Tensor, tuning: Tuning, ways: Sequence[Way]) -> Costs | None:
    """What passes over samples x [N, *shape] cost on one thread and on as many as a way has, from the cache or by
    measurement; None where a pass is so short that threads only wait."""
    threads, alone = max(way.threads for way in ways), ways[-1].sizes
    facts = (key(model, x, FULL_ONLY), threads, repr(tuning), alone.gradient, len(x))  # few make a pass look short
    with _asking(sizes_of(model), alone):
        return kept(
            "thread-timing", sha256(repr(facts).encode()).hexdigest()[:32], _read,
            lambda: _measure(model, x, tuning.full(), threads), _plain,
        )  # fmt: skip


def _measure(model: Classifier, x: Tensor, tuning: Tuning, threads: int) -> Costs | None:
    x = enough(model.logits, x)
    x = x[: sizes_of(model).gradient or LARGEST]
    batch = _seconds(model, x, tuning, 1)
    if batch < CHEAP_S:
        return None
    single = _seconds(model, x[:1], tuning, 1)
    each = 1 / len(x)
    return Costs(
        threads, len(x), single, batch * each, _seconds(model, x[:1], tuning, threads),
        _seconds(model, x, tuning, threads) * each,
    )  # fmt: skip


def _seconds(model: Classifier, x: Tensor, tuning: Tuning, threads: int) -> float:
    """The least seconds by the clock of some passes over x on so many threads."""
    least = float("inf")
    with on_threads(threads), applied(tuning):
        for tries in range(1, _TRIES + 1):
            started = time.perf_counter()
            gradient(model, x, tuning)
            least = min(least, time.perf_counter() - started)
            if tries > 1 and least > _SURE_S:
                break
    return least


@contextlib.contextmanager
def _asking(sizes: Sizes, other: Sizes) -> Iterator[None]:
    """Inside, as many rows at once as one worker alone has room for: no other is at work yet."""
    before = replace(sizes)
    _set(sizes, other)
    try:
        yield
    finally:
        if sizes.halved == before.halved:
            _set(sizes, before)


def _set(sizes: Sizes, others: Sizes) -> None:
    sizes.truth, sizes.scores, sizes.gradient = others.truth, others.scores, others.gradient


def _rows(way: Way) -> int:
    return way.sizes.gradient or LARGEST


def _each(way: Way, costs: Costs) -> float:
    """Seconds an image where all workers are at work."""
    return costs.of(way.threads, _rows(way)) / way.workers


def _said(way: Way, ways: Sequence[Way], costs: Costs | None) -> str:
    """For the record, which depends on no clock: what was chosen and over what."""
    if costs is None:
        return f"{way.words}, as a pass is too short for more threads" if way == ways[0] else f"{way.words}, as begun"
    other = ways[-1] if way == ways[0] else ways[0]
    return f"{way.words}, by measured passes, and not {other.words}"


def _read(data: Any) -> Costs | None:
    if data == {}:
        return None
    costs = Costs(**data)
    if not (costs.threads > 1 <= costs.rows and min(costs.single, costs.batch, costs.single_all, costs.batch_all) > 0):
        raise ValueError(data)
    return costs


def _plain(costs: Costs | None) -> Any:
    return {} if costs is None else asdict(costs)
