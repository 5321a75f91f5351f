"""What a plugin sets for the whole process is put back, and costs no other cell."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from robusteval.engine.run.runner import run
from robusteval.engine.schedule.local import Serial
from robusteval.engine.state import now, put_back
from robusteval.record import store
from tests.cage import plugins


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """For the tests that come after these, whatever these find."""
    before = now()
    yield
    before.restore()


@pytest.mark.parametrize("name", plugins.SETS)
def test_everything_that_is_set_is_put_back(name: str) -> None:
    before = plugins.facts()
    with contextlib.suppress(ValueError), put_back():
        plugins.SETS[name]()
        assert plugins.facts()[name] != before[name]  # or nothing is asked here
        raise ValueError("as it may")
    assert plugins.facts() == before


def test_a_folder_that_is_gone_is_left(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    os.chdir(place)
    with put_back():
        os.chdir(tmp_path)
        place.rmdir()
    assert Path.cwd() == tmp_path


def test_a_plugin_that_sets_everything_changes_no_other_cell(tmp_path: Path) -> None:
    found = []
    for hows in (("sets", "none"), ("none",)):
        folder = tmp_path / str(len(hows))
        folder.mkdir()
        record = run(plugins.job(folder, hows, executor=Serial()))
        assert {cell.status for cell in record.cells} == {"done"}
        cells = json.loads(store.to_json(record))["cells"]
        found.append([cell for cell in cells if cell["attack"] != "bad-sets"])
    assert found[0] == found[1]
