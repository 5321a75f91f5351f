"""Reference sets as files: fresh schema, round trip, and one clear refusal for whatever is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robusteval.errors import RecordError
from robusteval.record import reference_set
from tests import records, references

Break = Callable[[dict[str, Any]], object]


@pytest.fixture(scope="module")
def text() -> str:
    return reference_set.to_json(references.make(references.keyed(records.make(80))))


def test_the_committed_schema_is_fresh() -> None:
    """The command that writes it anew is in docs/document.md; run it when this fails."""
    assert reference_set.DOCUMENT.schema == reference_set.DOCUMENT.build_schema()


def test_round_trip(text: str, tmp_path: Path) -> None:
    made = reference_set.from_json(text, "it")
    path = reference_set.save(made, tmp_path / "sub" / "set.json")
    source = reference_set.load(path)
    assert source.content == made
    assert path.read_text() == text
    assert (source.file, source.shipped, len(source.sha256)) == ("set.json", False, 64)


def test_what_is_shipped_loads_and_is_small() -> None:
    found = reference_set.shipped()
    assert found
    assert all(source.shipped for source in found)
    folder = Path(reference_set.__file__).parents[1] / "data" / "references"
    assert sum(path.stat().st_size for path in folder.glob("*.json")) < 300_000


BREAKS: dict[str, Break] = {
    "rows that are no images": lambda d: d["models"][0]["rows"].__setitem__(0, 80),
    "the same row twice": lambda d: d["models"][0]["rows"].__setitem__(0, 1),
    "a row below zero": lambda d: d["models"][0]["rows"].__setitem__(0, -1),
    "short columns": lambda d: d["models"][0]["worst"]["l2"]["distance"].pop(),
    "short columns of exact gradients": lambda d: d["models"][2]["exact"]["l2"]["distance"].pop(),
    "short answers": lambda d: d["models"][0]["right"].pop(),
    "a negative distance": lambda d: d["models"][0]["worst"]["l2"]["distance"].__setitem__(0, -1.0),
    "a text for a distance": lambda d: d["models"][0]["worst"]["l2"]["distance"].__setitem__(0, "far"),
    "an unknown norm": lambda d: d["models"][0]["worst"].__setitem__("l7", d["models"][0]["worst"]["l2"]),
    "two models of one name": lambda d: d["models"][0].__setitem__("name", "STRONG"),
    "a name that is markup": lambda d: d["models"][0].__setitem__("name", "<b>"),
    "a line break in what is said": lambda d: d["models"][0].__setitem__("about", "a\nb"),
    "endless words": lambda d: d["models"][0].__setitem__("about", "a" * 400),
    "an endless suite name": lambda d: d["suite"].__setitem__("name", "a" * 5000),
    "an image twice": lambda d: d["images"].__setitem__(0, d["images"][1]),
    "an image that is no hash": lambda d: d["images"].__setitem__(0, "x"),
    "no models": lambda d: d["models"].clear(),
    "too many models": lambda d: d["models"].extend(d["models"] * 20),
    "a field too little": lambda d: d.pop("images"),
}


@pytest.mark.parametrize("name", sorted(BREAKS))
def test_what_does_not_fit_is_refused(name: str, text: str) -> None:
    data = json.loads(text)
    BREAKS[name](data)
    with pytest.raises(RecordError, match=r"reference set set\.json") as caught:
        reference_set.from_json(json.dumps(data), "set.json")
    assert len(caught.value.message) < 500


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff\xfe", b"[" * 100_000, b"[1]", b'{"schema": "other"}', b"1" * 5000,
        b'{"schema": "robusteval-references-1", "images": [NaN]}', b"x" * (reference_set.MAX_BYTES + 1),
    ],
)  # fmt: skip
def test_what_is_no_set_at_all_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"set\.json"):
        reference_set.load(path)


def test_size_is_looked_at_before_anything_is_parsed(text: str, tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    path.write_text(text + " " * reference_set.MAX_BYTES)
    with pytest.raises(RecordError, match="more than the limit of 16,777,216"):
        reference_set.load(path)


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(number: str, text: str) -> None:
    data = json.loads(text)
    data["models"][0]["worst"]["l2"]["distance"][0] = 123456.75
    with pytest.raises(RecordError, match=r"schema|no number"):
        reference_set.from_json(json.dumps(data).replace("123456.75", number), "set.json")


@pytest.mark.parametrize("place", ["missing.json", "."])
def test_no_file_is_refused(place: str, tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="There is no reference set"):
        reference_set.load(tmp_path / place)
