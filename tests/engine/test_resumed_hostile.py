"""A run that goes on in a folder that a stranger filled: sealed lies are made again, and nothing is written where links
lead."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from robusteval.engine.run.folder import claim, claim_several
from robusteval.engine.run.runner import run
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RecordError
from robusteval.record.store import TABLES_LIST, listed_tables
from robusteval.report.write import write_tables
from tests.engine.test_merge_hostile import put, told
from tests.engine.test_runner import make_job, text
from tests.record.tables import full


def test_sealed_units_that_this_run_cannot_have_made_are_made_again(tmp_path: Path) -> None:
    job = dataclasses.replace(make_job(tmp_path), folder=tmp_path / "run")
    whole = run(job)
    names = sorted(path.name for path in (job.folder / "units").glob("*.npz"))
    lies = (
        put("distance", lambda item: item * np.nan),
        put("x", lambda item: item[:, :3]),
        put("answer", lambda item: item.astype("U8")),
        told("rejected", {"\x1b[2J": -1}),
    )
    for name, lie in zip(names, lies, strict=False):
        lie(job.folder / "units" / name)
    resumed = []
    record = run(job, lambda progress: resumed.append(progress.resumed))
    assert resumed[0] == len(names) - min(len(lies), len(names))
    assert text(record) == text(whole)


def test_a_unit_that_is_a_link_is_not_there(tmp_path: Path) -> None:
    store = UnitStore(tmp_path, "0" * 64)
    store.folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"x")
    store.path("none/a/l2", 0).symlink_to(tmp_path / "elsewhere")
    assert store.content("none/a/l2", 0) is None


@pytest.mark.parametrize("name", ["units", "tables"])
def test_a_folder_that_is_a_link_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "plan.json").write_text(json.dumps({"plan": "0" * 64}))
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / name).symlink_to(tmp_path / "elsewhere")
    for overwrite in (False, True):
        with pytest.raises(RecordError, match=f"{name} is a link"):
            claim(tmp_path / "run", "0" * 64, overwrite)
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["plan.json"]


def test_a_model_of_several_whose_folder_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RecordError, match="a is a link"):
        claim_several(tmp_path, "0" * 64, ["a", "b"], True)
    (tmp_path / ".robusteval.json").write_text(json.dumps({"plan": "1" * 64, "models": ["a"]}))
    with pytest.raises(RecordError, match="a is a link"):  # which would be cleared, as it is no model of this run
        claim_several(tmp_path, "0" * 64, ["b"], True)


def test_tables_go_nowhere_else_and_odd_names_of_former_ones_are_none(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    odd = ["../a.csv", "a\0.csv", "\ud800.csv", "a\n.csv", 5, "old.csv"]
    (tmp_path / "tables" / TABLES_LIST).write_text(json.dumps(odd))
    assert listed_tables(tmp_path / "tables") == ["old.csv"]
    write_tables(full(), tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "tables").symlink_to(tmp_path / "tables")
    with pytest.raises(RecordError, match="is a link"):
        write_tables(full(), tmp_path / "run")
