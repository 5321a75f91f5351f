"""samples.parquet: everything per sample as one long table, a row group a part (docs/document.md has its columns).

The same columns give the same bytes with one version of pyarrow: nothing here depends on clock, order of hashing or
threads. Another version signs its name into the file, so contents are compared by their values (`digests`).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robusteval.errors import RecordError
from robusteval.record.measured import Cell, Data, Witness
from robusteval.record.measured.layout import (
    ABOUT,
    OF_CELL,
    OF_DATA,
    OF_PIPELINE,
    OF_STRENGTH,
    OF_WITNESS,
    SAMPLES_FILE,
    Columned,
    Field,
    Part,
    changed,
    parts,
)
from robusteval.record.measured.per_sample import PerSample, packed
from robusteval.record.measured.samples_file import SamplesFile, SamplesPart
from robusteval.record.measured.witness_rows import WitnessRows

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Columns = dict[str, PerSample]  # by their names in the table
_LEVEL = 3  # of zstd
_WIDE = ("file", "hash", "sha256")  # texts that hardly come twice
_DENSE = ("number", "truth")  # kinds that no dictionary makes smaller
_MOST = 2**31 - 1  # numbers of a part in a column of lists
_SMALL = {"label", "prediction", "class_prediction"}  # classes: 32 bits


class Filled(NamedTuple):
    """A part with its columns; rows: how many samples it has."""

    part: Part
    rows: int
    columns: Columns


def fields() -> dict[str, Field]:
    """Every column of the table that holds something measured, by its name, in their order."""
    order = (*OF_CELL, *OF_STRENGTH, *OF_PIPELINE, *OF_DATA, *OF_WITNESS)
    found = {item.column: item for item in reversed(order) if item.column not in {*ABOUT, "sample", "label"}}
    return {item.column: found[item.column] for item in order if item.column in found}


def schema(dictionaries: bool = False) -> pa.Schema:
    """Names and types of all columns. dictionaries: texts that hardly come twice as a dictionary too, as they are read:
    then no text is there more often than in the file."""
    import pyarrow as pa

    words = pa.dictionary(pa.int32(), pa.string())
    types = {"number": pa.float64(), "whole": pa.int64(), "truth": pa.bool_(), "text": words}
    listed = [pa.field(name, words) for name in ABOUT]
    listed += [pa.field("sample", pa.int32()), pa.field("label", pa.int32())]
    for name, item in fields().items():
        kind = pa.int32() if name in _SMALL or name == "strength_prediction" else types[item.kind]
        if name in _WIDE and not dictionaries:
            kind = pa.string()
        listed.append(pa.field(name, pa.list_(kind) if item.is_list else kind))
    return pa.schema(listed)


def written(record: Columned) -> tuple[bytes, SamplesFile]:
    """(the file's bytes, what the document says of it). Raises RecordError for columns that no table can hold: not of
    one length, not of their kind, or with numbers that are not finite."""
    import pyarrow.parquet as pq

    sink, made = io.BytesIO(), []
    whole = schema()
    plain = [name for name, item in fields().items() if item.kind not in _DENSE and not item.is_list]
    with pq.ParquetWriter(
        sink, whole, version="2.6", compression="zstd", compression_level=_LEVEL, data_page_version="1.0",
        use_dictionary=[*ABOUT, "label", *plain], write_statistics=[*ABOUT, "sample", "distance"],
    ) as writer:  # fmt: skip
        labels = packed(record.data.labels, "whole", "data.labels")
        for filled in _filled(record):
            writer.write_table(_rows(filled, labels, whole), row_group_size=filled.rows)
            names = [name for name in _order() if name in filled.columns]
            made.append(SamplesPart(filled.part.kind, filled.part.of, filled.rows, names))
    content = sink.getvalue()
    rows = sum(part.rows for part in made)
    return content, SamplesFile(SAMPLES_FILE, hashlib.sha256(content).hexdigest(), rows, made)


def frame(record: Columned) -> pd.DataFrame:
    """The table as pandas has it: texts that come often as categories, whole numbers and truths with their own `NA`.
    Raises RecordError where pandas is not installed."""
    import pyarrow as pa

    try:
        import pandas as pd
    except ImportError:
        raise RecordError(
            "The table of samples is a pandas data frame, and pandas is not installed.",
            "Install it (pip install 'robusteval[pandas]'), or read samples.parquet with polars or DuckDB.",
        ) from None
    labels = packed(record.data.labels, "whole", "data.labels")
    tables = [_rows(filled, labels, schema()) for filled in _filled(record)]
    table = pa.concat_tables(tables) if tables else schema().empty_table()
    types = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return table.unify_dictionaries().to_pandas(types_mapper=types.get)


def digests(record: Columned) -> dict[str, str]:
    """A sha256 of the values of every column that has entries, by its place in the record: the same for lists and
    arrays, and whatever wrote the file."""
    found = {}

    def note(column: Sequence[Any], item: Field, where: str) -> Sequence[Any]:
        if len(column):
            found[where] = _digest(packed(column, item.kind, where, item.nested))
        return column

    changed(record, note, lambda entries: entries)
    if record.witnesses is not None and len(record.witnesses.entries):
        for name, column in entry_columns(record.witnesses.entries).items():
            found[f"witnesses.entries.{name}"] = _digest(column)
    return found


def entry_columns(entries: Sequence[Witness]) -> Columns:
    """The witnesses as columns, by the names of their fields."""
    if isinstance(entries, WitnessRows):
        return entries.columns
    return {
        item.name: packed([getattr(entry, item.name) for entry in entries], item.kind, f"witnesses.entries.{item.name}")
        for item in OF_WITNESS
    }


def _digest(column: PerSample) -> str:
    if column.words is not None:
        return hashlib.sha256(json.dumps(column.listed()).encode()).hexdigest()
    digest = hashlib.sha256(repr((column.array.dtype.str, column.array.shape)).encode())
    known = np.ones(column.array.shape, dtype=bool) if column.known is None else column.known
    digest.update(np.where(known, column.array, column.array.dtype.type(0)).tobytes())
    digest.update(np.packbits(known).tobytes())
    return digest.hexdigest()


def _order() -> list[str]:
    return ["label", *fields()]


def _filled(record: Columned) -> list[Filled]:
    """The parts that have rows."""
    found = []
    for part in parts(record):
        if part.owner is None:
            entries = entry_columns(record.witnesses.entries if record.witnesses is not None else [])
            columns, rows = {item.column: entries[item.name] for item in OF_WITNESS}, len(entries["row"])
        else:
            columns = _columns(part)
            lengths = {len(column) for column in columns.values()}
            if len(lengths) > 1:
                raise RecordError(f"The record makes no sense at {part.where}: its columns are of different lengths.")
            rows = max(lengths, default=0)
        there = min(record.data.samples, len(record.data.labels))
        if rows > there and part.owner is not None:
            raise RecordError(f"The record makes no sense at {part.where}: it has {rows} rows of {there} samples.")
        if rows:
            found.append(Filled(part, rows, columns))
    return found


def _columns(part: Part) -> Columns:
    owner = part.owner
    mine = OF_DATA if isinstance(owner, Data) else OF_CELL if isinstance(owner, Cell) else OF_PIPELINE
    columns = {}
    for item in mine:
        column = getattr(owner, item.name)
        if len(column):
            columns[item.column] = packed(column, item.kind, f"{part.where}.{item.name}", item.nested)
    if isinstance(owner, Cell):
        for item in OF_STRENGTH:
            column = _across(owner, item, part.where)
            if column is not None:
                columns[item.column] = column
    return columns


def _across(cell: Cell, item: Field, where: str) -> PerSample | None:
    """A column of a cell's strengths as [N, S]; None where no strength has it."""
    each = [
        packed(getattr(row, item.name), item.kind, f"{where}.strengths[{number}].{item.name}")
        for number, row in enumerate(cell.strengths)
    ]
    if not any(map(len, each)):
        return None
    rows = max(map(len, each))
    if any(len(column) not in (0, rows) or column.known is not None for column in each):
        raise RecordError(f"The record makes no sense at {where}.strengths: {item.name} is not as long as the samples.")
    nothing = np.zeros_like(next(column.array for column in each if len(column)))
    values = np.stack([column.array if len(column) else nothing for column in each], axis=1)
    known = np.broadcast_to([len(column) > 0 for column in each], values.shape)
    return PerSample(values, None if known.all() else known.copy())


def _rows(filled: Filled, labels: PerSample, whole: pa.Schema) -> pa.Table:
    """The rows of one part. Texts, and what is not there, become what the schema has in its place."""
    import pyarrow as pa

    part, rows, its = filled
    columns = {"sample": PerSample(np.arange(rows)), "label": PerSample(labels.array[:rows])} | its
    arrays = []
    for item in whole:
        if item.name in columns:
            arrays.append(_array(columns[item.name], item, part.where))
        elif part.about.get(item.name) is not None:
            places = pa.array(np.zeros(rows, dtype=np.int32))
            arrays.append(pa.DictionaryArray.from_arrays(places, pa.array([part.about[item.name]])))
        else:
            arrays.append(pa.nulls(rows))
    return pa.Table.from_arrays(arrays, schema=whole)


def _array(column: PerSample, item: pa.Field, where: str) -> pa.Array:
    """Raises RecordError for a class number beyond 32 bits."""
    import pyarrow as pa

    mask = None if column.known is None else ~column.known.ravel()
    if column.words is not None:
        places = pa.array(column.array.astype(np.int32), mask=mask)
        return pa.DictionaryArray.from_arrays(places, pa.array(list(column.words)))
    inner = item.type.value_type if pa.types.is_list(item.type) else item.type
    try:
        values = pa.array(column.array.ravel(), mask=mask).cast(inner)
    except pa.ArrowInvalid:
        raise RecordError(f"The record makes no sense at {where}.{item.name}: it has numbers beyond 32 bits.") from None
    if not pa.types.is_list(item.type):
        return values
    rows, width = column.array.shape
    if column.array.size > _MOST:
        raise RecordError(f"The record makes no sense at {where}.{item.name}: it has more than {_MOST} numbers.")
    return pa.ListArray.from_arrays(np.arange(rows + 1) * width, values)
