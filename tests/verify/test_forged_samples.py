"""Every column of samples.parquet, changed as a forger would, who mends the hash in the record: noticed, or listed as
out of scope, as when the columns lay in the document."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest

from robusteval.errors import RobustEvalError
from robusteval.record import store
from robusteval.record.measured.layout import SAMPLES_FILE, changed
from robusteval.record.measured.per_sample import packed
from robusteval.record.measured.samples_table import entry_columns
from robusteval.record.measured.witness_rows import WitnessRows
from robusteval.record.run import Record
from robusteval.verify.alone import main
from robusteval.verify.run import check
from tests.verify.mutations import changes, named
from tests.verify.runs import CNN, Honest
from tests.verify.test_tampering import listed


def faults(honest: Honest, folder: Path) -> list[str]:
    """What is wrong with the run in a folder."""
    try:
        return check(store.load(folder), honest.evidence, honest.metrics, honest.shipped).failures
    except RobustEvalError as error:
        return [error.message]


def columns(honest: Honest) -> dict[str, str]:
    """A place of each kind of column that has entries, by the kind."""
    found: dict[str, str] = {}

    def note(column: Any, _: Any, where: str) -> Any:
        steps = [int(step) if step.isdigit() else step for step in re.findall(r"[^.\[\]]+", where)]
        if len(column):
            found.setdefault(f"{named(honest.data, tuple(steps))}[*]", where)
        return column

    changed(store.load(honest.folder), note, lambda entries: entries)
    return found


def spoilt(record: Record, place: str, number: int) -> Record | None:
    """The record with one entry of a column changed in its number-th way; None where there is no such way."""
    enough = [False]

    def spoil(column: Any, item: Any, where: str) -> Any:
        if where != place:
            return column
        values = list(column)
        at = next((at for at, value in enumerate(values) if value is not None), 0)
        ways = [value for _, value in changes(values[at][0] if item.nested else values[at]) if value is not None]
        if number < len(ways):
            enough[0] = True
            values[at] = [ways[number], *values[at][1:]] if item.nested else ways[number]
        return values

    made = changed(record, spoil, lambda entries: entries)
    return made if enough[0] else None


def test_every_column(honest: Honest, tmp_path: Path) -> None:
    assert faults(honest, honest.folder) == []
    every = columns(honest)
    assert len(every) > 25
    missed = []
    for kind, place in every.items():
        if listed(kind, "one entry") or listed(kind.removesuffix("[*]"), "one entry"):
            continue
        for number in range(2):
            made = spoilt(store.load(honest.folder), place, number)
            if made is None:
                continue
            store.save(made, tmp_path)
            if not faults(honest, tmp_path):
                missed.append(f"{place}, way {number}")
    assert missed == []


def instead(new: WitnessRows, _: object) -> WitnessRows:
    return new


def test_every_column_of_the_witnesses(honest: Honest, tmp_path: Path) -> None:
    record = store.load(honest.folder)
    assert record.witnesses is not None
    kept = entry_columns(record.witnesses.entries)
    for name, column in kept.items():
        for _, value in changes(column[0]):
            if value is None:
                continue
            other = packed([value, *column[1:]], "text" if column.words else "number", "")
            if column.words is None and name != "distance":
                other = packed([int(value), *column[1:]], "whole", "")
            new = WitnessRows(kept | {name: other})
            made = changed(record, lambda item, *_: item, functools.partial(instead, new))
            store.save(made, tmp_path)
            assert faults(honest, tmp_path), name


@pytest.mark.parametrize("how", ["a byte", "gone", "forged"])
def test_by_the_command_line(folder: Path, capsys: pytest.CaptureFixture[str], how: str) -> None:
    path = folder / SAMPLES_FILE
    if how == "gone":
        path.unlink()
    elif how == "a byte":
        content = bytearray(path.read_bytes())
        content[len(content) // 3] ^= 1
        path.write_bytes(content)
    else:
        made = spoilt(store.load(folder), "cells[0].distance", 0)
        assert made is not None
        store.save(made, folder)
    code = main([str(folder), "--model", str(CNN)])
    screen = capsys.readouterr()
    if how == "forged":
        assert code == 1
        assert "its distance is" in screen.out
        assert "it was made from another record than record.json" in screen.out
    else:
        assert code == 2
        assert screen.err.startswith("Error: ")
        assert SAMPLES_FILE in screen.err
        assert len(screen.err.splitlines()) == 2
