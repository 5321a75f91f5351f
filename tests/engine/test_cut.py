"""Where time is short, units hold so many samples that each takes a tenth of it at most."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from robusteval.assessment.findings import going_on
from robusteval.contracts.tuning import Tuning
from robusteval.engine.chunks import CHUNK
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.run.cut import LEAST_S, PART, chunk_for
from robusteval.engine.run.runner import run
from robusteval.engine.schedule import pass_timing
from robusteval.engine.schedule.forecast import forecaster
from robusteval.engine.schedule.pass_timing import PassTiming
from tests.engine.test_forecast import SUITE, job_of
from tests.sure import sure

SMALL = """
name = "small"
version = "1"
norms = ["l2"]
samples = 40
probe_samples = 0
[[attack]]
plugin = "fmn"
params = { steps = 20 }
"""


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> PassTiming:
    """A pass of a second."""
    timing = PassTiming(Tuning(), 1000.0, 300.0)
    monkeypatch.setattr(pass_timing, "timed", lambda *_: timing)
    return timing


def longest(job: Job, timing: PassTiming) -> float:
    return forecaster(job, {"none": timing}, {}).forecast(plan_of(job)).longest


@pytest.mark.parametrize("budget", [2.0, 60.0, 600.0, 3600.0, 1e5, 1e7])
def test_no_unit_takes_more_than_a_tenth_of_the_budget(tmp_path: Path, slow: PassTiming, budget: float) -> None:
    job = dataclasses.replace(job_of(tmp_path, SUITE), time_budget=budget)
    chunk = chunk_for(job)
    fitted = dataclasses.replace(job, chunk=chunk)
    allowed = max(PART * budget, LEAST_S)
    assert chunk == 1 or longest(fitted, slow) <= allowed
    assert chunk == CHUNK or longest(dataclasses.replace(job, chunk=4 * chunk), slow) > allowed
    assert plan_of(fitted).chunk == chunk
    if chunk < CHUNK:
        assert longest(job, slow) > allowed
        assert plan_of(fitted).sha256 != plan_of(job).sha256


@pytest.mark.parametrize("budget", [None, 0.0, -1.0])
def test_without_a_budget_units_are_as_ever(tmp_path: Path, slow: PassTiming, budget: float | None) -> None:
    assert slow.pass_ms
    job = job_of(tmp_path, SUITE)
    assert chunk_for(dataclasses.replace(job, time_budget=budget)) == CHUNK


def test_what_was_cut_is_put_together_again(tmp_path: Path) -> None:
    """Units of 8 of 40 samples: each proof is that of its own sample."""
    job = dataclasses.replace(job_of(tmp_path, SMALL), chunk=8)
    record = run(job)
    assert len(list((job.folder / "units").rglob("*.npz"))) == 5
    proofs = sure(record.witnesses)
    images = safetensors.numpy.load_file(job.folder / proofs.file)
    assert len(proofs.entries) > 30
    assert record.environment["units"].startswith("8 samples each")
    assert "begins anew" in going_on(record)
    assert "units" not in run(dataclasses.replace(job, chunk=0, folder=tmp_path / "whole")).environment
    for entry in proofs.entries:
        delta = images[entry.tensor][entry.row].astype(float) - images["clean"][entry.sample]
        assert np.linalg.norm(delta) == pytest.approx(entry.distance, rel=1e-5)
        assert entry.distance == record.cells[0].distance[entry.sample]


def test_what_takes_seconds_is_not_cut_whatever_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timing = PassTiming(Tuning(), 0.01, 0.003)
    monkeypatch.setattr(pass_timing, "timed", lambda *_: timing)
    job = dataclasses.replace(job_of(tmp_path, SUITE), time_budget=0.001)
    assert 0.001 < longest(job, timing) < LEAST_S
    assert chunk_for(job) == CHUNK
