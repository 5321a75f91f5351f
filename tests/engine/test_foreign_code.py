"""Code of others gets copies: whatever it writes into changes no sample, no figure, no record, and no tensor of the user's."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robusteval
from robusteval.api import AttackInfo, Defended, DefenseInfo, Problem
from robusteval.assessment import results
from robusteval.assessment.derive import derive
from robusteval.contracts.classifier import Classifier, LoadOptions
from robusteval.contracts.guard import Guarded, guarded, lending
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.sharing import lent, sharing
from robusteval.engine.asking import candidates_of
from robusteval.engine.prepare import prepare_job
from robusteval.engine.runner import run
from robusteval.errors import ModelError
from robusteval.loaders.torch_module import TorchClassifier
from robusteval.record import store
from tests.engine import toys

SUITE = """
name = "foreign"
version = "1"
norms = ["linf"]
probe_samples = 0
[[attack]]
plugin = "pgd"
params = { steps = 5 }
search = 3
[[attack]]
plugin = "deepfool"
[[attack]]
plugin = "square"
params = { queries = 20 }
search = 2
[[defense]]
plugin = "bit-depth"
adaptive = ["pgd"]
oblivious = ["pgd"]
"""


class Normalised(nn.Module):
    """A network that normalises its input, in place or not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.inner = nn.Sequential(nn.Flatten(), nn.Linear(16, 24), nn.ReLU(inplace=in_place), nn.Linear(24, 4))
        self.in_place = in_place

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.sub_(0.4).div_(0.25) if self.in_place else (x - 0.4) / 0.25)


@dataclass
class InPlace:
    """A classifier of somebody else's that writes into what it is given, past every version counter."""

    inner: Classifier

    @property
    def info(self):
        return self.inner.info

    def logits(self, x):
        answer = self.inner.logits(x)
        x.detach().numpy()[:] = 0.0
        return answer

    def twin(self, x):
        answer = self.inner.twin(x)
        x.data.fill_(0.0)
        return answer


@pytest.fixture(scope="module")
def images():
    rng = torch.Generator().manual_seed(1)
    x = torch.rand(24, 1, 4, 4, generator=rng)
    with torch.no_grad():
        return x, Normalised(False)(x).argmax(1)


def columns(record):
    return [(cell.id, cell.status, cell.distance, cell.l2) for cell in record.cells]


def test_a_net_that_works_in_place_has_the_figures_of_one_that_does_not(images, tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE)
    x, y = images
    told = []
    for in_place in (True, False):
        module, mine, labels = Normalised(in_place).train(), x.numpy().copy(), y.numpy().copy()
        flags = [p.requires_grad_(number > 0).requires_grad for number, p in enumerate(module.parameters())]
        record = robusteval.evaluate(module, (mine, labels), str(tmp_path / "suite.toml"))
        assert np.array_equal(mine, x.numpy())
        assert np.array_equal(labels, y.numpy())
        assert module.training
        assert [p.requires_grad for p in module.parameters()] == flags
        assert all(p.grad is None for p in module.parameters())
        assert {cell.status for cell in record.cells} == {"done"}
        assert record.model.gradients == "exact"
        told.append(columns(record))
    assert told[0] == told[1]


def test_a_classifier_of_others_that_writes_into_its_input(images, tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE)
    x, y = images
    inner = TorchClassifier.from_module(Normalised(False), (1, 4, 4), LoadOptions())
    mine = x.clone()
    told = [
        columns(robusteval.evaluate(model, (mine, y), str(tmp_path / "suite.toml")))
        for model in (inner, InPlace(inner))
    ]
    assert told[0] == told[1]
    assert torch.equal(mine, x)


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
        problem.keep.fill_(False)
        problem.budget.fill_(9.0)
        problem.rows.fill_(0)
        return x


@dataclass(frozen=True)
class Spoils:
    """A defence that writes into the samples that it learns from, and whose parts write into what they are given."""

    info: ClassVar[DefenseInfo] = DefenseInfo("test.spoils", "1", "detector", True, "toy", "none")

    def fit(self, model, data, rng):
        data.x.fill_(0.0)
        data.y.fill_(0)
        return Defended(InPlace(model), Sorted(), certify=lambda x: x.sort(1, descending=True).values.mul_(0)[:, 0])


@dataclass
class Sorted:
    threshold: float = 2.0

    def score(self, x):
        assert float(x.abs().max()) > 0, "the model before it has written into these"
        return x.sub_(0.5).abs().amax(1)

    def twin(self, x):
        return (x - 0.5).abs().amax(1)


def vandal_job(folder, tidy, defended):
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
    job = prepare_job(model, catalogue, str(folder / "suite.toml"), data=(data.x, data.y), fit=(fit.x, fit.y))
    return dataclasses.replace(job, folder=folder / f"run-{tidy}")


def test_an_attack_and_a_defence_that_write_into_everything_change_nothing(tmp_path):
    found = []
    for tidy in (True, False):
        Vandal.kept.clear()
        job = vandal_job(tmp_path, tidy, defended=not tidy)
        before = job.samples.copy()
        fit = job.fit.copy()
        record = run(job)
        assert {cell.status for cell in record.cells} == {"done"}
        assert torch.equal(job.samples.x, before.x)
        assert torch.equal(job.samples.y, before.y)
        assert torch.equal(job.fit.x, fit.x)
        found.append(next(cell for cell in record.cells if cell.defense == "none"))
    tidy, wild = found
    assert tidy.distance == wild.distance
    assert all(value is None or value > 0 for value in wild.distance)


def test_an_attack_holds_no_tensor_of_the_engine():
    model = toys.linear()
    data = toys.samples(model, 6)
    keep = torch.nn.functional.one_hot(data.y, 4).bool()
    posed = Problem(
        data.x.clone(), keep.clone(), "linf", torch.full((6,), 0.1), (0.0, 1.0), torch.Generator(), "gradient",
        Pipeline(Defended(model)), Meter(6), torch.arange(6),
    )  # fmt: skip
    Vandal.kept.clear()
    found = candidates_of(Vandal(), posed)
    assert torch.equal(posed.x, data.x)
    assert torch.equal(posed.keep, keep)
    assert torch.equal(posed.budget, torch.full((6,), 0.1))
    assert torch.equal(posed.rows, torch.arange(6))
    before = found.clone()
    Vandal.kept[0].fill_(0.5)
    assert torch.equal(found, before)


class Forger:
    """A metric that makes every sample robust in the record that it is shown."""

    info = None

    def compute(self, record):
        for cell in record.cells:
            cell.distance = [None] * len(cell.distance)
        record.pipelines.clear()
        return []


def test_a_metric_of_others_cannot_change_the_record(tmp_path):
    job = vandal_job(tmp_path, True, defended=False)
    record = run(job)
    before = json.loads(store.to_json(record))

    row = dataclasses.make_dataclass("Row", ["name", "plugin", "distribution"])("forger", Forger, "forgery")
    derive(record, lambda made: results.derived([row], made), [], False, [])
    after = json.loads(store.to_json(record))
    assert after["cells"] == before["cells"]
    assert after["pipelines"] == before["pipelines"]


def test_model_and_detector_share_one_pass_through_the_same_copy():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.passes = 0
            self.inner = nn.Linear(3, 2)

        def forward(self, x):
            self.passes += 1
            return self.inner(x)

    base = TorchClassifier.from_module(Counted(), (3,))
    confident = dataclasses.make_dataclass(
        "Confident", [], namespace={"threshold": 0.0, "score": lambda self, x: base.logits(x).amax(1)}
    )
    pipeline = Pipeline(lending(Defended(base, confident())))
    before = base.module.passes
    pipeline.decide(torch.rand(5, 3))
    assert base.module.passes == before + 1
    x = torch.rand(5, 3)
    with sharing():
        first = lent(x)
        assert lent(x) is first
        first.numpy()[:] = 0
        assert torch.equal(lent(x), x)


def test_faults_of_a_classifier_of_others_are_one_sentence():
    class Odd:
        info = toys.linear().info

        def logits(self, x):
            raise SystemExit(0)

        def twin(self, x):
            return [1, 2]

    model = guarded(Odd())
    assert isinstance(model, Guarded)
    assert guarded(model) is model
    with pytest.raises(ModelError, match="SystemExit"):
        model.logits(torch.rand(2, 20))
    with pytest.raises(ModelError, match="a list, not with scores"):
        model.twin(torch.rand(2, 20))


def test_a_module_that_fails_late_fails_its_cell_and_not_the_run(images, tmp_path):
    (tmp_path / "suite.toml").write_text(SUITE.partition("[[defense]]")[0])
    x, y = images

    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Normalised(False)

        def forward(self, x):
            if x.requires_grad and len(x) == 16:
                raise KeyError("late")
            return self.inner(x)

    # the twin works one by one where sixteen at once do not
    record = robusteval.evaluate(Late(), (x, y), str(tmp_path / "suite.toml"))
    assert {cell.status for cell in record.cells} == {"done"}

    class Never(Late):
        def forward(self, x):
            if float(x.detach().min()) == 0.0 and float(x.detach().max()) == 1.0:
                raise KeyError("late")  # attacks with large budgets meet the box, the clean images do not
            return self.inner(x)

    record = robusteval.evaluate(Never(), (0.2 + 0.6 * x, y), str(tmp_path / "suite.toml"))
    failed = [cell for cell in record.cells if cell.status == "failed"]
    assert failed
    assert all("KeyError: 'late'" in cell.reason for cell in failed)
