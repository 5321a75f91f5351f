"""Which samples the gallery shows, and how many of large images."""

from __future__ import annotations

import dataclasses

import pytest

from robusteval.assessment.evidence.shown import EARLIER, LARGEST, shown
from robusteval.record.measured.per_sample import packed
from robusteval.record.run import COLUMNS_INSIDE, Record
from tests.engine.test_findings import N, cell, honest


def record(shape: list[int], norms: tuple[str, ...] = ("l2",)) -> Record:
    """Ten classes in turn; in each the samples are lost at 1, 2, 3, ... by the first attack, the third by the second at
    half of that."""
    made = honest()
    made.model.input_shape, made.model.classes = shape, 10
    made.data.labels = [sample % 10 for sample in range(N)]
    made.cells = []
    for norm in norms:
        far: list[float | None] = [1.0 + sample // 10 for sample in range(N)]
        near: list[float | None] = [0.5 * (far[sample] or 0) if sample // 10 == 2 else None for sample in range(N)]
        made.cells += [cell("a", far, norm=norm, id=f"a/{norm}"), cell("b", near, norm=norm, id=f"b/{norm}")]
    return made


@pytest.mark.parametrize(
    ("shape", "norms", "each"),
    [
        ([1, 28, 28], 2, 24), ([3, 32, 32], 4, 24), ([3, 224, 224], 1, 4), ([3, 224, 224], 2, 2), ([3, 224, 224], 4, 1),
        ([3, 1000, 1000], 2, 1),
    ],
)  # fmt: skip
def test_fewer_of_large_images_but_one_at_least(shape: list[int], norms: int, each: int) -> None:
    made = record(shape, ("l0", "l1", "l2", "linf")[:norms])
    assert len(shown(made)) == each * norms
    assert len(shown(dataclasses.replace(made, schema=COLUMNS_INSIDE))) == 6 * norms


def test_the_limit_to_the_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    made = record([3, 10, 10])
    assert LARGEST == 2_500_000
    monkeypatch.setattr("robusteval.assessment.evidence.shown.LARGEST", 3 * 10 * 10 * 4 * 3)
    assert len(shown(made)) == 3
    monkeypatch.setattr("robusteval.assessment.evidence.shown.LARGEST", 3 * 10 * 10 * 4 * 3 - 1)
    assert len(shown(made)) == 2


def test_each_class_s_median_under_its_worst_attack() -> None:
    made = record([1, 28, 28])
    rows = N // 10
    nearest = sorted((0.5 * (1 + row) if row == 2 else 1.0 + row, row) for row in range(rows))
    middle = nearest[len(nearest) // 2][1]
    found = shown(made)
    assert [sample for sample, _ in found[:10]] == [10 * middle + label for label in range(10)]
    assert [sample for sample, _ in shown(made, EARLIER)] == [10 * middle + label for label in range(6)]
    assert {cell.id for _, cell in found[:10]} == {"b/l2" if middle == 2 else "a/l2"}
    quarter = nearest[len(nearest) // 4][1]
    assert [sample for sample, _ in found[10:20]] == [10 * quarter + label for label in range(10)]
    assert len({sample for sample, _ in found}) == len(found) == 24
    for each in made.cells:
        each.distance = packed(each.distance, "number", "")  # type: ignore[assignment] # as read from a file
    assert [(sample, cell.id) for sample, cell in shown(made)] == [(sample, cell.id) for sample, cell in found]


@pytest.mark.parametrize("value", [None, 0.0])
def test_samples_that_were_not_lost_or_not_attacked_are_not_shown(value: float | None) -> None:
    made = record([1, 28, 28])
    for each in made.cells:
        each.distance = [value if sample % 10 == 0 else entry for sample, entry in enumerate(each.distance)]
    assert [sample % 10 for sample, _ in shown(made)[:9]] == list(range(1, 10))
    assert all(sample % 10 for sample, _ in shown(made))
