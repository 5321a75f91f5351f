"""A run in three shards, made once a module, and copies of its folders to be spoilt."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from robusteval.engine.plan.job import Job
from robusteval.engine.plan.shards import Shard
from robusteval.engine.run import shard as shard_module
from robusteval.engine.run.runner import run
from robusteval.engine.run.shard import ShardPage, read_page, run_shard
from robusteval.record.run import Record
from tests.engine import toys
from tests.engine.test_runner import make_job

# Everything that a document has: probes, an oblivious, an adaptive and a transferred cell, a cascade, and tests of the
# evaluation.
SUITE = (
    toys.SUITE.replace("probe_samples = 0", "probe_samples = 20\nnoise_draws = { samples = 5, draws = 50 }")
    + """
[[attack]]
plugin = "pgd"
params = { steps = 3 }
search = 2
norms = ["linf"]
[[cascade]]
name = "pair"
eps = { l2 = [0.03] }
[[cascade.member]]
plugin = "noise"
[[cascade.member]]
plugin = "test.walk"
"""
)
COUNT = 3

Made = tuple[Job, Record, list[Path]]
Copies = tuple[Job, list[Path]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Made:
    """A job in the folder `whole`, its undivided record, and the folders of its shards beside it."""
    folder = tmp_path_factory.mktemp("shards")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTEVAL_CACHE", str(cache))
        job = dataclasses.replace(make_job(folder, SUITE), folder=folder / "whole")
        record = run(job)
        parts = [folder / f"part{number}" for number in range(1, COUNT + 1)]
        for number, part in enumerate(parts, 1):
            run_shard(dataclasses.replace(job, folder=part), Shard(number, COUNT), ["toy"])
    return job, record, parts


@pytest.fixture
def copies(made: Made, tmp_path: Path) -> Copies:
    """(a job with a new folder, copies of the shards to be spoilt)."""
    job, _, parts = made
    spoilt = [tmp_path / part.name for part in parts]
    for part, copy in zip(parts, spoilt, strict=True):
        shutil.copytree(part, copy)
    return dataclasses.replace(job, folder=tmp_path / "merged"), spoilt


def units_in(folder: Path) -> list[Path]:
    return sorted((folder / "units").glob("*.npz"))


def rewritten(folder: Path, change: Callable[[ShardPage], object]) -> None:
    page = read_page(folder)
    change(page)
    shard_module._write(folder, page)
