"""Saving and reading a record: its text to the letter, and every way in which a file may be none."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
import stat
from pathlib import Path

import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.run import COLUMNS_INSIDE, SCHEMA, TITLES_ONLY
from tests.engine.test_findings import honest


def refused(text: str) -> RecordError:
    with pytest.raises(RecordError) as error:
        store.from_json(text)
    return error.value


@pytest.fixture(scope="module")
def text() -> str:
    return store.to_json(honest())


def test_the_text_is_ascii_and_indented_by_one(text: str) -> None:
    assert text.isascii()
    lines = text.splitlines()
    assert lines[0] == "{"
    assert lines[1].startswith(' "')
    record = honest()
    record.command = "caf\xe9"
    found = store.to_json(record)
    assert "caf\\u00e9" in found
    assert store.from_json(found).command == "caf\xe9"
    assert store.to_json(store.from_json(text)) == text
    assert json.loads(text)["schema"] == SCHEMA


def test_the_schema_says_what_it_is() -> None:
    made = store.DOCUMENT.build_schema()
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert made["title"] == SCHEMA
    assert made["properties"]["schema"] == {"enum": [SCHEMA, COLUMNS_INSIDE, TITLES_ONLY], "type": "string"}
    assert store.DOCUMENT.schema == made
    assert store.DOCUMENT.schema is store.DOCUMENT.schema


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_cannot_carry_are_not_saved(value: float, tmp_path: Path) -> None:
    record = honest()
    record.data.l2[0] = value
    with pytest.raises(RecordError, match="JSON cannot carry"):
        store.save(record, tmp_path)
    assert list(tmp_path.iterdir()) == []
    record = honest()
    record.cells[1].eps = value
    with pytest.raises(RecordError, match=r"^The record holds a number that JSON cannot carry: Out of range"):
        store.save(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_the_schema_is_named_by_its_place(tmp_path: Path) -> None:
    record = honest()
    record.cells[2].status = "maybe"  # type: ignore[assignment]
    with pytest.raises(RecordError, match="does not fit its schema at") as error:
        store.save(record, tmp_path)
    assert "cells[2].status" in error.value.message
    assert len(error.value.message) < 400
    assert list(tmp_path.iterdir()) == []
    record.cells[2].status = "m" * 300  # type: ignore[assignment]
    with pytest.raises(RecordError) as error:
        store.to_json(record)
    assert error.value.message.endswith(f"cells[2].status: '{'m' * 199}.")


def test_a_document_of_another_kind_is_named(text: str) -> None:
    for other in ("robusteval-record-0", "x", None, 3):
        data = json.loads(text)
        data["schema"] = other
        error = refused(json.dumps(data))
        assert repr(other) in error.message
        assert repr(SCHEMA) in error.message
        assert error.hint == "Use the version of robusteval that wrote it."
    del data["schema"]
    assert "None" in refused(json.dumps(data)).message
    assert refused("{").hint
    assert "cells" in refused(text.replace('"untargeted"', "3", 1)).message


def test_a_record_is_saved_under_its_name_and_read_by_folder_or_file(tmp_path: Path, text: str) -> None:
    path = store.save(honest(), tmp_path)
    assert path == tmp_path / "record.json"
    assert store.to_json(store.load(tmp_path)) == store.to_json(store.load(path)) == text
    with pytest.raises(RecordError) as error:
        store.load(tmp_path / "gone")
    assert str(tmp_path / "gone") in error.value.message
    assert error.value.hint
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(RecordError, match="Cannot read"):
        store.load(path)
    path.write_bytes('{"caf\xe9": 1}'.encode())  # UTF-8 on every machine
    with pytest.raises(RecordError) as error:
        store.load(path)
    assert "Cannot read" not in error.value.message


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = store.save(honest(), tmp_path)
    monkeypatch.setattr(store, "MAX_BYTES", path.stat().st_size)
    store.load(path)
    monkeypatch.setattr(store, "MAX_BYTES", path.stat().st_size - 1)
    with pytest.raises(RecordError) as error:
        store.load(path)
    size = path.stat().st_size
    said = f"it has {size:,} bytes, more than the limit of {size - 1:,}"
    assert error.value.message == f"Cannot read {path}: {said}."
    assert error.value.hint == "Give a record.json or the folder that holds it."


def test_a_link_is_no_record(tmp_path: Path) -> None:
    path = store.save(honest(), tmp_path)
    path.rename(tmp_path / "other")
    path.symlink_to(tmp_path / "other")
    with pytest.raises(RecordError) as error:
        store.load(tmp_path)
    assert error.value.message == f"Cannot read {path}: it is a link."


NEWER = (
    "per_sample",
    "gates",
    "certificates",
    "certificates_behind",
    "proofs",
)  # fields that documents of before have not, and so their hashes neither


def plain(value: object) -> object:
    """As JSON has it, whole numbers as 64-bit floats where these hold them."""
    if isinstance(value, dict):
        return {str(name): plain(element) for name, element in value.items()}
    if isinstance(value, list | tuple):
        return [plain(element) for element in value]
    return float(value) if type(value) is int and abs(value) < 2**53 else value


@pytest.mark.parametrize("number", [3, 3.0, -1, True, None, 2**53 - 1, 2**53, -(2**53), 2**60])
def test_a_record_s_digest_is_that_of_its_plain_values(number: float | bool | None) -> None:
    record = honest()
    record.cells[1].params = {"b": number, "a": [number, {"c": "x"}], 1: 2}  # type: ignore[dict-item]
    record.schema = COLUMNS_INSIDE
    data = {name: value for name, value in dataclasses.asdict(record).items() if name not in NEWER}
    text = json.dumps(plain(data), allow_nan=False, sort_keys=True, separators=(",", ":"))
    assert store.digest(record) == hashlib.sha256(text.encode()).hexdigest()
    record.data.l2[0] = math.nan
    with pytest.raises(ValueError, match="JSON"):
        store.digest(record)
    record = honest()
    record.cells[1].params = {"b": number, "a": [number, {"c": "x"}], 1: 2}  # type: ignore[dict-item]
    again = honest()
    again.cells[1].params = {1: 2, "a": [number, {"c": "x"}], "b": number}  # type: ignore[dict-item]
    assert store.digest(again) == store.digest(record)
    again.cells[1].params["b"] = 4
    assert store.digest(again) != store.digest(record)
    record.data.l2[0] = math.nan
    with pytest.raises(RecordError, match="JSON"):
        store.digest(record)


# Writing


def test_a_file_is_written_whole_in_place_of_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    store.write_atomically(path, b"first")
    store.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_while_it_is_written_it_is_a_hidden_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = os.replace

    def replace(name: Path, target: Path) -> None:
        seen.append((Path(name).parent, Path(name).name, Path(name).read_bytes(), target))
        real(name, target)

    monkeypatch.setattr(os, "replace", replace)
    store.write_atomically(tmp_path / "x.bin", b"content")
    ((folder, name, content, target),) = seen
    assert (folder, content, target) == (tmp_path, b"content", tmp_path / "x.bin")
    assert name.startswith(".x.bin.")


@pytest.mark.parametrize("name", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_what_could_not_be_written_leaves_the_older_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: OSError | KeyboardInterrupt
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"old")

    def fail(*given: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RecordError) as found:
        store.write_atomically(path, b"new")
    if isinstance(found.value, RecordError):
        assert found.value.message == f"Cannot write {path}: No space left on device."
        assert found.value.hint.startswith("What was finished is kept: once there is a place to write to")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_gone_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Cannot write") as error:
        store.write_atomically(tmp_path / "gone" / "x.bin", b"")
    assert str(tmp_path / "gone") in error.value.message


def test_what_cannot_be_tidied_up_does_not_hide_the_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*given: object, **more: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    monkeypatch.setattr(Path, "unlink", fail)
    with pytest.raises(RecordError, match="Input/output error"):
        store.write_atomically(tmp_path / "x.bin", b"new")


def test_a_long_name_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ("n" * 240)
    real, seen = os.replace, []

    def replace(name: Path, target: Path) -> None:
        seen.append(name.name)
        real(name, target)

    monkeypatch.setattr(os, "replace", replace)
    store.write_atomically(path, b"x")
    assert path.read_bytes() == b"x"
    assert seen[0].startswith("." + "n" * 60 + ".")


def test_the_list_of_our_tables(tmp_path: Path) -> None:
    listing = tmp_path / store.TABLES_LIST
    assert store.listed_tables(tmp_path) == []
    listing.write_text(json.dumps(["a.csv", "b.csv", "../c.csv", "d/e.csv", "f.txt", 3, None, "", ".csv"]))
    assert store.listed_tables(tmp_path) == ["a.csv", "b.csv", ".csv"]
    for broken in ("{", "[" * 100_000, "5", "null", "9" * 6_000):
        listing.write_text(broken)
        assert store.listed_tables(tmp_path) == []
    text = '["a.csv"]'
    listing.write_text(text.rjust(1 << 20))
    assert store.listed_tables(tmp_path) == ["a.csv"]
    listing.write_text(text.rjust((1 << 20) + 1))  # more than any list of ours has
    assert store.listed_tables(tmp_path) == []
    listing.write_text(text)
    listing.rename(tmp_path / "other")
    listing.symlink_to(tmp_path / "other")
    assert store.listed_tables(tmp_path) == []
