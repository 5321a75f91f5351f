"""A run's folder with a table in which every column has entries, and ways to forge it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.measured.layout import SAMPLES_FILE
from robusteval.record.run import Record, Strength
from tests.engine.test_findings import N
from tests.record.test_sanity_edges import whole

HINTS = (
    "Keep record.json and samples.parquet of a run together, as the run wrote them.",
    "It was changed after the run, or not written by robusteval.",
)
Table = Callable[[pa.Table], pa.Table]


def full() -> Record:
    """A record in which every column has entries somewhere."""
    record = whole()
    record.data.names = [f"{place}.png" for place in range(N)]
    cell = record.cells[1]
    cell.blind, cell.member = [0] * N, ["a", None] * (N // 2)
    cell.suspicion, cell.survives_8bit = [0.5, None] * (N // 2), [True, None] * (N // 2)
    cell.strengths.append(Strength(2.0, 0.5, 0.5, [False] * N, [1] * N))
    return record


def refused(folder: Path) -> str:
    with pytest.raises(RecordError) as error:
        store.load(folder)
    assert error.value.hint in HINTS
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
