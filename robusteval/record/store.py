"""Record <-> JSON, its schema, and saving it safely.

In a run's folder a record is two files: record.json, which people and programs read, and samples.parquet with all
columns that have an entry a sample. As a text of its own (`to_json`, `from_json`) it has these inside, as documents of
version 1 always had.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.column import titles_alone
from robusteval.record.decode import MAX_BYTES, decode, parse
from robusteval.record.documents import Document
from robusteval.record.measured.layout import SAMPLES_FILE, Field, changed
from robusteval.record.measured.samples_file import SamplesFile
from robusteval.record.run import COLUMNS_INSIDE, SCHEMA, TITLES_ONLY, Record
from robusteval.record.sanity import check

RECORD_FILE = "record.json"
DOCUMENT = Document(Record, (SCHEMA, COLUMNS_INSIDE, TITLES_ONLY), "schema.json")
_BOTH = "Keep record.json and samples.parquet of a run together, as the run wrote them."
TABLES_LIST = ".tables.json"  # in a folder of tables: the names of those that robusteval wrote


def to_json(record: Record) -> str:
    """The document as text, with all columns inside: keys in a fixed order, no NaN. Raises RecordError where a value is
    not finite or the document does not fit the schema."""
    return _text(dataclasses.replace(changed(record, lambda column, *_: list(column), list), per_sample=None))


def from_json(text: str) -> Record:
    """A record from text with all columns inside; nothing in it is run. Raises RecordError with the first thing that
    does not fit, or that makes no sense: a negative distance, a column that is too short."""
    record = _decoded(text)
    if record.per_sample is not None:
        raise RecordError(f"The columns of this record lie in a file beside it, {record.per_sample.file[:80]}.", _BOTH)
    check(record)
    return record


def digest(record: Record) -> str:
    """sha256 of all that a record holds, whatever the text that it was read from looked like, and wherever its columns
    lay."""
    if record.schema == SCHEMA:
        from robusteval.record.measured.samples_table import digests

        columns = digests(record)
        data: Any = {"record": _written(_plain(_bare(record, None))), "columns": columns}
    else:
        data = _written(_plain(record))
    text = json.dumps(data, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _bare(record: Record, per_sample: SamplesFile | None) -> Record:
    """The record without its columns, and where they lie."""
    return dataclasses.replace(changed(record, lambda *_: [], lambda _: []), per_sample=per_sample)


def _text(record: Record) -> str:
    data = _written(DOCUMENT.plain(record))
    try:
        text = json.dumps(data, allow_nan=False, indent=1, ensure_ascii=True)
    except ValueError as error:
        raise RecordError(f"The record holds a number that JSON cannot carry: {error}.") from error
    misfit = DOCUMENT.misfit(json.loads(text))
    if misfit is not None:
        raise RecordError(f"The record does not fit its schema at {misfit[0]}: {misfit[1]}.")
    return text


def _decoded(text: str) -> Record:
    """The record as the text has it, of a version that is known."""
    data = parse(text)
    if data.get("schema") not in DOCUMENT.versions:
        raise RecordError(
            f"This document has schema {data.get('schema')!r}; this version reads {SCHEMA!r}.",
            "Use the version of robusteval that wrote it.",
        )
    if data["schema"] != SCHEMA and "per_sample" in data:
        raise RecordError(f"A document of schema {data['schema']!r} has no field 'per_sample'.")
    return decode(Record, data)


def _written(data: Any) -> Any:
    """The document as its version has it, so that what was read is written, and hashed, as it was; and without the
    fields that lie in another file."""
    if data["schema"] != SCHEMA:
        del data["per_sample"]
    for name in (
        "gates",
        "certificates",
        "certificates_behind",
        "proofs",
    ):  # runs from before there were any keep their text and their hash
        if not data[name]:
            del data[name]
    if data["schema"] == TITLES_ONLY:
        titles_alone(data["results"])
    return data


def _plain(value: object) -> object:
    """Objects and lists as JSON has them. Whole numbers as floats: JSON readers do not tell 1 from 1.0."""
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(name): _plain(element) for name, element in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(element) for element in value]
    return float(value) if type(value) is int and abs(value) < 2**53 else value


def save(record: Record, folder: Path) -> Path:
    """Writes folder/samples.parquet and folder/record.json: both validated before, each by write-and-rename, so a
    reader never sees half a document. A record of an older version is written as that version had it, in one file.

    Raises RecordError."""
    path = folder / RECORD_FILE
    if record.schema != SCHEMA:
        write_atomically(path, to_json(record).encode())
        return path
    from robusteval.record.measured.samples_table import written

    content, described = written(record)
    text = _text(_bare(record, described))
    write_atomically(folder / described.file, content)
    write_atomically(path, text.encode())
    return path


def load(path: Path) -> Record:
    """Reads a record.json, or the one in a run folder, and the columns beside it. Raises RecordError."""
    if path.is_dir():
        path = path / RECORD_FILE
    try:
        text = read_plain(path, MAX_BYTES, follow=False).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            f"Cannot read {path}: {in_words(error)}.", "Give a record.json or the folder that holds it."
        ) from None
    record = _decoded(text)
    if record.per_sample is not None:
        _check_empty(record)
        from robusteval.record.measured.samples_read import fill

        fill(record, path.parent)
    elif path.name == RECORD_FILE and (path.parent / SAMPLES_FILE).exists():
        raise RecordError(f"{path} has its columns inside, so the {SAMPLES_FILE} beside it is another record's.", _BOTH)
    check(record)
    return record


def _check_empty(record: Record) -> None:
    """Raises RecordError where a record whose columns lie in a file has some of its own."""

    def empty(column: Sequence[Any], _: Field, where: str) -> Sequence[Any]:
        if len(column):
            raise RecordError(f"The record has {where} twice, as its columns lie in {SAMPLES_FILE}.", _BOTH)
        return column

    if record.witnesses is not None and record.witnesses.entries:
        raise RecordError(f"The record has witnesses.entries twice, as they lie in {SAMPLES_FILE}.", _BOTH)
    changed(record, empty, list)


def listed_tables(folder: Path) -> list[str]:
    """The files of a folder of tables that robusteval wrote."""
    try:
        names = json.loads(read_plain(folder / TABLES_LIST, 1 << 20, follow=False))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(names, list):
        return []
    texts = [name for name in names if isinstance(name, str) and name.isprintable()]  # others are the names of no file
    return [name for name in texts if name == Path(name).name and name.endswith(".csv")]


def write_atomically(path: Path, content: bytes) -> None:
    """Writes the whole file or nothing, in place of an older one. Raises RecordError where it cannot: the disk is full,
    the folder is gone or may not be written to."""
    try:
        _write(path, content)
    except OSError as error:
        raise RecordError(
            f"Cannot write {path}: {error.strerror or error}.",
            "What was finished is kept: once there is a place to write to, the same command goes on from there.",
        ) from None


def _write(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:60]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise
