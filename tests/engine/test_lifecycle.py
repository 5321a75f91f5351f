"""Listeners are told of a run once and in order, and cost nothing: not even where they break."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, ClassVar

import pytest

from robusteval.api import CellFinished, ListenerInfo, Record, RunStarted
from robusteval.engine.catalogue.catalogue import Catalogue, Entry
from robusteval.engine.run.runner import run
from robusteval.engine.schedule.schedule import Progress
from tests.engine import toys
from tests.engine.test_runner import make_job

heard: list[Any] = []


class Ear:
    info: ClassVar[ListenerInfo] = ListenerInfo("test.ear", "1", "Hears.")

    def run_started(self, run: RunStarted) -> None:
        heard.append(run)

    def cell_finished(self, cell: CellFinished) -> None:
        heard.append(cell)

    def run_finished(self, record: Record) -> None:
        record.cells.clear()
        heard.append(record.verdict)


class Deaf(Ear):
    info: ClassVar[ListenerInfo] = ListenerInfo("test.deaf", "1", "Breaks.")

    def cell_finished(self, cell: CellFinished) -> None:
        raise SystemExit(3)


class Silent:
    """Has none of the methods."""

    info: ClassVar[ListenerInfo] = ListenerInfo("test.silent", "1", "Nothing.")


@pytest.fixture
def listening(tmp_path: Path) -> Any:
    """A job with these listeners installed."""
    heard.clear()

    def made(*kinds: Any) -> Any:
        job = make_job(tmp_path, toys.SUITE)
        rows = [Entry("listener", kind.info.name, "1", "test", "t", kind) for kind in kinds]
        return dataclasses.replace(job, catalogue=Catalogue((*job.catalogue.entries, *rows)))

    return made


def test_a_run_is_told_from_beginning_to_end(listening: Any) -> None:
    job = listening(Ear, Silent)
    record = run(job)
    begun, *cells, verdict = heard
    assert isinstance(begun, RunStarted)
    assert (begun.folder, begun.samples) == (str(job.folder), record.data.samples)
    assert {cell.cell for cell in cells} == set(begun.cells) == {cell.id for cell in record.cells}
    assert len(cells) == len(begun.cells)
    assert {cell.cell for cell in cells if cell.error} == {cell.id for cell in record.cells if cell.status == "failed"}
    assert verdict == record.verdict
    assert record.cells, "a listener changed the record"
    heard.clear()
    run(job)  # taken up: all was done before
    assert [type(event).__name__ for event in heard] == ["RunStarted", "Verdict"]


def test_what_a_listener_raises_is_a_line(listening: Any) -> None:
    notes: list[str] = []
    record = run(listening(Deaf), lambda progress: notes.append(progress.note))
    said = [note for note in notes if "test.deaf" in note]
    assert len(said) == len(record.cells)
    assert "SystemExit" in said[0]
    assert all(cell.status == "done" for cell in record.cells)


def test_a_listener_that_cannot_be_made_is_a_line(listening: Any) -> None:
    class Needy(Silent):
        def __init__(self, what: str) -> None:
            self.what = what

    notes: list[str] = []

    def note(progress: Progress) -> None:
        notes.append(progress.note)

    run(listening(Needy), note)
    assert any("test.silent failed: TypeError" in text for text in notes)
