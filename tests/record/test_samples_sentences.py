"""Reading samples.parquet: each limit at its edge, and each refusal to the letter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.measured import samples_read, samples_table
from robusteval.record.measured.layout import OF_STRENGTH, SAMPLES_FILE, Field
from robusteval.record.measured.samples_file import SamplesFile, SamplesPart
from robusteval.record.run import Record, Strength
from tests.engine.test_findings import N
from tests.record.tables import HINTS, change, forged, full, put, refused
from tests.record.test_sanity_edges import whole

NOT_ITS_OWN = "samples.parquet does not go with its record: "


def read_back(record: Record, folder: Path) -> Any:
    """The record as it is saved and read, whether it makes sense or not."""
    store.save(record, folder)
    again = store._decoded((folder / "record.json").read_text())
    samples_read.fill(again, folder)
    return again


def test_a_long_name_is_cut(folder: Path) -> None:
    change(folder, lambda said: said.update(file="n" * 200))
    assert refused(folder) == f"{NOT_ITS_OWN}per_sample.file is '{'n' * 80}', which is not its name."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("two\n  lines, " + "x" * 300), "two lines, " + "x" * 189), (MemoryError(), "MemoryError"),
        (KeyError("a"), "'a'"), (pa.ArrowInvalid("no page"), "no page"),
    ],
)  # fmt: skip
def test_what_the_reader_says_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(pq, "ParquetFile", fail)
    assert refused(folder) == f"Cannot read {folder / SAMPLES_FILE}: {said}."


def test_what_cannot_be_read_is_said_in_words(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / SAMPLES_FILE
    size = path.stat().st_size
    monkeypatch.setattr(samples_read, "MAX_FILE", size - 1)
    assert refused(folder) == f"Cannot read {path}: it has {size:,} bytes, more than the limit of {size - 1:,}."

    def fail(*_: object, **__: object) -> bytes:
        raise OSError(5, "Input/output error", "x")

    monkeypatch.setattr(samples_read, "read_plain", fail)
    assert refused(folder) == f"Cannot read {path}: Input/output error."


def test_a_link_is_not_followed(folder: Path) -> None:
    path = folder / SAMPLES_FILE
    path.rename(folder / "other")
    path.symlink_to(folder / "other")
    assert refused(folder) == f"Cannot read {path}: it is a link."


# What the file states of itself, before anything is decoded


def head(values: int = 1, name: str = "distance", size: int = 0, classes: int = 1) -> tuple[Any, SamplesFile, Any]:
    """A file with one part of one row in one column, as pyarrow tells it, and what a record says of it."""
    column = SimpleNamespace(num_values=values, path_in_schema=name, total_uncompressed_size=size)
    group = SimpleNamespace(num_rows=1, num_columns=1, column=lambda _: column)
    facts = SimpleNamespace(num_rows=1, num_row_groups=1, row_group=lambda _: group)
    file = SimpleNamespace(metadata=facts, schema_arrow=samples_table.schema(dictionaries=True))
    record = SimpleNamespace(model=SimpleNamespace(classes=classes), cells=[], probes=[])
    return file, SamplesFile(SAMPLES_FILE, "", 1, [SamplesPart("sample", "", 1, ["label"])]), record


LONG = "by_target.list." + "e" * 40
MANY = f"{NOT_ITS_OWN}its part 0 has"


@pytest.mark.parametrize(
    ("allowed", "more", "said"),
    [
        ({"values": 1}, {"values": 2}, f"{MANY} 2 values of distance."),
        ({"values": 1, "classes": 9}, {"values": 2, "classes": 9}, f"{MANY} 2 values of distance."),
        ({"values": 1, "name": LONG}, {"values": 2, "name": LONG}, f"{MANY} 2 values of {LONG[:40]}."),
        (
            {"values": 1, "name": LONG, "classes": 0}, {"values": 2, "name": LONG, "classes": 0},
            f"{MANY} 2 values of {LONG[:40]}.",
        ),
        (
            {"values": 9, "name": LONG, "classes": 9}, {"values": 10, "name": LONG, "classes": 9},
            f"{MANY} 10 values of {LONG[:40]}.",
        ),
        ({"size": 8 << 30}, {"size": (8 << 30) + 1}, f"{NOT_ITS_OWN}it would take 8192 MiB."),
    ],
)  # fmt: skip
def test_each_limit_at_its_edge(allowed: dict[str, Any], more: dict[str, Any], said: str) -> None:
    samples_read._check_head(*head(**allowed))
    with pytest.raises(RecordError) as error:
        samples_read._check_head(*head(**more))
    assert error.value.message == said


@pytest.mark.parametrize("rows", [0, -1])
def test_a_part_without_rows_is_none(rows: int) -> None:
    file, said, record = head()
    file.metadata.num_rows = file.metadata.row_group(0).num_rows = rows
    said.rows = said.parts[0].rows = rows
    with pytest.raises(RecordError) as error:
        samples_read._check_head(file, said, record)
    assert error.value.message in (f"{MANY} {rows} rows, not {rows}.", f"{NOT_ITS_OWN}-1 rows are more than 20000000.")


# Columns


def texts(*words: str | None) -> pa.ChunkedArray:
    """A row each, all with words of their own."""
    places = pa.array(range(len(words)), pa.int32())
    return pa.chunked_array([pa.DictionaryArray.from_arrays(places, pa.array(words, pa.string()))])


NO_TEXT = "here holds something that is no text."
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a word that is none": (
        lambda: samples_read._column(pa.table({"member": texts(None)}), Field("x", "member", "text", True), "here"),
        NO_TEXT,
    ),
    "the word of all rows is none": (lambda: samples_read._same(texts("a", None), "a", "here"), NO_TEXT),
    "another word": (lambda: samples_read._same(texts("b"), "n" * 200, "x"), f"x is not '{'n' * 80}' in all rows."),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_texts_are_refused_to_the_letter(name: str) -> None:
    how, said = REFUSED[name]
    with pytest.raises(RecordError) as error:
        how()
    assert error.value.message == NOT_ITS_OWN + said
    assert error.value.hint == HINTS[0]


@pytest.mark.parametrize(
    ("values", "kind", "found"), [([True, None], np.bool_, [True, False]), ([7, None], np.int64, [7, 0])]
)
def test_where_there_is_no_entry_stands_zero(values: list[Any], kind: Any, found: list[Any]) -> None:
    array, known = samples_read._flat(pa.array(values), kind)
    assert (array.tolist(), known.tolist(), array.dtype) == (found, [True, False], np.dtype(kind))
    array, known = samples_read._flat(pa.array(values[:1]), kind)
    assert (array.tolist(), known, array.dtype) == (found[:1], None, np.dtype(kind))


@pytest.mark.parametrize("name", ["strength_prediction", "strength_fools_model"])
def test_rows_of_strengths_are_as_long_as_there_are_strengths(folder: Path, name: str) -> None:
    def made(table: pa.Table) -> pa.Table:
        if table.column("cell")[0].as_py() != full().cells[1].id:
            return table
        return put(table, name, pa.array([[1]] * N))

    forged(folder, made)
    assert refused(folder) == f"{NOT_ITS_OWN}its part 4, {name} has rows of different lengths."


@pytest.mark.parametrize("name", [item.name for item in OF_STRENGTH])
def test_any_column_of_strengths_may_be_missing(tmp_path: Path, name: str) -> None:
    record = full()
    for row in record.cells[1].strengths:
        row.suspicion = [0.5] * N
        setattr(row, name, [])
    again = read_back(record, tmp_path).cells[1].strengths
    assert again == record.cells[1].strengths


def test_a_part_of_one_row(tmp_path: Path) -> None:
    record = whole()
    strengths = [Strength(1.0, 0.5, 0.5, [True], [0], [0.5]), Strength(2.0, 0.5, 0.5, [False], [1], [])]
    record.probes[0] = dataclasses.replace(
        record.probes[0], distance=[0.1], l2=[0.1], by_target=[[0.0, None]], forwards=[1], backwards=[1],
        strengths=strengths,
    )  # fmt: skip
    again = read_back(record, tmp_path)
    assert again.probes == record.probes
    store.load(tmp_path)
