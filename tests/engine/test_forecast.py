"""What is foretold against what the meters count: attack by attack, and in a whole run."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from robusteval.api import Norm
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.plugins import Defended, Foretold, Passes
from robusteval.contracts.problem import Problem
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.plan.cascades import Member
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.plan.plan import Planned
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import forecast_of, run
from robusteval.engine.schedule.cascade_forecast import survivors
from robusteval.engine.schedule.forecast import Work
from robusteval.engine.schedule.pass_timing import PassTiming
from robusteval.engine.schedule.rest import Around, Forecast, Rest, duration, rounded
from robusteval.metrics.cost import Cost
from robusteval.record.run import Cell
from tests.engine import toys
from tests.sure import sure

ATTACKS = sorted(entry.name for entry in discover().of("attack") if entry.distribution == "robusteval")
# what a hard sample takes is a guess for these; samples of a linear model are easy
GUESSED = ("deepfool", "newtonfool", "jsma", "carlini-wagner", "lbfgs", "boundary", "substitute", "advgan-blackbox")
CLASSES = 4


def small(plugin: Any) -> Any:
    """The attack with few steps, so that the test is quick."""
    attack, few = (
        plugin(),
        {"steps": 20, "queries": 60, "epochs": 4, "distil": 2, "rounds": 2, "searches": 3, "maxiter": 5},
    )
    names = {item.name for item in dataclasses.fields(plugin)}
    return dataclasses.replace(attack, **{name: value for name, value in few.items() if name in names})


def made(attack: Any, norm: Norm, eps: float | None) -> tuple[float, float]:
    """Mean forward and backward passes per sample of one run."""
    model = toys.linear(classes=CLASSES)
    samples = toys.samples(model, 16)
    safe = torch.nn.functional.one_hot(samples.y, CLASSES).bool()
    meter, rows = Meter(16), torch.arange(16)
    budget = torch.full((16,), sure(eps)) if attack.info.budget == "fixed" else None
    rng = torch.Generator().manual_seed(0)
    problem = Problem(
        samples.x, safe, norm, budget, (0.0, 1.0), rng, attack.info.needs, Pipeline(Defended(model)), meter, rows
    )
    attack.run(problem)
    return float(meter.forwards.double().mean()), float(meter.backwards.double().mean())


def test_every_attack_of_ours_says_what_it_costs() -> None:
    assert len(ATTACKS) == 27
    for name in ATTACKS:
        assert isinstance(discover().get("attack", name)(), Foretold), name


@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "transfer"])
def test_no_attack_takes_more_than_it_said_and_none_says_far_too_much(name: str) -> None:
    attack = small(discover().get("attack", name))
    for norm in attack.info.norms:
        said = attack.passes(norm, CLASSES)
        forward, backward = made(attack, norm, 1e-4)  # a budget within which nothing is lost early
        assert forward <= 1.1 * said.forward + 0.5, (norm, forward, said)
        assert backward <= 1.1 * said.backward, (norm, backward, said)
        if name not in GUESSED:
            assert said.total <= 1.5 * (forward + backward), (norm, forward, backward, said)


def test_restarts_targets_and_linearisations_are_in_it() -> None:
    get = discover().get
    assert get("attack", "pgd")(steps=10, restarts=3).passes("l2", 10) == Passes(33, 30)
    assert get("attack", "apgd")(steps=10, restarts=1, loss="targeted-dlr", targets=9).passes("l2", 3) == Passes(23, 20)
    assert get("attack", "fab")(steps=10, candidates=9).passes("l2", 10) == Passes(22, 100)
    assert get("attack", "transfer")(models=("a", "b"), steps=4).passes("l2", 10) == Passes(0, 0, own=10)


SUITE = """
name = "toy"
version = "1"
norms = ["l2", "linf"]
samples = 40
probe_samples = 16
keep_strengths = true
noise_draws = { samples = 2, draws = 100 }
planted = { samples = 4, inner = 20 }
[[attack]]
plugin = "fmn"
params = { steps = 20 }
[[attack]]
plugin = "pgd"
params = { steps = 10, step = 0.1, schedule = "constant" }
search = 4
[[attack]]
plugin = "noise"
search = 2
[[cascade]]
name = "both"
eps = { linf = [0.001] }
[[cascade.member]]
plugin = "pgd"
params = { steps = 10 }
[[cascade.member]]
plugin = "fmn"
params = { steps = 20 }
[[defense]]
plugin = "gaussian-noise"
draws = 3
oblivious = ["fmn"]
adaptive = ["fmn", "pgd"]
"""


def job_of(tmp_path: Path, suite: str) -> Job:
    (tmp_path / "toy.toml").write_text(suite)
    model = toys.linear()
    data = toys.samples(model, count=40)
    job = prepare_job(
        model, toys.catalogue(*toys.TOYS), RunOptions(suite=str(tmp_path / "toy.toml"), data=(data.x, data.y))
    )
    return dataclasses.replace(job, folder=tmp_path / "run")


def test_a_run_makes_about_the_passes_that_it_foretold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path / "cache"))
    job = job_of(tmp_path, SUITE)
    notes = []
    record = run(job, lambda progress: notes.append(progress.note))
    (note,) = filter(None, notes)
    assert note.startswith("About ")
    assert "not foretold" not in note
    for cell in (*record.cells, *record.probes):
        if cell.forwards:
            spent = sum(cell.forwards) + sum(cell.backwards)
            attacked = sum(count > 0 for count in cell.forwards)
            assert sure(cell.foretold) * attacked >= 0.9 * spent, cell.id
            assert sure(cell.foretold) * attacked <= 4 * spent, cell.id
    figures = {result.name: result.value for result in Cost().compute(record) if result.kind == "scalar"}
    assert 0.25 <= sure(figures["passes/made"]) / sure(figures["passes/foretold"]) <= 1.1
    assert record.times.foretold_s > 0
    # a run that is taken up again has less to come
    notes.clear()
    run(job, lambda progress: notes.append(progress.note))
    assert list(filter(None, notes)) == ["Nothing is left to attack."]


def test_an_attack_that_does_not_say_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path / "cache"))
    job = job_of(tmp_path, toys.SUITE)
    coming = forecast_of(job).forecast(plan_of(job))
    # test.walk in two norms and behind the defence in two, test.sign in one; noise and what judges is foretold
    assert coming.unknown == 5
    assert coming.sentence(2).endswith("5 cells are not foretold: the attacks do not say what they cost.")
    assert forecast_of(dataclasses.replace(job, target="all")).forecast(plan_of(job)).unknown == 5


def test_time_is_pairs_of_passes_and_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robusteval.engine.schedule.forecast.OVERHEAD", 1.0)
    speed = PassTiming(pass_ms=3.0, forward_ms=1.0)
    assert Work(Passes(10, 10), 0).seconds(speed) == pytest.approx(0.030)
    assert Work(Passes(10, 0), 5).seconds(speed) == pytest.approx(0.015)
    assert Work(Passes(1, 11), 0).seconds(speed) == pytest.approx(0.003 + 10 * 0.0015)
    coming = Forecast(412_345, seconds=480, serial=5, longest=20, cells=9, unknown=0)
    assert coming.wall(2) == 245
    assert coming.wall(100) == 25
    assert dataclasses.replace(coming, around=Around(3.0, 2.0)).wall(2) == 250
    assert dataclasses.replace(coming, around=Around(3.0, 2.0), load=2.0, cores=2).wall(2) == 2.5 * 243 + 2 * 7
    assert coming.sentence(2) == (
        "About 412,000 passes, roughly 4 min on this machine with 2 workers (foretold from 1.2 ms a pass; attacks stop "
        "early where samples fall)."
    )


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "1 s"), (7, "7 s"), (32, "30 s"), (60, "a minute"), (240, "4 min"), (7200, "2.0 h")],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_numbers_are_rounded_to_three_digits() -> None:
    assert [rounded(value) for value in (0, 7, 1234, 14_712_345)] == ["0", "7", "1,230", "14,700,000"]


@pytest.mark.parametrize(("eps", "few"), [(0.3, True), (1e-6, False)])
def test_later_members_of_a_cascade_are_foretold_for_what_a_step_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, eps: float, few: bool
) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path / "cache"))
    job = job_of(tmp_path, SUITE.replace("[0.001]", f"[{eps}]"))
    members = discover().get("attack", "pgd")(steps=10), discover().get("attack", "fmn")(steps=20)
    first, second = (member.passes("linf", CLASSES).total for member in members)
    (cascade,) = [cell for cell in run(job).cells if cell.family == "cascade"]
    left = 1 / 41 if few else 1.0  # of 40 samples none, or all
    assert cascade.foretold == pytest.approx(first + left * second)
    attacked = sum(count > 0 for count in cascade.forwards)
    assert sure(cascade.foretold) * attacked >= 0.9 * (sum(cascade.forwards) + sum(cascade.backwards))
    # before anything is fitted the bare model is asked as well
    planned = next(planned for planned in plan_of(job).planned if planned.members)
    assert sure(forecast_of(job).work(planned)).metered.total == pytest.approx(cascade.foretold)


def test_where_the_gradient_is_masked_all_are_foretold_to_be_left() -> None:
    model = toys.linear()
    masked = dataclasses.replace(model)
    masked.twin = lambda x: model.twin(x.detach()) + 0 * x.sum()  # type: ignore[method-assign]
    given = toys.samples(model, count=20)
    cell = dataclasses.replace(
        Cell("c", "c", "", "1", {}, "cascade", "gradient", "none", "none", "linf", "budget"), eps=0.3
    )
    one = Planned(cell, None, 0.3, 0, 1, (), members=(Member("pgd", "pgd", None),))
    seen = {"none": Pipeline(Defended(model))}
    assert survivors([one], seen, given, {}, 0) == {"c": 1 / 21}
    assert survivors([one], {"none": Pipeline(Defended(masked))}, given, {}, 0) == {"c": 1.0}
    half = {"none": torch.arange(20) < 10}
    assert survivors([one], seen, given, half, 0) == {"c": 1 / 11}
    assert (
        survivors([dataclasses.replace(one, cell=dataclasses.replace(cell, target="class 3"))], seen, given, {}, 0)
        == {}
    )
    assert survivors([one], {}, given, {}, 0) == {}


LINEAR = """
name = "two"
version = "1"
norms = ["l2", "linf"]
samples = 24
probe_samples = 8
eps = { l2 = 0.5, linf = 0.2 }
[[attack]]
plugin = "fmn"
params = { steps = 10 }
[[attack]]
plugin = "pgd"
params = { steps = 10 }
[[cascade]]
name = "both"
eps = { linf = [0.2] }
[[cascade.member]]
plugin = "pgd"
params = { steps = 10 }
[[cascade.member]]
plugin = "fmn"
params = { steps = 10 }
"""
TINY = LINEAR.replace("l2 = 0.5, linf = 0.2", "l2 = 1e-4, linf = 1e-5").replace("[0.2]", "[1e-5]")


@pytest.mark.parametrize("suite", [LINEAR, TINY], ids=["all fall", "nothing falls"])
def test_the_passes_are_within_a_factor_of_two_of_what_was_foretold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: str
) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path / "cache"))
    figures = {
        result.name: result.value for result in Cost().compute(run(job_of(tmp_path, suite))) if result.kind == "scalar"
    }
    assert 0.5 <= sure(figures["passes/made"]) / sure(figures["passes/foretold"]) <= 2


def test_what_is_left_is_foretold_from_what_is_left_and_not_from_the_number_of_units() -> None:
    rest = Rest([100.0, 1.0, 1.0, 1.0, None], tests=2.0, workers=1, slower=2.0)
    first = rest.seconds()
    assert first == pytest.approx(2 * (103 + 103 / 4 + 2))
    rest.learn(100.0, 200.0)
    assert rest.seconds() == pytest.approx(2 * (3 + 1 + 2)), "three dear seconds are left, not four hundred"
    for _ in range(3):
        rest.learn(1.0, 2.0)
    rest.learn(None, 5.0)
    assert rest.seconds() == pytest.approx(2 * 2)
    assert Rest([None], 0.0, 1, 1.0).seconds() is None


@pytest.mark.parametrize(
    ("load", "cores", "workers", "wall"),
    [(1.0, 2, 1, 100), (1.0, 2, 2, 50), (1.0, 2, 4, 50), (4.0, 2, 1, 400), (4.0, 2, 2, 225), (1.0, 0, 4, 25)],
)
def test_a_busy_machine_and_more_workers_than_cores_take_longer(
    load: float, cores: int, workers: int, wall: int
) -> None:
    coming = Forecast(1000, seconds=100, serial=0, longest=1, cells=1, unknown=0, load=load, cores=cores)
    assert coming.wall(workers) == pytest.approx(wall)
    assert ("a CPU second takes 4.0 s" in coming.sentence(workers)) == (load > 1.5)
