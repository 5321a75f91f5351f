"""The rules of test_sanity_edges.py for columns that were read from samples.parquet, where they are looked at as
arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest

from robusteval.errors import RecordError
from robusteval.record.column import Column
from robusteval.record.measured.layout import changed
from robusteval.record.measured.per_sample import packed
from robusteval.record.measured.samples_table import entry_columns
from robusteval.record.measured.witness_rows import WitnessRows
from robusteval.record.run import Record
from robusteval.record.sanity import check
from tests.engine.test_findings import N
from tests.record.test_sanity_edges import put, whole


def read(record: Record) -> Record:
    """The record as it is after reading."""

    def pack(column: Sequence[Any], item: Any, where: str) -> Sequence[Any]:
        return packed(column, item.kind, where, item.nested)

    return changed(record, pack, lambda entries: WitnessRows(entry_columns(entries)))


def test_a_record_that_makes_sense() -> None:
    check(read(whole()))


@pytest.mark.parametrize(
    ("path", "allowed", "refused"),
    [
        ("data.labels[3]", [0, 1], [2, -1]),
        ("data.labels[0]", [1], [2, -1]),
        ("data.l2[3]", [0.0, 5.0], [-0.1]),
        ("pipelines[0].prediction[3]", [-1, 0, 1, 2], [-2, 3]),
        ("pipelines[1].certified[3]", [0.0, 9.0], [-1e-9]),
        ("pipelines[0].confidence[3]", [0.0, 1.0, 1.0 + 1e-9], [-0.001, 1.001]),
        ("cells[1].distance[3]", [None, 0.0, 9.0], [-1e-9]),
        ("cells[1].distance[0]", [None, 0.0], [-1e-9]),
        (f"cells[1].distance[{N - 1}]", [None, 0.0], [-1e-9]),
        ("cells[1].l2[3]", [None, 0.0, 9.0], [-1e-9]),
        ("cells[1].forwards[3]", [0, 9], [-1]),
        ("cells[1].backwards[3]", [0, 9], [-1]),
        ("cells[1].prediction[3]", [None, -1, 0], [-2]),
        ("cells[1].by_target[3]", [[0.0, 0.1], [None, None]], [[-0.1, 0.0], [0.0, -1e-9]]),
        ("probes[0].distance[3]", [None, 0.0], [-0.1]),
        ("witnesses.entries[0].sample", [0, N - 1], [-1, N]),
        ("witnesses.entries[0].row", [0, 9], [-1]),
        ("witnesses.entries[0].distance", [0.0, 9.0], [-0.1]),
    ],
)
def test_each_rule(path: str, allowed: list[Any], refused: list[Any]) -> None:
    for value in allowed:
        record = whole()
        put(record, path, value)
        check(read(record))
    said = []
    for value in refused:
        record = whole()
        put(record, path, value)
        for made in (record, read(record)):
            with pytest.raises(RecordError, match="makes no sense at") as error:
                check(made)
            said.append(error.value.message)
    assert said[::2] == said[1::2], "the same sentence either way"


def test_the_first_that_is_too_little_is_named() -> None:
    record = whole()
    record.cells[1].distance[5] = record.cells[1].distance[9] = -0.5
    with pytest.raises(RecordError, match=r"at cells\[1\]\.distance\[5\]: -0\.5 is less than 0"):
        check(read(record))


@pytest.mark.parametrize("row", [[0.0], [0.0, 0.1, 0.2]])
def test_rows_are_as_long_as_there_are_classes(row: list[float | None]) -> None:
    record = whole()
    record.cells[1].by_target = [list(row) for _ in range(N)]
    with pytest.raises(RecordError, match=rf"by_target\[0\]: it has {len(row)} entries for 2 samples"):
        check(read(record))


@pytest.mark.parametrize("name", ["labels", "l2", "names", "hashes"])
def test_columns_are_as_long_as_the_samples(name: str) -> None:
    record = whole()
    record.data.names = ["x"] * N
    setattr(record.data, name, getattr(record.data, name)[:-1])
    with pytest.raises(RecordError, match=rf"at data\.{name}: it has {N - 1} entries for {N} samples"):
        check(read(record))


def test_rows_of_classes_of_one_sample() -> None:
    record = whole()
    record.probes[0] = dataclasses.replace(
        record.probes[0], distance=[0.1], l2=[0.1], by_target=[[0.0, None]], forwards=[1], backwards=[1]
    )
    check(read(record))


def test_columns_have_keys_of_their_own() -> None:
    record = whole()
    record.results[0].columns = [Column("a", "A"), Column("a", "B")]
    with pytest.raises(RecordError) as error:
        check(record)
    said = "results[0].columns: two columns have the key 'a'."
    assert error.value.message == f"The record makes no sense at {said}"
