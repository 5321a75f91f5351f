"""Plugins of others get copies: what they write into changes no sample, no figure and no record."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from robusteval.api import AttackInfo, Defended, DefenseInfo, Problem
from robusteval.assessment import results
from robusteval.assessment.derive import derive
from robusteval.contracts.classifier import Classifier
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.samples import Samples
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.search.asking import candidates_of
from robusteval.record import store
from robusteval.record.run import Record, Result
from tests.engine import toys
from tests.engine.test_foreign_code import InPlace
from tests.sure import sure


@dataclass(frozen=True)
class Vandal:
    """PGD's first step by a plugin that writes into everything that it can reach, and keeps what it returned."""

    info: ClassVar[AttackInfo] = AttackInfo("test.vandal", "1", ("linf",), "fixed", "gradient", "toy", "none")
    tidy: bool = False
    kept: ClassVar[list[Tensor]] = []

    def run(self, problem: Problem) -> Tensor:
        x = problem.x + problem.budget[:, None] * problem.grad(problem.x, "margin").grad.sign()
        x = problem.project(x)
        if self.tidy:
            return x
        for old in self.kept:
            old.fill_(0.5)
        self.kept.append(x)
        problem.x.fill_(0.0)
        problem.safe.fill_(False)
        problem.budget.fill_(9.0)
        problem.rows.fill_(0)
        return x


@dataclass(frozen=True)
class Spoils:
    """A defence that writes into the samples that it learns from, and whose parts write into what they are given."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.spoils", "1", "detector", True, "toy", "none")

    def fit(self, model: Classifier, data: Samples | None, rng: torch.Generator) -> Defended:
        sure(data).x.fill_(0.0)
        sure(data).y.fill_(0)
        return Defended(InPlace(model), Sorted(), certify=lambda x: x.sort(1, descending=True).values.mul_(0)[:, 0])


@dataclass
class Sorted:
    threshold: float = 2.0

    def score(self, x: Tensor) -> Tensor:
        assert float(x.abs().max()) > 0, "the model before it has written into these"
        return x.sub_(0.5).abs().amax(1)

    def twin(self, x: Tensor) -> Tensor:
        return (x - 0.5).abs().amax(1)


def vandal_job(folder: Path, tidy: bool, defended: bool) -> Job:
    word = "true" if tidy else "false"
    text = f"""
name = "foreign"
version = "1"
norms = ["linf"]
probe_samples = 0
[[attack]]
plugin = "test.vandal"
params = {{ tidy = {word} }}
search = 4
"""
    text += '[[defense]]\nplugin = "test.spoils"\nadaptive = ["test.vandal"]\n' if defended else ""
    (folder / "suite.toml").write_text(text)
    model = toys.linear()
    data, fit = toys.samples(model, 30), toys.samples(model, 20, seed=5)
    catalogue = toys.catalogue(("attack", Vandal), ("defense", Spoils))
    job = prepare_job(
        model, catalogue, RunOptions(suite=str(folder / "suite.toml"), data=(data.x, data.y), fit_data=(fit.x, fit.y))
    )
    return dataclasses.replace(job, folder=folder / f"run-{tidy}")


def test_an_attack_and_a_defence_that_write_into_everything_change_nothing(tmp_path: Path) -> None:
    found = []
    for tidy in (True, False):
        Vandal.kept.clear()
        job = vandal_job(tmp_path, tidy, defended=not tidy)
        before = job.samples.copy()
        fit = sure(job.fit).copy()
        record = run(job)
        assert {cell.status for cell in record.cells} == {"done"}
        assert torch.equal(job.samples.x[:], before.x)
        assert torch.equal(job.samples.y, before.y)
        assert torch.equal(sure(job.fit).x[:], fit.x)
        found.append(next(cell for cell in record.cells if cell.defense == "none"))
    good, wild = found
    assert good.distance == wild.distance
    assert all(value is None or value > 0 for value in wild.distance)


def test_an_attack_holds_no_tensor_of_the_engine() -> None:
    model = toys.linear()
    data = toys.samples(model, 6)
    safe = torch.nn.functional.one_hot(data.y, 4).bool()
    posed = Problem(
        data.x.clone(), safe.clone(), "linf", torch.full((6,), 0.1), (0.0, 1.0), torch.Generator(), "gradient",
        Pipeline(Defended(model)), Meter(6), torch.arange(6),
    )  # fmt: skip
    Vandal.kept.clear()
    found = candidates_of(Vandal(), posed)
    assert torch.equal(posed.x, data.x)
    assert torch.equal(posed.safe, safe)
    assert torch.equal(posed.budget, torch.full((6,), 0.1))
    assert torch.equal(posed.rows, torch.arange(6))
    before = found.clone()
    Vandal.kept[0].fill_(0.5)
    assert torch.equal(found, before)


class Forger:
    """A metric that makes every sample robust in the record that it is shown."""

    info = None

    def compute(self, record: Record) -> list[Result]:
        for cell in record.cells:
            cell.distance = [None] * len(cell.distance)
        record.pipelines.clear()
        return []


def test_a_metric_of_others_cannot_change_the_record(tmp_path: Path) -> None:
    job = vandal_job(tmp_path, True, defended=False)
    record = run(job)
    before = json.loads(store.to_json(record))

    row = dataclasses.make_dataclass("Row", ["name", "plugin", "distribution"])("forger", Forger, "forgery")
    derive(record, lambda made: results.derived([row], made), [], False, [])
    after = json.loads(store.to_json(record))
    assert after["cells"] == before["cells"]
    assert after["pipelines"] == before["pipelines"]
