"""A reference set as a file: one JSON document of plain data, checked against its schema and of bounded size."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NoReturn

from robusteval.errors import RecordError
from robusteval.plain import read_plain
from robusteval.record.decode import decode, fault_of, short_number, whole_letters
from robusteval.record.documents import Document
from robusteval.record.measured import Suite
from robusteval.record.references import Reference, ReferenceColumn
from robusteval.record.store import write_atomically

SCHEMA = "robusteval-references-1"
MAX_BYTES = 16 << 20
MAX_MODELS, MAX_IMAGES = 32, 20_000
_MEND = "Make one with `robusteval references build`."


@dataclass
class ReferenceSet:
    """Models attacked by the same attacks on the same images."""

    tool: dict[str, str]  # name, version
    command: str
    seed: int
    data: str  # name of the data set
    suite: Suite
    images: list[str]  # content of each image and its label, as in a record's data.hashes
    models: list[Reference]
    schema: str = SCHEMA


@dataclass(frozen=True)
class LoadedSet:
    """A set as it was read. file: its name without folder; sha256: of its bytes."""

    file: str
    sha256: str
    shipped: bool
    content: ReferenceSet


def _refine(generated: dict[str, Any]) -> None:
    """Bounds, as a stranger's set may hold anything."""
    top = generated["properties"]
    top["images"] = {
        "type": "array",
        "minItems": 1,
        "maxItems": MAX_IMAGES,
        "items": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
    }
    top["models"] |= {"minItems": 1, "maxItems": MAX_MODELS}
    model = generated["$defs"]["Reference"]["properties"]
    model["name"]["pattern"] = "^[A-Za-z0-9][A-Za-z0-9 ._+-]{0,39}$"
    model["about"] |= {"maxLength": 300, "pattern": "^[^\\u0000-\\u001f\\u007f]*$"}
    model["rows"] |= {"minItems": 1, "maxItems": MAX_IMAGES}
    model["rows"]["items"] |= {"minimum": 0, "maximum": MAX_IMAGES - 1}
    model["right"]["maxItems"] = MAX_IMAGES
    for name in ("worst", "exact"):
        model[name] |= {"maxProperties": 4, "propertyNames": {"enum": ["l0", "l1", "l2", "linf"]}}
    column = generated["$defs"]["ReferenceColumn"]["properties"]
    distance = {"anyOf": [{"type": "number", "minimum": 0, "maximum": 1e9}, {"type": "null"}]}
    column["distance"] |= {"maxItems": MAX_IMAGES, "items": distance}
    column["searched"]["anyOf"][0] |= {"exclusiveMinimum": 0, "maximum": 1e9}
    column["attacks"]["maxItems"] = 1000
    _bound(generated)


def _bound(part: Any) -> None:
    """Gives every text of a schema a largest length that has none."""
    if isinstance(part, dict):
        if part.get("type") == "string":
            part.setdefault("maxLength", 1000)
        for value in part.values():
            _bound(value)
    elif isinstance(part, list):
        for value in part:
            _bound(value)


DOCUMENT = Document(ReferenceSet, (SCHEMA,), "references.schema.json", _refine)


def to_json(content: ReferenceSet) -> str:
    """The set as text, one line a model. Raises RecordError where it does not fit the schema."""
    data = DOCUMENT.plain(content)
    models = data.pop("models")
    try:
        rows = [json.dumps(model, allow_nan=False, separators=(",", ":")) for model in models]
        head = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except ValueError as error:
        raise RecordError(f"The reference set holds a number that JSON cannot carry: {error}.") from error
    text = head[:-1] + ',"models":[\n' + ",\n".join(rows) + "\n]}\n"
    from_json(text, "made here")
    return text


def from_json(text: str, name: str) -> ReferenceSet:
    """A set from text; nothing in it is run. Raises RecordError, naming it, with the first thing that does not fit."""
    try:
        data = json.loads(text, parse_constant=_refuse, parse_int=short_number)
        whole_letters(text, data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"The reference set {name} is not JSON: {fault_of(error)}.", _MEND) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise RecordError(f"{name} is not a reference set of schema {SCHEMA!r}.", _MEND)
    _fits(data, name)
    try:
        content = decode(ReferenceSet, data, f"reference set {name}")
    except RecordError as error:
        raise RecordError(error.message, _MEND) from None
    _check(content, name)
    return content


def _fits(data: dict[str, Any], name: str) -> None:
    """Raises RecordError where a stranger's set is not as its schema has it."""
    try:
        misfit = DOCUMENT.misfit(data)
    except RecursionError:
        raise RecordError(f"The reference set {name} is nested too deeply.", _MEND) from None
    if misfit is not None:
        raise RecordError(f"The reference set {name} does not fit its schema at {misfit[0][:100]}: {misfit[1]}.", _MEND)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number")


def _check(content: ReferenceSet, name: str) -> None:
    """What a schema cannot say: columns as long as their rows, rows that exist, names and images that differ."""
    names = [model.name.lower() for model in content.models]
    if len(set(names)) != len(names):
        raise RecordError(f"The reference set {name} has two models of one name.", _MEND)
    if len(set(content.images)) != len(content.images):
        raise RecordError(f"The reference set {name} has an image twice.", _MEND)
    for model in content.models:
        count = len(model.rows)
        columns: list[ReferenceColumn] = [*model.worst.values(), *model.exact.values()]
        if len(set(model.rows)) != count or max(model.rows) >= len(content.images):
            raise RecordError(f"The reference set {name} has rows of {model.name} that are not its images.", _MEND)
        if len(model.right) != count or any(len(column.distance) != count for column in columns):
            raise RecordError(f"The reference set {name} has columns of {model.name} that are not {count} long.", _MEND)


def load(path: Path) -> LoadedSet:
    """A set from a file. Raises RecordError, also where the file is no plain file or larger than MAX_BYTES."""
    try:
        if not path.is_file():
            raise RecordError(f"There is no reference set {path}.", _MEND)
        content = read_plain(path, MAX_BYTES)
    except OSError as error:
        raise RecordError(f"Cannot read the reference set {path}: {error.strerror or error}.", _MEND) from None
    return _source(content, path.name, shipped=False)


def shipped() -> list[LoadedSet]:
    """The sets that come with robusteval, by name."""
    folder = resources.files("robusteval.data").joinpath("references")
    files = sorted((file for file in folder.iterdir() if file.name.endswith(".json")), key=lambda file: file.name)
    return [_source(file.read_bytes(), file.name, shipped=True) for file in files]


def _source(content: bytes, name: str, *, shipped: bool) -> LoadedSet:
    if len(content) > MAX_BYTES:
        raise RecordError(f"The reference set {name} is larger than {MAX_BYTES >> 20} MiB.", _MEND)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise RecordError(f"The reference set {name} is not text.", _MEND) from None
    # our own were checked when they were made, and `verify` reads them where jsonschema is not installed
    parsed = decode(ReferenceSet, json.loads(text), f"reference set {name}") if shipped else from_json(text, name)
    return LoadedSet(name, hashlib.sha256(content).hexdigest(), shipped, parsed)


def save(content: ReferenceSet, path: Path) -> Path:
    """Writes the set, whole or not at all. Raises RecordError."""
    text = to_json(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise RecordError(
            f"Cannot write {path}: {error.strerror or error}.", "Choose another place with --out."
        ) from None
    return path
