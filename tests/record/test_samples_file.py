"""samples.parquet: what is written is read again to the last value."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import robusteval
from robusteval.errors import RecordError
from robusteval.evaluation import EvaluatedRecord
from robusteval.record import store
from robusteval.record.measured import samples_table
from robusteval.record.measured.layout import SAMPLES_FILE, changed, parts
from robusteval.record.measured.per_sample import PerSample
from robusteval.record.measured.witness_rows import WitnessRows
from robusteval.record.run import COLUMNS_INSIDE, Record
from tests.engine.test_findings import N
from tests.record.tables import HINTS, full, refused

ROOT = Path(__file__).parents[2]


def sure(record: Record) -> Any:
    assert record.witnesses is not None
    return record.witnesses


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
    ways: dict[str, Callable[[], Any]] = {
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


def test_an_evaluated_record_is_saved_as_a_folder_or_as_one_file(tmp_path: Path) -> None:
    record = full()
    made = EvaluatedRecord(**{item.name: getattr(record, item.name) for item in dataclasses.fields(record)})
    assert made.save(tmp_path / "run") == tmp_path / "run" / "record.json"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["record.json", SAMPLES_FILE]
    assert made.save(tmp_path / "one.json") == tmp_path / "one.json"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.json", "run"]
    for path in (tmp_path / "run", tmp_path / "one.json"):
        assert store.to_json(robusteval.load(path)) == store.to_json(record)
    assert len(made.samples()) == len(record.samples())


def test_the_text_alone_is_no_record(folder: Path) -> None:
    data = json.loads((folder / "record.json").read_text())
    data["per_sample"]["file"] = "n" * 200
    with pytest.raises(RecordError) as error:
        store.from_json(json.dumps(data))
    assert error.value.message == f"The columns of this record lie in a file beside it, {'n' * 80}."
    assert error.value.hint == HINTS[0]


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
