"""Runs on data that are read when they are needed: the document of a run on arrays, wherever units are made, and what
becomes of one whose data change."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robusteval.contracts.executors.executor import Executor
from robusteval.engine.data import images
from robusteval.engine.plan.job import Job
from robusteval.engine.run.options import RunOptions
from robusteval.engine.run.prepare import prepare_job
from robusteval.engine.run.runner import run
from robusteval.engine.schedule.local import Processes, Serial
from robusteval.engine.schedule.schedule import Progress
from robusteval.errors import DataError
from tests.engine import toys
from tests.engine.carriers import Carrier
from tests.engine.test_runner import text

SUITE = 'metrics = ["cost"]\n' + toys.SUITE
for norms in ('["l2", "linf"]', '["linf"]'):
    SUITE = SUITE.replace(f"norms = {norms}", 'norms = ["l2"]')


def job_on(folder: Path, data: Any, target: str = "untargeted") -> Job:
    (folder / "toy.toml").write_text(SUITE)
    options = RunOptions(suite=str(folder / "toy.toml"), data=data, target=target)
    return dataclasses.replace(prepare_job(toys.linear(), toys.catalogue(*toys.TOYS), options), folder=folder / "run")


@pytest.fixture
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An archive of 300 samples that is never read whole."""
    monkeypatch.setattr(images, "SMALL", 0)
    data = toys.samples(toys.linear(), count=300)
    np.savez(tmp_path / "arrays.npz", x=data.x.numpy(), y=data.y.numpy())
    return tmp_path / "arrays.npz"


def arrays(path: Path) -> tuple[Any, Any]:
    with np.load(path) as file:
        return file["x"], file["y"]


@pytest.mark.parametrize(
    ("executor", "target"),
    [
        pytest.param(each, target, id=f"{each.info.name}-{target}", marks=() if often else pytest.mark.long)
        for each, target, often in (
            (Serial(), "untargeted", True), (Processes(), "class 1", True), (Carrier(), "untargeted", True),
            (Serial(), "class 1", False), (Processes(), "untargeted", False), (Carrier(), "class 1", False),
        )
    ],
)  # fmt: skip
def test_the_document_is_that_of_a_run_on_arrays(
    stored: Path, tmp_path: Path, executor: Serial | Processes | Carrier, target: str
) -> None:
    (tmp_path / "whole").mkdir()
    whole = job_on(tmp_path / "whole", arrays(stored), target.removeprefix("class "))
    job = job_on(tmp_path, stored, target.removeprefix("class "))
    wanted = run(whole)
    record = run(dataclasses.replace(job, executor=executor, workers=2))
    wanted.data.name, wanted.data.source = record.data.name, record.data.source
    assert text(record) == text(wanted)
    witnesses = [folder / "run" / "witnesses.safetensors" for folder in (tmp_path, tmp_path / "whole")]
    assert witnesses[0].read_bytes() == witnesses[1].read_bytes()


def test_workers_are_told_where_the_data_are(stored: Path, tmp_path: Path) -> None:
    samples = job_on(tmp_path, stored).samples
    assert len(pickle.dumps(samples)) < 40 * len(samples) + 3000  # the pixels alone would be 80 bytes an image


@pytest.mark.parametrize(
    ("executor", "gone"),
    [
        pytest.param(each, gone, id=f"{each.info.name}-{gone}", marks=() if often else pytest.mark.long)
        for each, gone, often in (
            (Serial(), True, True), (Processes(), False, False), (Carrier(), False, True),
            (Serial(), False, False), (Processes(), True, False), (Carrier(), True, False),
        )
    ],
)  # fmt: skip
def test_data_that_change_end_the_run_and_lose_nothing(
    stored: Path, tmp_path: Path, executor: Executor, gone: bool
) -> None:
    job = dataclasses.replace(job_on(tmp_path, stored), executor=executor, workers=1)
    wanted = run(dataclasses.replace(job, folder=tmp_path / "undisturbed"))
    content = stored.read_bytes()

    def disturb(progress: Progress) -> None:
        if progress.done == 4 and stored.exists():
            if gone:
                stored.unlink()
            else:
                stored.write_bytes(content.replace(content[3000:3200], bytes(200)))

    with pytest.raises(DataError) as caught:
        run(job, disturb)
    assert ("cannot be read" if gone else "were changed while the run was at work") in caught.value.message
    assert "the same command goes on" in caught.value.hint
    kept = {path.name for path in (job.folder / "units").glob("*.npz")}
    assert len(kept) >= 4
    stored.write_bytes(content)
    resumed = []
    assert text(run(job, lambda progress: resumed.append(progress.resumed))) == text(wanted)
    assert resumed[0] == len(kept)
