"""Record <-> JSON, its schema, and saving it safely."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import tempfile
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robusteval.errors import RecordError
from robusteval.record.decode import MAX_BYTES, decode, parse
from robusteval.record.run import SCHEMA, Record
from robusteval.record.sanity import check

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RECORD_FILE = "record.json"
TABLES_LIST = ".tables.json"  # in a folder of tables: the names of those that robusteval wrote


@functools.cache
def _adapter() -> TypeAdapter[Record]:
    from pydantic import TypeAdapter  # not where a record is only read: `verify` runs without it

    return TypeAdapter(Record)


def build_schema() -> dict[str, Any]:
    """The document's JSON schema, made from the dataclasses; the committed copy is `schema()`."""
    generated = _adapter().json_schema()
    generated["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    generated["title"] = SCHEMA
    generated["properties"]["schema"] = {"const": SCHEMA, "type": "string"}
    return generated


@functools.cache
def schema() -> dict[str, Any]:
    """The published schema, as committed."""
    text = resources.files("robusteval.record").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def to_json(record: Record) -> str:
    """The document as text: keys in a fixed order, no NaN. Raises RecordError where a value is not finite or the
    document does not fit the schema."""
    import jsonschema

    data = _adapter().dump_python(record, mode="python")
    try:
        text = json.dumps(data, allow_nan=False, indent=1, ensure_ascii=True)
    except ValueError as error:
        raise RecordError(f"The record holds a number that JSON cannot carry: {error}.") from error
    first = next(iter(jsonschema.Draft202012Validator(schema()).iter_errors(json.loads(text))), None)
    if first is not None:
        raise RecordError(f"The record does not fit its schema at {first.json_path}: {first.message[:200]}.")
    return text


def from_json(text: str) -> Record:
    """A record from text; nothing in it is run. Raises RecordError with the first thing that does not fit, or that makes no
    sense: a negative distance, a column that is too short."""
    data = parse(text)
    if data.get("schema") != SCHEMA:
        raise RecordError(
            f"This document has schema {data.get('schema')!r}; this version reads {SCHEMA!r}.",
            "Use the version of robusteval that wrote it.",
        )
    record = decode(Record, data)
    check(record)
    return record


def digest(record: Record) -> str:
    """sha256 of all that a record holds, whatever the text that it was read from looked like."""
    text = json.dumps(_plain(record), allow_nan=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


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
        if path.stat().st_size > MAX_BYTES:
            raise RecordError(f"{path} is larger than {MAX_BYTES >> 20} MiB.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"Cannot read {path}: {error}.", "Give a record.json or the folder that holds it.") from None
    return from_json(text)


def listed_tables(folder: Path) -> list[str]:
    """The files of a folder of tables that robusteval wrote."""
    try:
        names = json.loads((folder / TABLES_LIST).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    return [name for name in names if isinstance(name, str) and name == Path(name).name and name.endswith(".csv")]


def write_atomically(path: Path, content: bytes) -> None:
    """Writes the whole file or nothing, in place of an older one. Raises RecordError where it cannot: the disk is full, the
    folder is gone or may not be written to."""
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
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink(missing_ok=True)
        raise
