"""Writing samples.parquet: how it is packed, and each refusal to the letter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.measured import samples_table
from robusteval.record.measured.layout import ABOUT, SAMPLES_FILE
from tests.engine.test_findings import N
from tests.record.tables import full
from tests.record.test_sanity_edges import whole

PLAIN = (
    "prediction", "class_prediction", "forwards", "backwards", "blind", "member", "file", "hash", "tensor", "row",
    "sha256",
)  # fmt: skip


def test_what_a_reader_sees_of_how_it_is_packed(folder: Path) -> None:
    head = pq.read_metadata(folder / SAMPLES_FILE)
    assert head.format_version == "2.6"
    counted, small = set(), set()
    for index in range(head.num_row_groups):
        group = head.row_group(index)
        columns = [group.column(place) for place in range(group.num_columns)]
        assert {column.compression for column in columns} == {"ZSTD"}
        counted |= {column.path_in_schema for column in columns if column.is_stats_set}
        small |= {column.path_in_schema for column in columns if column.has_dictionary_page}
    assert counted == {*ABOUT, "sample", "distance"}
    assert small == {*ABOUT, "label", *PLAIN}


def test_what_it_is_written_with(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be seen in a small file."""
    given: list[dict[str, Any]] = []
    sizes: list[tuple[int, int]] = []

    class Writer(pq.ParquetWriter):  # type: ignore[misc]
        def __init__(self, *names: Any, **options: Any) -> None:
            given.append(options)
            super().__init__(*names, **options)

        def write_table(self, table: pa.Table, row_group_size: int = -1) -> None:
            sizes.append((row_group_size, len(table)))
            super().write_table(table, row_group_size)

    monkeypatch.setattr(pq, "ParquetWriter", Writer)
    samples_table.written(full())
    (options,) = given
    plain = {"version": "2.6", "compression": "zstd", "compression_level": 3, "data_page_version": "1.0"}
    assert plain.items() <= options.items()
    assert len(sizes) > 5
    assert all(size == rows for size, rows in sizes)


def test_texts_that_hardly_come_twice_are_plain_in_the_file() -> None:
    for name, kind in (("hash", pa.string()), ("cell", pa.dictionary(pa.int32(), pa.string()))):
        assert samples_table.schema().field(name).type == kind
        assert samples_table.schema(dictionaries=True).field(name).type == pa.dictionary(pa.int32(), pa.string())


SPOILT: dict[str, tuple[Callable[[Any], object], str]] = {
    "labels": (lambda record: record.data.labels.__setitem__(0, "x"), "data.labels: 'x' is no whole."),
    "a column": (
        lambda record: record.cells[1].distance.__setitem__(0, "near"), "cells[1].distance: 'near' is no number."
    ),
    "a strength": (
        lambda record: record.cells[1].strengths[1].prediction.__setitem__(0, "x"),
        "cells[1].strengths[1].prediction: 'x' is no whole.",
    ),
    "strengths": (
        lambda record: record.cells[1].strengths[0].fools_model.pop(),
        "cells[1].strengths: fools_model is not as long as the samples.",
    ),
    "a witness": (
        lambda record: setattr(record.witnesses.entries[0], "distance", "near"),
        "witnesses.entries.distance: 'near' is no number.",
    ),
    "too large": (
        lambda record: record.cells[1].prediction.__setitem__(0, 2**31),
        "cells[1].prediction: it has numbers beyond 32 bits.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILT)
def test_what_no_table_holds_is_named_by_its_place(tmp_path: Path, name: str) -> None:
    spoil, said = SPOILT[name]
    record = full()
    spoil(record)
    for write in (lambda: store.save(record, tmp_path), record.samples):
        with pytest.raises(RecordError) as error:
            write()
        assert error.value.message.startswith(
            ("The record makes no sense at ", "The record does not fit its schema at ")
        )
        assert error.value.message.endswith(f" at {said}")


def test_a_part_has_no_more_numbers_than_its_lists_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert samples_table._MOST == 2**31 - 1
    monkeypatch.setattr(samples_table, "_MOST", 2 * N)
    samples_table.written(full())
    monkeypatch.setattr(samples_table, "_MOST", 2 * N - 1)
    with pytest.raises(RecordError) as error:
        samples_table.written(full())
    said = f"cells[1].by_target: it has more than {2 * N - 1} numbers."
    assert error.value.message == f"The record makes no sense at {said}"


def test_a_column_of_texts_of_which_none_is_there(tmp_path: Path) -> None:
    store.save(whole(), tmp_path)
    assert store.load(tmp_path).cells[1].member == [None] * N
    assert pq.read_table(tmp_path / SAMPLES_FILE).schema.equals(samples_table.schema())
