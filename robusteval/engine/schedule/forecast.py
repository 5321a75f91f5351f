"""How many passes a run will make and about how long that takes, said before it starts.

An attack says what one run of it costs a sample (contracts.Passes); what the engine adds is added here: the search for
the budget, the stretch towards the clean sample, draws of random defences, kept strengths, members of cascades, and the
judge. How many samples hold out is asked of the model by a single step of the whole budget (cascade_forecast): later
members of a cascade see those alone, and the search for a budget is over for them once the largest has failed. Where
that is not known what is dearer is counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from robusteval.cage.page import watched
from robusteval.contracts.pipeline import JUDGE_DRAWS
from robusteval.contracts.plugins import Attack, Foretold, Passes
from robusteval.engine.certify.certificates import CERTIFICATES
from robusteval.engine.certify.work import foretold
from robusteval.engine.plan.job import Job
from robusteval.engine.plan.plan import Plan, Planned
from robusteval.engine.schedule.pass_timing import PassTiming, contention
from robusteval.engine.schedule.rest import NOTHING, Around, Forecast, around
from robusteval.engine.search.distance_search import CLIMBS, LINE_STEPS, STRETCHES
from robusteval.engine.search.l0_pruning import SINGLES
from robusteval.engine.selftest.planted import TRIES, attacks_of
from robusteval.engine.suite.goals import ALL
from robusteval.engine.suite.suite import Suite
from robusteval.engine.threads import cores
from robusteval.engine.units.unit import chunk_count, chunk_rows
from robusteval.foreign import foreign

# What an attack does beside its passes, and passes over few samples, which cost more each: seconds of a unit over those
# that its passes take at the calibrated batch, measured with suite standard on a small CNN.
OVERHEAD = 1.5
_SETTLED = 0.8  # share of the runs of a budget search that samples which fall take part in; .56 to .69 on the examples
_WINS = 2 / 3  # share of the runs of a budget search that win, at most


@dataclass(frozen=True)
class Work:
    """What a cell costs per attacked sample. metered: as the record counts passes; judge: forward passes of the judge,
    which it does not count."""

    metered: Passes
    judge: float

    def seconds(self, speed: PassTiming) -> float:
        """CPU time per sample. A gradient is one measured pair of passes; a further backward pass is half of one."""
        pairs = min(self.metered.forward, self.metered.backward)
        forward = self.metered.forward - pairs + self.judge
        spent = (pairs + self.metered.own + (self.metered.backward - pairs) / 2) * speed.pass_ms
        return OVERHEAD * (spent + forward * (speed.forward_ms or speed.pass_ms / 2)) / 1e3


def work_of(planned: Planned, classes: int, random: bool, left: float | None = None) -> Work | None:
    """What a cell costs per attacked sample; None where one of its attacks does not say. random: of the pipeline; left:
    share of the samples that a step of the whole budget leaves (cascade_forecast), so that members of a cascade after
    the first with gradients see no more, and a search for the budget ends early on them; None: not known, so what is
    dearer is counted."""
    judged = JUDGE_DRAWS if random else 1
    draws = planned.draws if random else 1
    line = SINGLES if planned.cell.norm == "l0" else LINE_STEPS
    if planned.source:
        return Work(Passes(0), len(planned.strengths) * judged)
    if planned.starts:
        return Work(Passes(1 + len(STRETCHES) + line), (2 + len(STRETCHES)) * judged)
    attacks = [member.attack for member in planned.members] or [planned.attack]
    total, judges, seen = Passes(0), 0.0, 1.0
    for attack in attacks:
        gradient = attack.info.needs == "gradient"
        stated = _said(attack, planned.cell.norm, classes)
        if stated is None:
            return None
        total += stated * (draws * seen)
        judges += judged * seen
        seen = left if gradient and left is not None else seen
    if planned.members:
        return Work(total, judges + 1)
    goals = classes - 1 if planned.cell.target == ALL else 1
    kept = len(planned.strengths)
    if planned.cell.family == "minimal":
        return Work(total * goals + Passes(goals * line), (3 * goals + kept + 1) * judged)
    # what the largest budget does not take is over after the climb; a bracket is mostly narrow before its last halving
    runs: float = planned.search + CLIMBS + 1
    held = left or 0.0
    wins = (1 - held) * runs * _WINS
    runs = held * (CLIMBS + 1) + (1 - held) * max(_SETTLED * runs, CLIMBS + 1)
    return Work(total * (goals * runs + kept) + Passes(goals * wins * line), (goals * 2 * runs + kept + 1) * judged)


def _said(attack: Attack | None, norm: str, classes: int) -> Passes | None:
    """What an attack says that it costs; None where it does not say, or says what is no cost."""
    if not isinstance(attack, Foretold):
        return None
    try:
        with foreign():
            stated = attack.passes(norm, classes)
            return stated if math.isfinite(stated.total + stated.own) and min(stated.total, stated.own) >= 0 else None
    except Exception:  # noqa: BLE001
        # a plugin may raise or return anything; without its word the cell is one that is not foretold
        return None


@dataclass(frozen=True)
class Forecaster:
    """Costs of cells, units and tests. initially_correct: by defence, bool [N], the samples that are attacked; where it
    is not known all are. speeds: by defence; where one was not measured, the bare model's counts."""

    suite: Suite
    classes: int
    samples: int
    speeds: Mapping[str, PassTiming]
    random: Mapping[str, bool]
    initially_correct: Mapping[str, Tensor] = field(default_factory=dict)
    planted: tuple[tuple[str, Attack], ...] = ()  # (norm, attack) of the planted test
    left: Mapping[str, float] = field(default_factory=dict)  # by cell: cascade_forecast
    load: float = 1.0
    cores: int = 0
    certificates: float = 0.0  # seconds that they take at most
    faster: float = 1.0  # how many times as fast a pass is by the clock on a worker's threads as on one
    around: Around = NOTHING

    def work(self, planned: Planned) -> Work | None:
        random = self.random.get(planned.cell.defense, False)
        return work_of(planned, self.classes, random, self.left.get(planned.cell.id))

    def unit(self, planned: Planned, chunk: int) -> float | None:
        """Seconds of one unit."""
        work, attacked = self.work(planned), self._attacked(planned, chunk_rows(planned, self.samples, chunk))
        return None if work is None else attacked * work.seconds(self._speed(planned)) / self.faster

    def tests(self) -> dict[str, tuple[float, float]]:
        """(passes, seconds) of each test that the suite asks for beside the attacks."""
        speed, suite, samples = self.speeds["none"], self.suite, self.samples
        forward = OVERHEAD * (speed.forward_ms or speed.pass_ms / 2) / 1e3
        norms = sum(norm in suite.norms for norm in ("l2", "linf"))
        points = suite.clever.batches * suite.clever.batch_size * min(suite.clever.samples, samples) * norms
        gradients = points * (2 if suite.clever.targets == "runner-up" else self.classes)
        draws = suite.noise_draws.draws * min(suite.noise_draws.samples, samples) * norms
        found = {
            "planted adversarials": self._planted(),
            "noise draws": (draws, draws * forward),
            "CLEVER": (points + gradients, gradients * OVERHEAD * speed.pass_ms / 1e3),
            CERTIFICATES: (0.0, self.certificates),
        }
        return {name: figures for name, figures in found.items() if any(figures)}

    def _planted(self) -> tuple[float, float]:
        """What the attacks ask of the readouts, and what it takes to make them and to try them by chance."""
        settings = self.suite.planted
        count = min(settings.samples, self.samples)
        total = Passes(2 * settings.inner + TRIES + 1) * len({norm for norm, _ in self.planted})
        for norm, attack in self.planted:
            total += _said(attack, norm, 2) or Passes(0)
        return total.total * count, Work(total, len(self.planted)).seconds(self.speeds["none"]) * count

    def forecast(self, plan: Plan, left: Mapping[str, list[int]] | None = None) -> Forecast:
        """Of a plan, or of the chunks by cell that are left to do."""
        passes = seconds = longest = 0.0
        unknown = cells = 0
        for planned in (*plan.planned, *plan.probes):
            todo = range(chunk_count(planned, self.samples)) if left is None else left.get(planned.cell.id, [])
            if not todo:
                continue
            cells += 1
            work = self.work(planned)
            if work is None:
                unknown += 1
                continue
            for chunk in todo:
                spent = self.unit(planned, chunk) or 0.0
                seconds, longest = seconds + spent, max(longest, spent)
                passes += self._attacked(planned, chunk_rows(planned, self.samples, chunk)) * work.metered.total
        tests = self.tests()
        serial = sum(spent for _, spent in tests.values())
        return Forecast(
            passes + sum(count for count, _ in tests.values()),
            seconds,
            serial,
            longest,
            cells,
            unknown,
            self.load,
            self.cores,
            self.around if cells else NOTHING,
        )

    def by_cell(self, plan: Plan) -> dict[str, tuple[float, float]]:
        """Passes, and seconds of one worker, of every cell that says what it costs; the metered passes of oblivious
        ones are none."""
        costs = {}
        for planned in (*plan.planned, *plan.probes):
            work = self.work(planned)
            if work is not None:
                rows = slice(0, self.samples if planned.rows is None else min(self.samples, planned.rows))
                attacked = self._attacked(planned, rows)
                seconds = attacked * work.seconds(self._speed(planned))
                costs[planned.cell.id] = attacked * work.metered.total, seconds
        return costs

    def _speed(self, planned: Planned) -> PassTiming:
        return self.speeds.get(planned.cell.defense, self.speeds["none"])

    def _attacked(self, planned: Planned, rows: slice) -> int:
        """Samples of a chunk that are attacked; oblivious cells judge all."""
        initially_correct = self.initially_correct.get(planned.cell.defense)
        if initially_correct is None or planned.source:
            return int(rows.stop - rows.start)
        return int(initially_correct[rows].sum())


def forecaster(
    job: Job,
    speeds: Mapping[str, PassTiming],
    initially_correct: Mapping[str, Tensor],
    random: Mapping[str, bool] | None = None,
    left: Mapping[str, float] | None = None,
    certified: int = 1,
) -> Forecaster:
    """The forecaster of a job. initially_correct, random: of the fitted pipelines; before that all samples count, and a
    defence is taken for random where its plugin may be. left: what cascades leave, by cell; all where nothing is
    known. certified: pipelines of which certifiers are asked to prove something."""
    info, suite = job.model.info, job.suite
    if random is None:
        random = {spec.name: bool(job.catalogue.get("defense", spec.plugin).info.stochastic) for spec in suite.defenses}
    norms = [
        norm for norm in ("l2", "linf") if norm in suite.norms and suite.planted.samples and info.output != "labels"
    ]
    planted = tuple((norm, attack) for norm in norms for _, attack in attacks_of(info, suite, job.catalogue, norm))
    count, load, left = len(job.samples), contention(), left or {}
    proofs = certified * foretold(suite, job.catalogue, job.model, count)
    more = (planted, left, load, cores(), proofs, job.faster, around(job.workers > 1 or (job.apart and watched())))
    return Forecaster(suite, info.classes, count, speeds, random, initially_correct, *more)
