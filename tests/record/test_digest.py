"""A record's digest by its definition, so that what is kept by one version is known to the next."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.column import Column
from robusteval.record.measured.per_sample import PerSample, packed, there
from robusteval.record.measured.samples_table import _digest, digests
from robusteval.record.run import TITLES_ONLY
from tests.record.tables import full

OLD = Path(__file__).with_name("record-1.json")  # as version 0.1.0 wrote it, when columns were titles
OLD_DIGEST = "5c351226852a81da0ab9a2c670d8ffda7e7bcd465e7040cbfe968d92f6d8a14a"  # as it was then


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_a_record_is_its_document_without_columns_and_a_hash_a_column() -> None:
    record = full()
    bare = store._written(store._plain(store._bare(record, None)))
    text = json.dumps({"columns": digests(record), "record": bare}, sort_keys=True, separators=(",", ":"))
    assert store.digest(record) == sha256(text.encode())


@pytest.mark.parametrize(
    ("column", "kind", "values", "known"),
    [
        ([1.5, None, 3.0], "number", np.array([1.5, 0.0, 3.0]), [True, False, True]),
        ([1.5, 0.0], "number", np.array([1.5, 0.0]), [True, True]),
        ([True, None, False], "truth", np.array([True, False, False]), [True, False, True]),
    ],
)
def test_a_column_is_its_type_shape_values_and_which_are_there(
    column: list[Any], kind: str, values: Any, known: list[bool]
) -> None:
    head = repr((values.dtype.str, values.shape)).encode()
    assert _digest(packed(column, kind, "")) == sha256(head + values.tobytes() + np.packbits(known).tobytes())


def test_what_stands_where_nothing_is_known_does_not_count() -> None:
    known = np.array([True, False])
    one, other = (PerSample(np.array([2.0, unseen]), known) for unseen in (0.0, 7.0))
    assert _digest(one) == _digest(other)
    assert _digest(one) != _digest(PerSample(np.array([2.0, 0.0]), None))


def test_a_column_that_is_none_is_named() -> None:
    record = full()
    record.data.labels = [1, "two", *record.data.labels[2:]]  # type: ignore[list-item]  # the fault
    with pytest.raises(RecordError, match=r"data\.labels"):
        digests(record)


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([], []),
        ([None, 2], [False, True]),
        (PerSample(np.array([1, 2]), None), [True, True]),
        (PerSample(np.array([1, 2]), np.array([False, True])), [False, True]),
    ],
)
def test_whether_entries_are_there_is_a_truth(column: Any, found: list[bool]) -> None:
    assert there(column).dtype == np.bool_
    assert there(column).tolist() == found


def test_an_older_document_is_written_and_hashed_as_it_was() -> None:
    record = store.load(OLD)
    assert record.schema == TITLES_ONLY
    assert store.to_json(record) == OLD.read_text()
    assert store.digest(record) == OLD_DIGEST
    record.results[0].columns = [Column("other", "Norm"), *record.results[0].heads()[1:]]
    assert store.digest(record) != OLD_DIGEST
    assert '"other"' in store.to_json(record)
