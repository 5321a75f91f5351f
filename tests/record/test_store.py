"""The document: its schema is fresh, it survives a round trip, and what does not fit is refused in one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from tests.records import make as make_record


def test_the_committed_schema_is_fresh() -> None:
    """python -c "from robusteval.record import store; ..." is in docs/document.md; run it when this fails."""
    assert store.DOCUMENT.schema == store.DOCUMENT.build_schema()


def test_round_trip() -> None:
    text = store.to_json(make_record())
    assert store.to_json(store.from_json(text)) == text


def test_nan_never_gets_into_a_document() -> None:
    record = make_record()
    record.data.l2[0] = math.nan
    with pytest.raises(RecordError, match="JSON cannot carry"):
        store.to_json(record)


def test_what_does_not_fit_is_not_saved(tmp_path: Path) -> None:
    record = make_record()
    record.cells[0].status = "maybe"  # type: ignore[assignment]
    with pytest.raises(RecordError, match="does not fit"):
        store.save(record, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema": "other"}', '{"schema": "robusteval-record-1"}', "[" * 100_000]
)
def test_what_is_no_record_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        store.from_json(text)


def test_a_record_of_another_type_is_refused() -> None:
    data = json.loads(store.to_json(make_record()))
    data["cells"][0]["distance"] = ["near"]
    with pytest.raises(RecordError, match="cells"):
        store.from_json(json.dumps(data))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="Cannot read"):
        store.load(tmp_path)
