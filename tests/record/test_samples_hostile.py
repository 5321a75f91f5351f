"""samples.parquet from a stranger: refused in one sentence, before anything large is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.measured import samples_read
from robusteval.record.measured.layout import SAMPLES_FILE
from tests.engine.test_findings import N
from tests.record.tables import Table, change, filled, first, forged, full, mend, of_kind, put, refused


def test_no_table_is_one_sentence(folder: Path) -> None:
    (folder / SAMPLES_FILE).unlink()
    assert "there is no such file beside it" in refused(folder)
    (folder / SAMPLES_FILE).mkdir()
    assert "there is no such file beside it" in refused(folder)


def test_another_table_is_one_sentence(folder: Path) -> None:
    content = bytearray((folder / SAMPLES_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / SAMPLES_FILE).write_bytes(content)
    assert "its SHA-256 is not the one that the record says" in refused(folder)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"x" * 1000])
def test_what_is_no_table_is_one_sentence(folder: Path, content: bytes) -> None:
    mend(folder, content)
    assert f"Cannot read {folder / SAMPLES_FILE}" in refused(folder)


def test_bytes_that_were_changed_and_the_hash_mended(folder: Path) -> None:
    """Whatever became of the bytes, it ends in one sentence or in the values."""
    honest = (folder / SAMPLES_FILE).read_bytes()
    rng = np.random.default_rng(0)
    caught = 0
    for _ in range(60):
        content = bytearray(honest)
        for place in rng.integers(len(content), size=rng.integers(1, 4)):
            content[place] ^= int(rng.integers(1, 256))
        mend(folder, bytes(content))
        caught += sentence(folder)
    assert caught > 20
    mend(folder, honest[: len(honest) // 2])
    refused(folder)


def sentence(folder: Path) -> bool:
    """Whether reading the run ends in a sentence; anything else that is raised is a fault."""
    try:
        store.load(folder)
    except RecordError:
        return True
    return False


SAID: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another name": (lambda said: said.update(file="../x.parquet"), "is not its name"),
    "rows more": (lambda said: said.update(rows=said["rows"] + 1), "not those of the record's parts"),
    "a part's rows more": (lambda said: said["parts"][1].update(rows=N + 1), "not those of the record's parts"),
    "a part's rows more, and all rows": (
        lambda said: (said.update(rows=said["rows"] + 1), said["parts"][1].update(rows=N + 1)), "not those of the"
    ),
    "rows moved": (
        lambda said: (said["parts"][1].update(rows=N - 1), said["parts"][2].update(rows=N + 1)),
        f"its part 1 has {N} rows, not {N - 1}.",
    ),
    "no rows": (lambda said: (said["parts"][1].update(rows=0), said["parts"][2].update(rows=2 * N)), "its part 1 has"),
    "a part less": (lambda said: said["parts"].pop(), "not those of the record's parts"),
    "parts in another order": (lambda said: said["parts"].insert(1, said["parts"].pop(2)), "defense is not 'd'"),
    "another kind": (lambda said: said["parts"][1].update(kind="probe"), "parts[1] goes with nothing"),
    "of another": (lambda said: said["parts"][1].update(of="x"), "parts[1] goes with nothing"),
    "a column less": (lambda said: said["parts"][1]["columns"].pop(), "has entries in confidence"),
    "no column": (lambda said: said["parts"][1].update(columns=[]), "not columns of its kind"),
    "a column more": (lambda said: said["parts"][1]["columns"].append("certified_l2"), "lacks entries"),
    "a column of another kind": (lambda said: said["parts"][1]["columns"].insert(0, "distance"), "not columns of its"),
    "columns in another order": (lambda said: said["parts"][1]["columns"].reverse(), "not columns of its kind"),
    "a column twice": (lambda said: said["parts"][1]["columns"].insert(0, "prediction"), "not columns of its kind"),
    "a column that is none": (lambda said: said["parts"][1]["columns"].append("x"), "not columns of its kind"),
    "a witness's column less": (lambda said: said["parts"][-1]["columns"].pop(), "not columns of its kind"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAID)
def test_what_the_document_says_of_the_table_is_checked(folder: Path, name: str) -> None:
    how, said = SAID[name]
    change(folder, how)
    assert said in refused(folder)


FORGED: dict[str, tuple[Table, str]] = {
    "another kind": (of_kind("clean", filled("kind", "attack")), "kind is not 'clean' in all rows"),
    "another kind in one row": (of_kind("clean", first("kind", "attack")), "kind is not 'clean' in all rows"),
    "another cell": (of_kind("attack", filled("cell", "x")), "cell is not "),
    "another attack": (of_kind("attack", first("attack", "x")), "attack is not "),
    "another defence": (of_kind("clean", filled("defense", "x")), "defense is not "),
    "another norm": (of_kind("attack", filled("norm", "l1")), "norm is not "),
    "another knowledge": (of_kind("attack", filled("knowledge", "adaptive")), "knowledge is not "),
    "no cell": (of_kind("attack", first("cell", None)), "cell is not "),
    "a cell where there is none": (of_kind("clean", first("cell", "x")), "cell is of something else"),
    "an attack of a witness": (of_kind("witness", first("attack", "x")), "attack is of something else"),
    "another sample": (of_kind("attack", first("sample", 1)), "not each there once"),
    "no sample": (of_kind("attack", first("sample", None)), "its part 3, sample lacks entries"),
    "another label": (of_kind("attack", first("label", 9)), "the labels of its part 3 are not those of its samples"),
    "a label less": (of_kind("sample", first("label", None)), "label lacks entries"),
    "no label": (of_kind("clean", first("label", None)), "its part 1, label lacks entries"),
    "a column that is not said": (of_kind("clean", first("certified_l2", 0.5)), "has entries in certified_l2"),
    "a text that is not said": (of_kind("attack", first("hash", "x")), "has entries in hash"),
    "not a number": (of_kind("attack", first("distance", float("nan"))), "holds a number that is not finite"),
    "infinite": (of_kind("clean", first("confidence", float("inf"))), "holds a number that is not finite"),
    "an answer less": (of_kind("clean", first("prediction", None)), "prediction lacks entries"),
    "a hash less": (of_kind("sample", first("hash", None)), "hash lacks entries"),
    "a pass less": (of_kind("attack", first("forwards", None)), "forwards lacks entries"),
    "a tensor less": (of_kind("witness", first("tensor", None)), "tensor lacks entries"),
    "a class too many": (of_kind("sample", first("label", 9)), "the labels of its part 1 are not those of its samples"),
    "a distance below 0": (of_kind("probe", first("distance", -1.0)), "is less than 0"),
    "a witness of no sample": (of_kind("witness", first("sample", N)), f"there is no sample {N}"),
    "a row below 0": (of_kind("witness", first("row", -1)), "-1 is less than 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_what_the_table_says_is_checked(folder: Path, name: str) -> None:
    how, said = FORGED[name]
    forged(folder, how)
    assert said in refused(folder)


def test_an_untouched_table_written_anew_is_read(folder: Path) -> None:
    forged(folder, lambda table: table)
    assert store.to_json(store.load(folder)) == store.to_json(full())


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("by_target", [0.1], "rows of different lengths"), ("by_target", None, "lacks entries"),
        ("by_target", [0.1] * 50, "values of by_target"),
        ("strength_prediction", [1], "its part 4, strength_prediction has rows of different lengths"),
        ("strength_prediction", [1, None], "its part 4 lacks entries in strength_prediction"),
        ("strength_fools_model", [True] * 3, "values of strength_fools_model"),
    ],
)  # fmt: skip
def test_rows_of_entries_are_checked(folder: Path, name: str, row: list[Any] | None, said: str) -> None:
    def made(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        if values[0] is None or table.column("cell")[0].as_py() != full().cells[1].id:
            return table
        many = values if row is not None and len(row) < 50 else [row] * len(values)
        return put(table, name, pa.array([row, *many[1:]], table.schema.field(name).type))

    forged(folder, made)
    assert said in refused(folder)


@pytest.mark.parametrize("how", ["a column less", "a column more", "another type", "another order", "no words"])
def test_other_columns_are_refused(folder: Path, how: str) -> None:
    def made(table: pa.Table) -> pa.Table:
        place = table.schema.get_field_index("distance")
        if how == "a column less":
            return table.drop_columns(["member"])
        if how == "a column more":
            return table.append_column("more", pa.nulls(len(table), pa.int32()))
        if how == "another order":
            return table.select(list(reversed(table.column_names)))
        name, kind = ("distance", pa.float32()) if how == "another type" else ("sample", pa.string())
        place = table.schema.get_field_index(name)
        return table.set_column(place, name, pc.cast(table.column(name), kind))

    forged(folder, made)
    assert ("its columns are of other types" if how in ("another type", "no words") else "other columns") in refused(
        folder
    )


@pytest.mark.parametrize(
    ("name", "said"),
    [("MAX_FILE", "more than the limit of"), ("MAX_ROWS", "are more than"), ("MAX_DECODED", "it would take")],
)
def test_what_is_too_large_is_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, said: str) -> None:
    head = pq.ParquetFile(folder / SAMPLES_FILE).metadata
    groups = [head.row_group(index) for index in range(head.num_row_groups)]
    decoded = sum(group.column(place).total_uncompressed_size for group in groups for place in range(group.num_columns))
    largest = {"MAX_FILE": (folder / SAMPLES_FILE).stat().st_size, "MAX_ROWS": head.num_rows, "MAX_DECODED": decoded}
    monkeypatch.setattr(samples_read, name, largest[name])
    store.load(folder)
    monkeypatch.setattr(samples_read, name, largest[name] - 1)
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_, **__: pytest.fail("it was decoded"))
    assert said in refused(folder)


def test_columns_longer_than_the_samples_are_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.loads((folder / "record.json").read_text())
    data["data"]["samples"] = N - 1
    (folder / "record.json").write_text(json.dumps(data))
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", lambda *_, **__: pytest.fail("it was decoded"))
    assert f"has {N} rows of {N - 1} samples" in refused(folder)


def test_a_record_with_columns_inside_needs_no_table(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="columns inside"):
        samples_read.fill(full(), tmp_path)
