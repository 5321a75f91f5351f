"""The document of several models: fresh schema, round trip, refusals, and how the matrix is counted."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from robusteval.errors import RecordError
from robusteval.record import comparison
from robusteval.record.comparison import Share, Source, Transfer, fooled
from tests import comparisons


@pytest.fixture(scope="module")
def text() -> str:
    return comparison.to_json(comparisons.make())


def test_the_committed_schema_is_fresh() -> None:
    """The command that writes it anew is in docs/document.md; run it when this fails."""
    assert comparison.DOCUMENT.schema == comparison.DOCUMENT.build_schema()


def test_round_trip(text: str) -> None:
    assert comparison.to_json(comparison.from_json(text)) == text


def test_a_cell_counts_only_what_both_models_get_right() -> None:
    made = comparisons.make()
    made.data = dataclasses.replace(made.data, labels=[0, 0, 0, 0, 0])
    made.models = made.models[:2]
    right = [[True, True, True, True, False], [True, True, True, False, True]]
    first = Source("lenet", "done", "", [[1, 1, 0, 1, 0], [1, 0, 2, 3, 0]])
    second = Source("fc", "excluded", "no gradients")
    made.transfer = Transfer("pgd", "pgd", "1", {}, "linf", 0.2, right, [first, second])
    assert fooled(made, 0, 0) == (Share(3, 4), Share(3, 3))
    assert fooled(made, 0, 1) == (Share(2, 3), Share(1, 2))
    assert fooled(made, 1, 0) is None
    assert Share(0, 0).value is None


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("models", 0, "key"), "../other"),
        (("models", 0, "key"), ".hidden"),
        (("models", 0, "key"), ""),
        (("transfer", "sources", 0, "answers", 1), [1, 2]),
        (("transfer", "sources", 0, "answers"), []),
        (("transfer", "right"), []),
        (("transfer", "eps"), "much"),
        (("schema",), "other"),
    ],
)
def test_what_does_not_fit_is_refused(text: str, path: tuple[str | int, ...], value: str | list[int]) -> None:
    data = json.loads(text)
    place = data
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    with pytest.raises(RecordError):
        comparison.from_json(json.dumps(data))


@pytest.mark.parametrize("bad", ["", "{", "[]", "{}", "[" * 100_000])
def test_what_is_no_comparison_is_refused(bad: str) -> None:
    with pytest.raises(RecordError):
        comparison.from_json(bad)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    assert not comparison.is_comparison(tmp_path)
    with pytest.raises(RecordError, match="Cannot read"):
        comparison.load(tmp_path)
