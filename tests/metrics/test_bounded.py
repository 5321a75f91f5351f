"""Tables that would grow with the samples or with the square of the classes end, and say so; those of older documents
are as they were."""

from __future__ import annotations

import dataclasses

import pytest

from robusteval.metrics import label_next, per_class, targets
from robusteval.metrics._common import bounded
from robusteval.record.run import COLUMNS_INSIDE, TITLES_ONLY, Record, Result
from tests import records


def only(results: list[Result], start: str) -> Result:
    return next(result for result in results if result.name.startswith(start))


def older(record: Record) -> Record:
    return dataclasses.replace(record, schema=COLUMNS_INSIDE)


@pytest.fixture
def record() -> Record:
    record = records.make(60)
    classes = record.model.classes

    def distance(label: int, goal: int) -> float | None:
        if goal == label:
            return 0.0
        return float(1 + (goal * 7 + label) % 5) if goal % 3 else None

    for cell in record.done(knowledge="none"):
        cell.by_target = [[distance(label, goal) for goal in range(classes)] for label in record.data.labels]
    return record


def test_the_limits_are_those_that_the_documentation_says() -> None:
    assert (bounded.MOST_ROWS, bounded.MOST_FLIPS, bounded.MOST_PAIRS) == (1000, 500, 10_000)


def test_only_this_version_is_bounded() -> None:
    record = records.make(20)
    assert bounded.room(record) == 1000
    assert bounded.room(record, 7) == 7
    for schema in (COLUMNS_INSIDE, TITLES_ONLY):
        assert bounded.room(dataclasses.replace(record, schema=schema)) > 10**9


def test_the_heaviest() -> None:
    assert bounded.heaviest([1, 3, 2, 3], 4) == [0, 1, 2, 3]
    assert bounded.heaviest([1, 3, 2, 3], 3) == [1, 2, 3]
    assert bounded.heaviest([1, 3, 2, 3], 1) == [1]
    assert bounded.heaviest([2, 2, 2], 2) == [0, 1]
    assert bounded.heaviest([], 2) == []


def test_samples_to_label_next(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    full = list(label_next.LabelNext().compute(record))
    monkeypatch.setattr(bounded.room, "__defaults__", (5,))
    cut = list(label_next.LabelNext().compute(record))
    for whole, short in zip(full, cut, strict=True):
        assert len(whole.rows) > 5
        assert short.rows == whole.rows[:5]
        said = f" The first 5 of {len(whole.rows)}; samples.parquet has the distances of all."
        assert short.description == whole.description + said
    assert list(label_next.LabelNext().compute(older(record))) == full


def test_pairs_of_classes(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    full = only(list(per_class.PerClass().compute(record)), "flips/l2/none")
    monkeypatch.setattr(bounded, "MOST_FLIPS", 5)
    cut = only(list(per_class.PerClass().compute(record)), "flips/l2/none")
    assert len(full.rows) > 5
    assert cut.rows == [row for row in full.rows if row in cut.rows]
    left = [row[4] for row in full.rows if row not in cut.rows]
    assert len(cut.rows) == 5
    assert min(int(str(row[4])) for row in cut.rows) >= max(int(str(count)) for count in left)
    assert cut.description == f"{full.description} The 5 most frequent of {len(full.rows)} pairs."
    assert only(list(per_class.PerClass().compute(older(record))), "flips/l2/none") == full


def test_attacks_on_every_class(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    (full,) = targets.Targets().compute(record)
    monkeypatch.setattr(bounded, "MOST_PAIRS", 5)
    (cut,) = targets.Targets().compute(record)
    assert len(full.rows) > 5
    assert len(cut.rows) == 5
    assert {row[6] for row in cut.rows} == {1.0}
    assert cut.description == f"{full.description} The 5 most successful of {len(full.rows)} rows."
    assert list(targets.Targets().compute(older(record))) == [full]
