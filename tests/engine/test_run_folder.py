"""Whose a folder is: one command at a time, a user's own files, --overwrite, a full disk, and a folder that goes
away."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robusteval.engine.run import folder as run_folder
from robusteval.engine.run.folder import claim, claim_several, locked
from robusteval.engine.run.runner import run
from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report.write import write_tables
from tests.engine import faulty
from tests.sure import sure

OTHER = faulty.SUITE.replace("search = 2", "search = 3")


@pytest.fixture(autouse=True)
def no_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "_WAIT_S", 0.0)


def document(record: Record) -> str:
    data = json.loads(store.to_json(record))
    data.pop("times")
    return json.dumps(data)


def elsewhere(work: Callable[..., Any]) -> list[BaseException]:
    """What the work raises in another thread, as it would in another process."""
    raised: list[BaseException] = []

    def tried() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            raised.append(error)

    thread = threading.Thread(target=tried)
    thread.start()
    thread.join()
    return raised


def test_a_second_command_in_the_folder_is_turned_away_and_loses_nothing(tmp_path: Path) -> None:
    job = faulty.job(tmp_path)
    with locked(job.folder):
        with locked(job.folder):  # by whoever holds it
            (raised,) = elsewhere(lambda: run(job))
        assert isinstance(raised, RecordError)
        assert "at work in the folder" in raised.message
    assert run(job).plan_sha256


def test_the_lock_of_a_killed_holder_is_taken_over(tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom robusteval.engine.run.folder import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    assert sure(holder.stdout).readline() == "held\n"
    with pytest.raises(RecordError, match="at work"), locked(tmp_path / "run"):
        pass
    holder.kill()
    holder.communicate()
    with locked(tmp_path / "run"):
        pass


USERS = (
    "units/mine.npz",
    "units/none_test.sign_linf.0.npz",
    "record.json",
    "report.html",
    "samples.parquet",
    "tables/t.csv",
    "errors.log",
)


@pytest.mark.parametrize("name", USERS)
def test_a_users_own_files_are_never_touched_unasked(tmp_path: Path, name: str) -> None:
    job = faulty.job(tmp_path)
    mine = job.folder / name
    mine.parent.mkdir(parents=True)
    np.savez(mine.with_suffix(".npz"), x=np.ones(3))
    mine.with_suffix(".npz").rename(mine)
    before = mine.read_bytes()
    with pytest.raises(RecordError, match="nothing says that robusteval wrote") as caught:
        run(job)
    assert "--overwrite" in caught.value.hint
    assert mine.read_bytes() == before
    assert sorted(path.name for path in job.folder.iterdir()) == sorted(
        {run_folder.LOCK, name.split("/", maxsplit=1)[0]}
    )


def test_overwrite_leaves_nothing_of_the_old_run_and_all_of_the_users(tmp_path: Path) -> None:
    job = faulty.job(tmp_path, faulty.attacks("raise"))
    record = run(job)
    (job.folder / "report.html").write_text("the page")
    write_tables(record, job.folder)
    ours = {path for path in job.folder.rglob("*") if path.is_file()}
    assert job.folder / "errors.log" in ours
    mine = [job.folder / name for name in ("notes.txt", "units/mine.npz", "tables/mine.csv")]
    for path in mine:
        path.write_bytes(b"mine")
    with pytest.raises(RecordError, match="another run"):
        run(faulty.job(tmp_path, OTHER))
    assert ours <= set(job.folder.rglob("*"))
    new = run(faulty.job(tmp_path, OTHER, overwrite=True))
    left = {path for path in job.folder.rglob("*") if path.is_file()}
    assert [path.read_bytes() for path in mine] == [b"mine"] * 3
    names = {"plan.json", "none_test.sign_linf.0.npz", "record.json", "samples.parquet", run_folder.LOCK}
    names |= {"witnesses.safetensors", "samples.json"}
    assert {path.name for path in left - set(mine)} == names
    assert store.load(job.folder).plan_sha256 == new.plan_sha256


def test_a_unit_of_another_plan_is_never_mixed_in(tmp_path: Path) -> None:
    whole = run(faulty.job(tmp_path))
    name = Path("units/none_test.sign_linf.0.npz")
    (tmp_path / "other").mkdir()
    other = faulty.job(tmp_path / "other", OTHER)
    run(other)
    shutil.copy(other.folder / name, tmp_path / "run" / name)
    assert document(run(faulty.job(tmp_path))) == document(whole)


def test_several_models_folder_is_marked_and_cleared_alike(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with locked(folder):
        claim_several(folder, "a", ["one", "two"], overwrite=False)
        for name in ("one", "two"):
            (folder / name).mkdir()
            claim(folder / name, "p", overwrite=False)
            (folder / name / "record.json").write_text("{}")
        (folder / "comparison.json").write_text("{}")
        (folder / "two" / "mine.txt").write_text("mine")
        with pytest.raises(RecordError, match="another run"):
            claim_several(folder, "b", ["one"], overwrite=False)
        claim_several(folder, "b", ["one"], overwrite=True)
    assert not (folder / "comparison.json").exists()
    assert [path.name for path in (folder / "two").iterdir()] == ["mine.txt"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "report.html").write_text("mine")
    with locked(tmp_path / "mine"), pytest.raises(RecordError, match=r"report\.html"):
        claim_several(tmp_path / "mine", "a", ["one"], overwrite=False)


@pytest.mark.parametrize("full", ["plan.json", ".npz", "witnesses.safetensors", "samples.parquet", "record.json"])
def test_a_full_disk_is_one_sentence_and_the_same_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: str
) -> None:
    job = faulty.job(tmp_path)
    honest = Path.replace

    def failing(written: Path, path: Path) -> Path:
        if path.name.endswith(full):
            raise OSError(errno.ENOSPC, "No space left on device")
        return honest(written, path)

    monkeypatch.setattr(Path, "replace", failing)
    with pytest.raises(RecordError, match="No space left on device") as caught:
        run(job)
    assert "goes on from there" in caught.value.hint or full == "plan.json"
    assert not (job.folder / "record.json").exists()
    monkeypatch.setattr(Path, "replace", honest)
    kept = []
    record = run(job, lambda progress: kept.append(progress.resumed))
    assert kept[0] == (0 if full in ("plan.json", ".npz") else 1)
    assert document(record) == document(run(dataclasses.replace(job, folder=tmp_path / "whole")))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_atomically(tmp_path / "a", b"old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RecordError, match="No space"):
        store.write_atomically(tmp_path / "a", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_folder_that_goes_away_is_one_sentence(tmp_path: Path) -> None:
    job = faulty.job(tmp_path)

    def remove(progress: object) -> None:
        shutil.rmtree(job.folder, ignore_errors=True)

    with pytest.raises(RecordError, match="Cannot write"):
        run(job, remove)
    assert run(job).plan_sha256
