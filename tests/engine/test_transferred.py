"""An attacker who knows a defence also tries what was found on the bare model."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from robusteval.api import Defended, DefenseInfo
from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.meter import Meter
from robusteval.contracts.pipeline import Pipeline
from robusteval.contracts.samples import Samples
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.search.distance_search import Sweep
from robusteval.engine.search.judge import Threat
from robusteval.engine.suite.goals import safe_mask
from robusteval.engine.suite.suite import TRANSFER, parse
from robusteval.engine.units.unit import UnitResult, nearest_wins
from robusteval.errors import SuiteError
from tests.engine import toys


@dataclass(frozen=True)
class Flat:
    """A model whose twin has no slope, so that no gradient attack gets anywhere."""

    inner: Classifier

    @property
    def info(self) -> ModelInfo:
        return self.inner.info

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.logits(x)

    def twin(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner.twin(x.detach()) + 0 * x.sum()


@dataclass(frozen=True)
class Hide:
    info: ClassVar[DefenseInfo] = DefenseInfo("test.hide", "1", "retrofit", False, "Hides the gradient.", "none")

    def fit(self, model: Classifier, data: Samples | None, rng: torch.Generator) -> Defended:
        return Defended(Flat(model))


SUITE = """
name = "toy"
version = "1"
norms = ["l2", "linf"]
probe_samples = 0
[[attack]]
plugin = "test.walk"
[[attack]]
plugin = "noise"
norms = ["linf"]
search = 1
[[defense]]
plugin = "test.hide"
adaptive = ["test.walk"]
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    (tmp_path / "toy.toml").write_text(SUITE)
    model = toys.linear()
    data = toys.samples(model, count=200)
    catalogue = toys.catalogue(*toys.TOYS, ("defense", Hide))
    job = prepare_job(model, catalogue, RunOptions(suite=str(tmp_path / "toy.toml"), data=(data.x, data.y), seed=0))
    return dataclasses.replace(job, folder=tmp_path / "run")


def test_what_wins_on_the_bare_model_is_tried_and_judged_on_the_defended_one(job: Job) -> None:
    record = run(job)
    cells = {cell.id: cell for cell in record.cells}
    for norm in ("l2", "linf"):
        known = cells[f"test.hide/{TRANSFER}/{norm}/adaptive"]
        assert (known.status, known.knowledge, known.needs) == ("done", "adaptive", "decision")
        bare = record.done(norm=norm, knowledge="none")
        nearest = [min(values) for values in zip(*[[d or 1e9 for d in cell.distance] for cell in bare], strict=True)]
        assert known.distance == pytest.approx(nearest, rel=0.05)
        blind = cells[f"test.hide/test.walk/{norm}/adaptive"]
        assert sum(value is None for value in blind.distance) > 100, "The attack that was hidden from finds little."
    assert "black-box-stronger" in {finding.code for finding in record.findings}


def test_it_runs_in_processes_and_after_a_kill_alike(job: Job, tmp_path: Path) -> None:
    whole = run(job)
    again = run(dataclasses.replace(job, folder=tmp_path / "parallel", workers=2))
    assert [cell.distance for cell in again.cells] == [cell.distance for cell in whole.cells]
    for path in (job.folder / "units").glob(f"*{TRANSFER}*"):
        path.unlink()
    assert [cell.distance for cell in run(job).cells] == [cell.distance for cell in whole.cells]


@pytest.mark.parametrize(("short", "wins"), [(1.2, True), (0.95, True), (0.5, True), (0.3, False)])
def test_it_goes_on_along_the_ray_where_the_defence_needs_more(short: float, wins: bool) -> None:
    """Candidates that end before the boundary are stretched up to three times, and the result drawn back to it."""
    model = toys.linear(classes=2)
    data = toys.samples(model, count=20)
    slope = model.weight[:, 1] - model.weight[:, 0]
    gap = data.x @ slope + model.bias[1] - model.bias[0]
    step = -(gap / slope.square().sum())[:, None] * slope
    threat = Threat(safe_mask(data.y, None, 2, 2), "l2", (-10.0, 10.0))
    sweep = Sweep(Pipeline(Defended(model)), data.x, threat, torch.Generator().manual_seed(0), Meter(20))
    found = sweep.given(data.x + short * step)
    if wins:
        assert torch.allclose(found.distance, step.norm(dim=1).double(), rtol=0.01)
    else:
        assert not torch.isfinite(found.distance).any()
    assert not torch.isfinite(sweep.given(data.x.clone()).distance).any(), "A clean sample is no candidate."


def unit(distance: list[float], x: list[float]) -> UnitResult:
    n = len(distance)
    zeros = torch.zeros(n)
    return UnitResult(
        torch.tensor(distance, dtype=torch.float64), zeros, zeros, zeros, zeros, zeros, zeros, torch.tensor(x)[:, None]
    )


def test_the_nearest_of_several_wins_is_taken() -> None:
    inf = float("inf")
    found = nearest_wins([unit([2.0, inf, 1.0, 0.0], [1, 0, 1, 0]), unit([1.0, 3.0, inf, 0.0], [2, 2, 0, 0])])
    assert found.squeeze(1).tolist() == [2, 2, 1, 0]


def test_its_name_is_taken(job: Job) -> None:
    taken = SUITE.replace('plugin = "test.walk"\n[[attack]]', f'plugin = "test.walk"\nname = "{TRANSFER}"\n[[attack]]')
    with pytest.raises(SuiteError, match="taken"):
        parse(taken.split("[[defense]]")[0], "toy", job.catalogue)
