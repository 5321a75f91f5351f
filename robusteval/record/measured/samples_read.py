"""Reading samples.parquet, which a stranger may have written: checked against its hash and against what the document
says of it before anything is decoded, and again after."""

from __future__ import annotations

import hashlib
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.measured import Cell, Data
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
    parts,
)
from robusteval.record.measured.per_sample import PerSample
from robusteval.record.measured.samples_file import SamplesFile, SamplesPart
from robusteval.record.measured.samples_table import fields, schema
from robusteval.record.measured.witness_rows import WitnessRows

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

MAX_FILE = 2 << 30  # bytes
MAX_DECODED = 8 << 30  # bytes, as the file states them
MAX_ROWS = 20_000_000
TEXTS = (*ABOUT, "member", "file", "hash", "tensor", "sha256")
_SAMPLE = Field("sample", "sample", "whole")
_HINT = "Keep record.json and samples.parquet of a run together, as the run wrote them."


def fill(record: Columned, folder: Path) -> None:
    """Puts the columns of folder/samples.parquet into a record that was read without them. Raises RecordError where the
    file is not there, is another one, or does not hold what the record says."""
    said = record.per_sample
    if said is None:
        raise ValueError("this record has its columns inside")
    if said.file != SAMPLES_FILE:
        raise _no(f"per_sample.file is {said.file[:80]!r}, which is not its name")
    content = _content(folder / SAMPLES_FILE, said)
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if pq.read_schema(pa.BufferReader(content)).names != schema().names:
            raise _no("it has other columns")
        file = pq.ParquetFile(pa.BufferReader(content), read_dictionary=list(TEXTS))
        _check_head(file, said, record)
        _fill(record, file, said)
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, ArithmeticError, MemoryError) as error:
        said_so = " ".join(str(error).split())[:200] or type(error).__name__
        raise RecordError(f"Cannot read {folder / SAMPLES_FILE}: {said_so}.", _HINT) from None


def _no(what: str) -> RecordError:
    return RecordError(f"{SAMPLES_FILE} does not go with its record: {what}.", _HINT)


def _content(path: Path, said: SamplesFile) -> bytes:
    """The bytes of the file, which have the hash that the record says."""
    try:
        if not path.is_file():
            raise RecordError(
                f"The record's columns are in {SAMPLES_FILE}, and there is no such file beside it: {path}.", _HINT
            )
        content = read_plain(path, MAX_FILE, follow=False)
    except OSError as error:
        raise RecordError(f"Cannot read {path}: {in_words(error)}.", _HINT) from None
    if hashlib.sha256(content).hexdigest() != said.sha256:
        raise _no("its SHA-256 is not the one that the record says, so it is another file or was changed")
    return content


def _check_head(file: pq.ParquetFile, said: SamplesFile, record: Columned) -> None:
    """Columns, rows and sizes as the file states them, before any of them is decoded."""
    head = file.metadata
    if not file.schema_arrow.equals(schema(dictionaries=True)):
        raise _no("its columns are of other types")
    counts = [part.rows for part in said.parts]
    if said.rows != sum(counts) or head.num_rows != said.rows or head.num_row_groups != len(counts):
        raise _no(f"it has {head.num_rows} rows, and not those of the record's parts")
    if not 0 <= said.rows <= MAX_ROWS:
        raise _no(f"{said.rows} rows are more than {MAX_ROWS}")
    size = 0
    widest = max((record.model.classes, *(len(cell.strengths) for cell in (*record.cells, *record.probes))))
    for index, rows in enumerate(counts):
        group = head.row_group(index)
        if rows < 1 or group.num_rows != rows:
            raise _no(f"its part {index} has {group.num_rows} rows, not {rows}")
        for number in range(group.num_columns):
            column = group.column(number)
            size += column.total_uncompressed_size
            if column.num_values > rows * (max(widest, 1) if "." in column.path_in_schema else 1):
                raise _no(f"its part {index} has {column.num_values} values of {column.path_in_schema[:40]}")
    if size > MAX_DECODED:
        raise _no(f"it would take {size >> 20} MiB")


def _fill(record: Columned, file: pq.ParquetFile, said: SamplesFile) -> None:
    """Part by part, in the order of the file."""
    waiting = deque(enumerate(said.parts))
    for part in parts(record):
        if not waiting or (waiting[0][1].kind, waiting[0][1].of) != (part.kind, part.of):
            continue
        index, stated = waiting.popleft()
        names = [name for name in ("label", *fields()) if name in stated.columns]
        mine = {item.column for item in _fields_of(part)}
        whole = [name for name in ("label", *fields()) if name in mine]
        if not names or names != stated.columns or not set(names) <= mine or (part.owner is None and names != whole):
            raise _no(f"per_sample.parts[{index}].columns are not columns of its kind, in their order")
        if part.owner is not None and stated.rows > record.data.samples:
            raise _no(f"per_sample.parts[{index}] has {stated.rows} rows of {record.data.samples} samples")
        _part(record, part, stated, file.read_row_group(index), f"its part {index}")
    if waiting:
        raise _no(f"per_sample.parts[{waiting[0][0]}] goes with nothing in the record, or is in another order")


def _fields_of(part: Part) -> tuple[Field, ...]:
    if part.owner is None:
        return OF_WITNESS
    if isinstance(part.owner, Cell):
        return (*OF_CELL, *OF_STRENGTH)
    return OF_DATA if isinstance(part.owner, Data) else OF_PIPELINE


def _part(record: Columned, part: Part, stated: SamplesPart, table: pa.Table, where: str) -> None:
    """One part's columns into the record; and that all others are empty, and that rows are about what they say."""
    told = {item.column for item in _fields_of(part)} if part.owner is None else {"label", *stated.columns}
    for name in table.column_names:
        if name not in told and name not in ABOUT and name != "sample" and table.column(name).null_count < stated.rows:
            raise _no(f"{where} has entries in {name}, which the record does not mention")
    for name in ABOUT:
        if name not in told:
            _same(table.column(name), part.about[name], f"{where}, {name}")
    if part.owner is None:
        rows = {item.name: _column(table, item, f"{where}, {item.column}") for item in OF_WITNESS}
        if record.witnesses is not None:
            entries: Any = WitnessRows(rows)
            record.witnesses.entries = entries
        return
    places = _column(table, _SAMPLE, f"{where}, sample").array
    if not np.array_equal(places, np.arange(stated.rows)):
        raise _no(f"the samples of {where} are not each there once, in their order")
    for item in _fields_of(part):
        if item.column in stated.columns and item not in OF_STRENGTH:
            setattr(part.owner, item.name, _column(table, item, f"{where}, {item.column}"))
    if not isinstance(part.owner, Data):
        labels = _column(table, OF_DATA[0], f"{where}, label").array
        if not np.array_equal(labels, np.asarray(record.data.labels)[: stated.rows]):
            raise _no(f"the labels of {where} are not those of its samples")
    if isinstance(part.owner, Cell):
        _strengths(part.owner, stated, table, where)


def _strengths(cell: Cell, stated: SamplesPart, table: pa.Table, where: str) -> None:
    for item in OF_STRENGTH:
        if item.column not in stated.columns:
            continue
        column = _column(table, item, f"{where}, {item.column}", len(cell.strengths))
        for number, strength in enumerate(cell.strengths):
            known = None if column.known is None else column.known[:, number]
            if known is not None and known.any() and not known.all():
                raise _no(f"{where} lacks entries in {item.column}")
            if known is None or known.all():
                setattr(strength, item.name, PerSample(np.ascontiguousarray(column.array[:, number])))


def _same(column: pa.ChunkedArray, word: str | None, where: str) -> None:
    """Raises RecordError where not all rows hold this word; None: where any holds one."""
    if word is None:
        if column.null_count < len(column):
            raise _no(f"{where} is of something else")
        return
    found = _words(column, where)
    places, words = found.array, found.words or ()
    if found.known is not None or (places != places[0]).any() or words[places[0]] != word:
        raise _no(f"{where} is not {word[:80]!r} in all rows")


def _words(column: pa.ChunkedArray, where: str) -> PerSample:
    whole = column.unify_dictionaries().combine_chunks()
    words = whole.dictionary.to_pylist()
    places, known = _flat(whole.indices, np.int64)
    if any(not isinstance(word, str) for word in words):
        raise _no(f"{where} holds something that is no text")
    return PerSample(places, known, tuple(words))


def _flat(array: pa.Array, dtype: Any) -> tuple[Any, Any]:
    """(values, whether they are there; None: all are) of a plain array; 0 where there is none."""
    if not array.null_count:
        return np.asarray(array).astype(dtype), None
    filled = array.fill_null(False if dtype is np.bool_ else 0)
    return np.asarray(filled).astype(dtype), np.asarray(array.is_valid())


def _column(table: pa.Table, item: Field, where: str, width: int | None = None) -> PerSample:
    """A column as arrays. width: how many entries a row of a nested one has; None: as many as the first has."""
    found = table.column(item.column)
    if found.null_count and (item.is_list or not item.optional):
        raise _no(f"{where} lacks entries")
    if item.kind == "text":
        return _words(found, where)
    dtype = {"number": np.float64, "whole": np.int64, "truth": np.bool_}[item.kind]
    whole = found.combine_chunks()
    if not item.is_list:
        values, known = _flat(whole, dtype)
    else:
        lengths = np.diff(whole.offsets.to_numpy())
        width = int(lengths[0]) if width is None else width
        if (lengths != width).any():
            raise _no(f"{where} has rows of different lengths")
        values, known = _flat(whole.flatten(), dtype)
        shape = (len(lengths), width)
        values, known = values.reshape(shape), None if known is None else known.reshape(shape)
    if item.kind == "number" and not np.isfinite(values).all():
        raise _no(f"{where} holds a number that is not finite")
    return PerSample(values, known)
