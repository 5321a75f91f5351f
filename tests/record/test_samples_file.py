"""samples.parquet: what is written is read again to the last value, and what a stranger wrote is refused in one
sentence."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import robusteval
from robusteval.errors import RecordError
from robusteval.record import samples_read, samples_table, store
from robusteval.record.layout import SAMPLES_FILE, changed, parts
from robusteval.record.per_sample import PerSample
from robusteval.record.run import COLUMNS_INSIDE, Record, Strength
from robusteval.record.witness_rows import WitnessRows
from tests.engine.test_findings import N
from tests.record.test_sanity_edges import whole

Table = Callable[[pa.Table], pa.Table]
ROOT = Path(__file__).parents[2]


def full() -> Record:
    """A record in which every column has entries somewhere."""
    record = whole()
    record.data.names = [f"{place}.png" for place in range(N)]
    cell = record.cells[1]
    cell.blind, cell.member = [0] * N, ["a", None] * (N // 2)
    cell.suspicion, cell.survives_8bit = [0.5, None] * (N // 2), [True, None] * (N // 2)
    cell.strengths.append(Strength(2.0, 0.5, 0.5, [False] * N, [1] * N))
    return record


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store.save(full(), tmp_path)
    return tmp_path


def refused(folder: Path) -> str:
    with pytest.raises(RecordError) as error:
        store.load(folder)
    assert error.value.hint
    assert "\n" not in error.value.message
    assert len(error.value.message) < 600
    return error.value.message


def mend(folder: Path, content: bytes) -> None:
    """Puts another table in the place of the run's, with its hash in the record, as a forger would."""
    (folder / SAMPLES_FILE).write_bytes(content)
    change(folder, lambda said: said.update(sha256=hashlib.sha256(content).hexdigest()))


def change(folder: Path, how: Callable[[dict[str, Any]], object]) -> None:
    """Changes what the record says of its table."""
    data = json.loads((folder / "record.json").read_text())
    how(data["per_sample"])
    (folder / "record.json").write_text(json.dumps(data))


def forged(folder: Path, how: Table, schema: pa.Schema | None = None) -> None:
    """Writes the whole table anew, each part changed, and mends its hash."""
    file = pq.ParquetFile(folder / SAMPLES_FILE)
    sink = io.BytesIO()
    tables = [how(file.read_row_group(index)) for index in range(file.num_row_groups)]
    with pq.ParquetWriter(sink, schema or tables[0].schema) as writer:
        for table in tables:
            writer.write_table(table, row_group_size=max(len(table), 1))
    mend(folder, sink.getvalue())


def test_what_is_saved_is_read_again(folder: Path) -> None:
    again = store.load(folder)
    assert store.to_json(again) == store.to_json(full())
    assert store.digest(again) == store.digest(full())
    assert isinstance(again.cells[1].distance, PerSample)
    assert isinstance(sure(again).entries, WitnessRows)
    assert sure(again).entries == sure(full()).entries
    assert list(reversed(sure(again).entries[:1])) == sure(full()).entries
    assert repr(sure(again).entries) == repr(sure(full()).entries)
    assert [column.name for column in samples_table.schema()] == list(again.samples().columns)


def sure(record: Record) -> Any:
    assert record.witnesses is not None
    return record.witnesses


def test_every_column_has_entries_in_this_record(folder: Path) -> None:
    table = pq.read_table(folder / SAMPLES_FILE)
    assert [name for name in table.column_names if table.column(name).null_count == len(table)] == []
    assert table.schema.equals(samples_table.schema())


def test_the_document_has_no_entry_a_sample(folder: Path) -> None:
    data = json.loads((folder / "record.json").read_text())
    assert data["schema"] == "robusteval-record-2"
    assert data["data"]["labels"] == data["cells"][1]["distance"] == data["witnesses"]["entries"] == []
    assert data["cells"][1]["strengths"][0]["prediction"] == []
    said = data["per_sample"]
    assert said["sha256"] == hashlib.sha256((folder / SAMPLES_FILE).read_bytes()).hexdigest()
    assert said["rows"] == sum(part["rows"] for part in said["parts"])
    assert [part["kind"] for part in said["parts"][:3]] == ["sample", "clean", "clean"]
    assert said["parts"][1]["of"] == "none"
    assert said["parts"][1]["columns"] == ["prediction", "class_prediction", "confidence"]
    assert said["parts"][0]["columns"] == ["label", "clean_l2", "file", "hash"]


def test_the_same_columns_give_the_same_bytes(folder: Path) -> None:
    first = (folder / SAMPLES_FILE).read_bytes()
    store.save(store.load(folder), folder)  # from arrays, where the first was from lists
    assert (folder / SAMPLES_FILE).read_bytes() == first
    assert store.to_json(store.load(folder)) == store.to_json(full())


def test_a_row_group_a_part(folder: Path) -> None:
    record, head = store.load(folder), pq.ParquetFile(folder / SAMPLES_FILE)
    assert record.per_sample is not None
    names = [(part.kind, part.of) for part in record.per_sample.parts]
    known = [(part.kind, part.of) for part in parts(record)]
    assert names == [name for name in known if name in names]
    assert [head.metadata.row_group(index).num_rows for index in range(head.num_row_groups)] == [
        part.rows for part in record.per_sample.parts
    ]


def test_a_digest_notices_every_column() -> None:
    honest = full()
    places: list[str] = []
    before = store.digest(honest)

    def noted(column: Any, _: Any, where: str) -> Any:
        if len(column):
            places.append(where)
        return column

    changed(honest, noted, list)
    assert len(places) > 30
    for place in places:

        def spoilt(column: Any, item: Any, where: str, place: str = place) -> Any:
            return [*column[:-1], other(column[-1], item.kind)] if where == place else column

        assert store.digest(changed(honest, spoilt, list)) != before, place
    moved = dataclasses.replace(sure(honest).entries[0], row=7)
    entries = changed(honest, lambda column, *_: column, lambda _: [moved])
    assert store.digest(entries) != before
    assert store.digest(changed(honest, lambda column, *_: column, lambda _: [])) != before
    none = changed(honest, lambda column, item, _: [] if item.name == "blind" else column, lambda entries: entries)
    assert store.digest(none) != before


def other(value: Any, kind: str) -> Any:
    """Another entry of the kind; where it is a row, another first one."""
    if isinstance(value, list):
        return [other(value[0], kind), *value[1:]]
    ways = {
        "number": lambda: 0.25 if value is None else value + 0.5,
        "whole": lambda: 1 - (value or 0),
        "truth": lambda: not value,
        "text": lambda: f"{value}x",
    }
    return ways[kind]()


def test_it_is_a_data_frame(folder: Path) -> None:
    frame = robusteval.load(folder).samples()
    record = full()
    mine = frame[(frame["kind"] == "attack") & (frame["cell"] == record.cells[1].id)]
    assert mine["distance"].tolist() == record.cells[1].distance
    assert mine["label"].tolist() == record.data.labels
    assert mine["attack"].unique().tolist() == [record.cells[1].attack]
    assert [None if value is pd.NA else value for value in mine["survives_8bit"]] == record.cells[1].survives_8bit
    assert mine["strength_prediction"].iloc[0].tolist() == [0, 1]
    clean = frame[(frame["kind"] == "clean") & (frame["defense"] == "none")]
    assert clean["prediction"].tolist() == record.pipelines[0].prediction
    assert frame[frame["kind"] == "sample"]["hash"].tolist() == record.data.hashes
    assert isinstance(frame["cell"].dtype, pd.CategoricalDtype)
    assert str(frame["prediction"].dtype) == "Int32"
    assert str(frame["forwards"].dtype) == "Int64"
    assert str(frame["survives_8bit"].dtype) == "boolean"
    assert len(robusteval.load(str(folder / "record.json")).samples()) == len(frame) == len(full().samples())


def test_without_pandas_it_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(RecordError, match="pandas is not installed") as error:
        full().samples()
    assert "robusteval[pandas]" in error.value.hint


def test_an_empty_record_has_an_empty_table(tmp_path: Path) -> None:
    record = full()
    record.data = dataclasses.replace(record.data, samples=0, labels=[], l2=[], names=[], hashes=[])
    record.pipelines, record.cells, record.probes, record.witnesses = [], [], [], None
    record.estimates, record.planted, record.searches, record.references, record.gallery = [], [], [], [], []
    store.save(record, tmp_path)
    assert store.load(tmp_path).data.labels == []
    assert len(record.samples()) == 0


# Older documents, and documents in one piece


def test_a_document_of_version_1_is_one_file_as_it_was(tmp_path: Path) -> None:
    record = dataclasses.replace(full(), schema=COLUMNS_INSIDE)
    store.save(record, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]
    text = (tmp_path / "record.json").read_text()
    assert "per_sample" not in json.loads(text)
    again = store.load(tmp_path)
    assert again.schema == COLUMNS_INSIDE
    assert store.to_json(again) == text
    assert store.digest(again) == store.digest(record) != store.digest(full())
    data = json.loads(text) | {"per_sample": None}
    (tmp_path / "record.json").write_text(json.dumps(data))
    with pytest.raises(RecordError, match="has no field 'per_sample'"):
        store.load(tmp_path)


def test_a_document_may_have_its_columns_inside(tmp_path: Path) -> None:
    text = store.to_json(full())
    assert json.loads(text)["per_sample"] is None
    (tmp_path / "mine.json").write_text(text)
    assert store.to_json(store.load(tmp_path / "mine.json")) == text
    (tmp_path / SAMPLES_FILE).write_bytes(b"")
    store.load(tmp_path / "mine.json")
    (tmp_path / "record.json").write_text(text)
    assert "is another record's" in refused(tmp_path)


def test_the_text_alone_is_no_record(folder: Path) -> None:
    with pytest.raises(RecordError, match=r"lie in a file beside it, samples\.parquet") as error:
        store.from_json((folder / "record.json").read_text())
    assert error.value.hint


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("data", "labels"), [0] * N), (("cells", 1, "distance"), [0.5] * N), (("pipelines", 0, "label"), [0]),
        (("cells", 1, "strengths", 0, "prediction"), [0]), (("probes", 0, "l2"), [0.5]),
        (("witnesses", "entries"), "the honest one"),
    ],
)  # fmt: skip
def test_columns_are_not_there_twice(folder: Path, place: tuple[Any, ...], value: Any) -> None:
    data = json.loads((folder / "record.json").read_text())
    whole_one = json.loads(store.to_json(full()))
    owner = functools.reduce(lambda part, step: part[step], place[:-1], data)
    owner[place[-1]] = whole_one["witnesses"]["entries"] if isinstance(value, str) else value
    (folder / "record.json").write_text(json.dumps(data))
    assert "twice" in refused(folder)


# What is not saved


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda record: record.cells[1].l2.pop(), r"cells\[1\]: its columns are of different lengths"),
        (lambda record: record.data.labels.extend([0]), "data: its columns are of different lengths"),
        (lambda record: setattr(record.data, "samples", N - 1), f"has {N} rows of {N - 1} samples"),
        (lambda record: record.cells[1].prediction.__setitem__(0, 2**31), "numbers beyond 32 bits"),
        (lambda record: record.cells[1].strengths[0].prediction.__setitem__(0, -(2**31) - 1), "numbers beyond 32 bits"),
        (lambda record: record.cells[1].strengths[0].fools_model.pop(), "fools_model is not as long as the samples"),
        (lambda record: record.cells[1].strengths[0].fools_model.__setitem__(0, None), "fools_model is not as long"),
        (lambda record: record.cells[1].by_target[0].pop(), "its rows are of different lengths"),
        (lambda record: record.cells[1].distance.__setitem__(0, "near"), "'near' is no number"),
        (lambda record: record.witnesses.entries[0].__setattr__("row", "x"), "'x' is no whole"),
    ],
)  # fmt: skip
def test_columns_that_no_table_holds_are_not_saved(tmp_path: Path, spoil: Callable[[Any], object], said: str) -> None:
    record = full()
    spoil(record)
    with pytest.raises(RecordError, match=said):
        store.save(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_strength_without_scores_beside_one_with(tmp_path: Path) -> None:
    record = full()
    record.cells[1].strengths[1].suspicion = [0.5] * N
    store.save(record, tmp_path)
    again = store.load(tmp_path).cells[1].strengths
    assert again[0].suspicion == []
    assert again[1].suspicion == [0.5] * N


# What a stranger wrote


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
    "rows moved": (
        lambda said: (said["parts"][1].update(rows=N - 1), said["parts"][2].update(rows=N + 1)), "its part 1 has"
    ),
    "no rows": (lambda said: (said["parts"][1].update(rows=0), said["parts"][2].update(rows=2 * N)), "its part 1 has"),
    "a part less": (lambda said: said["parts"].pop(), "not those of the record's parts"),
    "parts in another order": (lambda said: said["parts"].insert(1, said["parts"].pop(2)), "defense is not 'd'"),
    "another kind": (lambda said: said["parts"][1].update(kind="probe"), "goes with nothing"),
    "of another": (lambda said: said["parts"][1].update(of="x"), "goes with nothing"),
    "a column less": (lambda said: said["parts"][1]["columns"].pop(), "has entries in confidence"),
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


def put(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    place = table.schema.get_field_index(name)
    return table.set_column(place, table.schema.field(place), values.cast(table.schema.field(place).type))


def of_kind(kind: str, how: Table) -> Table:
    """Changes the first rows of one kind only: those of a part."""

    def made(table: pa.Table) -> pa.Table:
        return how(table) if table.column("kind")[0].as_py() == kind else table

    return made


def filled(name: str, value: object) -> Table:
    return lambda table: put(table, name, pa.array([value] * len(table), _plain(table, name)))


def first(name: str, value: object) -> Table:
    def made(table: pa.Table) -> pa.Table:
        values = table.column(name).to_pylist()
        return put(table, name, pa.array([value, *values[1:]], _plain(table, name)))

    return made


def _plain(table: pa.Table, name: str) -> pa.DataType:
    kind = table.schema.field(name).type
    return kind.value_type if pa.types.is_dictionary(kind) else kind


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
    "no sample": (of_kind("attack", first("sample", None)), "lacks entries"),
    "another label": (of_kind("attack", first("label", 9)), "the labels of its part 3 are not those of its samples"),
    "a label less": (of_kind("sample", first("label", None)), "label lacks entries"),
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
        ("strength_prediction", [1], "rows of different lengths"), ("strength_prediction", [1, None], "lacks entries"),
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
    [("MAX_FILE", "is larger than"), ("MAX_ROWS", "are more than"), ("MAX_DECODED", "it would take")],
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


def test_the_documentation_names_every_column() -> None:
    text = (ROOT / "docs" / "document.md").read_text(encoding="utf-8")
    for column in samples_table.schema():
        assert f"| `{column.name}` | " in text


def test_nothing_of_the_record_is_shared_with_what_is_saved(folder: Path) -> None:
    record = full()
    made = changed(record, lambda *_: [], list)
    assert record.cells[1].distance
    assert made.cells[1].distance == []
    assert cast("Any", made.results) is record.results


def test_the_example_for_pandas_counts_right(folder: Path) -> None:
    text = (ROOT / "docs" / "document.md").read_text(encoding="utf-8")
    (code,) = [block.split("```")[0] for block in text.split("```python\n")[1:] if "read_parquet" in block]
    lines = (
        code.replace("RUN/samples.parquet", str(folder / SAMPLES_FILE)).replace('"linf"', '"l2"').strip().split("\n")
    )
    names: dict[str, Any] = {}
    exec("\n".join(lines[:-1]), names)  # noqa: S102 - our own documentation
    found = eval(lines[-1], names)  # noqa: S307 - the same
    record = full()
    expected = {
        cell.attack: np.mean([value is None or value > 8 / 255 for value in cell.distance])
        for cell in record.done(norm="l2", defense="none")
    }
    assert found.to_dict() == pytest.approx(expected)
