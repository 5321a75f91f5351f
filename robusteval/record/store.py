"""Record <-> JSON, its schema, and saving it safely."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from robusteval.cage.files import in_words, read_plain
from robusteval.errors import RecordError
from robusteval.record.column import titles_alone
from robusteval.record.decode import MAX_BYTES, decode, parse
from robusteval.record.documents import Document
from robusteval.record.run import SCHEMA, TITLES_ONLY, Record
from robusteval.record.sanity import check

RECORD_FILE = "record.json"
DOCUMENT = Document(Record, (SCHEMA, TITLES_ONLY), "schema.json")
TABLES_LIST = ".tables.json"  # in a folder of tables: the names of those that robusteval wrote


def to_json(record: Record) -> str:
    """The document as text: keys in a fixed order, no NaN. Raises RecordError where a value is not finite or the
    document does not fit the schema."""
    data = _written(DOCUMENT.plain(record))
    try:
        text = json.dumps(data, allow_nan=False, indent=1, ensure_ascii=True)
    except ValueError as error:
        raise RecordError(f"The record holds a number that JSON cannot carry: {error}.") from error
    misfit = DOCUMENT.misfit(json.loads(text))
    if misfit is not None:
        raise RecordError(f"The record does not fit its schema at {misfit[0]}: {misfit[1]}.")
    return text


def from_json(text: str) -> Record:
    """A record from text; nothing in it is run. Raises RecordError with the first thing that does not fit, or that
    makes no sense: a negative distance, a column that is too short."""
    data = parse(text)
    if data.get("schema") not in DOCUMENT.versions:
        raise RecordError(
            f"This document has schema {data.get('schema')!r}; this version reads {SCHEMA!r}.",
            "Use the version of robusteval that wrote it.",
        )
    record = decode(Record, data)
    check(record)
    return record


def digest(record: Record) -> str:
    """sha256 of all that a record holds, whatever the text that it was read from looked like."""
    text = json.dumps(_written(_plain(record)), allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _written(data: Any) -> Any:
    """The document as its version has it, so that what was read is written, and hashed, as it was."""
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
    """Writes folder/record.json: validated, then write-and-rename, so a reader never sees half a document."""
    path = folder / RECORD_FILE
    write_atomically(path, to_json(record).encode())
    return path


def load(path: Path) -> Record:
    """Reads a record.json, or the one in a run folder. Raises RecordError."""
    if path.is_dir():
        path = path / RECORD_FILE
    try:
        text = read_plain(path, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            f"Cannot read {path}: {in_words(error)}.", "Give a record.json or the folder that holds it."
        ) from None
    return from_json(text)


def listed_tables(folder: Path) -> list[str]:
    """The files of a folder of tables that robusteval wrote."""
    try:
        names = json.loads(read_plain(folder / TABLES_LIST, 1 << 20))
    except (OSError, ValueError, RecursionError):
        return []
    return [name for name in names if isinstance(name, str) and name == Path(name).name and name.endswith(".csv")]


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
