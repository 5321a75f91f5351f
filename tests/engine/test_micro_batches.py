"""Batches that are cut to fit into memory: the same figures at every size, also where memory runs out on the way."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.catalogue.catalogue import discover
from robusteval.engine.plan.job import Job
from robusteval.engine.run import prepare
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.runner import run
from robusteval.engine.schedule.memory import Need, Shares
from robusteval.errors import ModelError
from robusteval.ops.batches import Sizes
from robusteval.record import store

SUITE = """
name = "cut"
version = "1"
summary = "Every way to ask for a gradient, scores and labels."
norms = ["linf"]
samples = 16
probe_samples = 0
strengths = [0.1]
stretches = [1.0, 1.5]

[[attack]]
plugin = "pgd"
params = { steps = 4 }
search = 2
reason = "a loss of its own each step"

[[attack]]
plugin = "fmn"
params = { steps = 6 }
reason = "a loss that is a function"

[[attack]]
plugin = "fab"
params = { steps = 2 }
reason = "Jacobians"

[[attack]]
plugin = "square"
params = { queries = 10 }
search = 1
reason = "scores"

[[defense]]
plugin = "bit-depth"
oblivious = ["pgd"]
adaptive = ["pgd"]

[[defense]]
plugin = "confidence"
oblivious = ["pgd"]
adaptive = ["pgd"]

[[defense]]
plugin = "gaussian-noise"
adaptive = ["pgd"]
"""


@dataclasses.dataclass
class Exact:
    """Scores by differences of single pixels: no sum, so that no order of adding can change a bit. fits: the most
    images that its memory holds at once; seen: how many it was asked about, each time."""

    fits: int = 10**6
    seen: list[int] = dataclasses.field(default_factory=list)
    info: ModelInfo = dataclasses.field(default_factory=lambda: ModelInfo("exact", "test", "0" * 64, (1, 4, 4), 4))

    def logits(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.twin(x)

    def twin(self, x: Tensor) -> Tensor:
        if len(x) > self.fits:
            raise torch.OutOfMemoryError("the card is full")
        self.seen.append(len(x))
        flat = x.flatten(1)
        first, second = flat[:, 0:4] - flat[:, 4:8], flat[:, 8:12] - flat[:, 12:16]
        return 4 * torch.where(first > 0, 2 * first, first) + torch.where(second > 0, second, 4 * second)


def job_of(tmp_path: Path, model: Exact, sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> Job:
    def fixed(self: Shares, need: Need | None = None) -> Sizes:
        return dataclasses.replace(sizes)

    monkeypatch.setattr(Shares, "sizes", fixed)
    monkeypatch.setenv("ROBUSTEVAL_CACHE", "off")
    monkeypatch.setattr("robusteval.engine.schedule.pass_timing.CHEAP_S", 1e9)  # nothing is chosen by the clock
    suite = tmp_path / "cut.toml"
    suite.write_text(SUITE)
    x = torch.rand((80, 1, 4, 4), generator=torch.Generator().manual_seed(3)).mul(64).round() / 64
    y = Exact().logits(x).argmax(1)
    options = RunOptions(suite=str(suite), data=(x[:40], y[:40]), fit_data=(x[40:], y[40:]), seed=1)
    job = prepare.prepare_job(model, discover(), options)
    return dataclasses.replace(job, folder=tmp_path / "run")


def document(tmp_path: Path, model: Exact, sizes: Sizes, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    record = run(job_of(tmp_path, model, sizes, monkeypatch))
    made: dict[str, Any] = json.loads(store.to_json(record))
    made.pop("times")
    made["environment"].pop("batches", None)
    return made


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        return document(tmp_path_factory.mktemp("whole"), Exact(), Sizes(), patch)


@pytest.mark.parametrize("size", [1, 7, 128])
def test_the_document_is_the_same_byte_for_byte_at_every_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any], size: int
) -> None:
    model = Exact()
    cut = document(tmp_path, model, Sizes(size, size, size), monkeypatch)
    assert {cell["status"] for cell in whole["cells"]} == {"done"}
    assert json.dumps(cut) == json.dumps(whole)
    assert max(model.seen) <= max(size, 3)  # three rows are asked about to find out what one needs


def test_where_memory_runs_out_the_batch_is_halved_and_only_that_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: dict[str, Any]
) -> None:
    model = Exact(fits=12)
    full = document(tmp_path, model, Sizes(), monkeypatch)
    assert max(model.seen) <= 12
    assert "ran out" in full["environment"].pop("memory")
    assert not any("out_of_memory" in cell["watched"] for cell in full["cells"]), "it was known before the attacks"
    assert json.dumps(full) == json.dumps(whole)


def test_a_model_that_has_no_room_for_one_image_is_said_to_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match="card is full"):
        job_of(tmp_path, Exact(fits=0), Sizes(), monkeypatch)
