"""Columns that were read behave like the lists that a run makes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from robusteval.errors import RecordError
from robusteval.record.measured.per_sample import PerSample, numbers, packed, rows_of, there

COLUMNS: dict[str, tuple[list[Any], str, bool]] = {
    "numbers": ([0.5, 0.0, -2.0], "number", False),
    "numbers, some never": ([0.5, None, 3.0], "number", False),
    "never": ([None, None], "number", False),
    "whole": ([3, -1, 2**40], "whole", False),
    "whole, some not": ([None, 7, None], "whole", False),
    "truths": ([True, False], "truth", False),
    "truths, some not": ([True, None, False], "truth", False),
    "texts": (["b", "a", "b"], "text", False),
    "texts, some not": ([None, "a", None], "text", False),
    "no text": ([None, None], "text", False),
    "rows": ([[0.5, None], [1.0, 2.0], [None, None]], "number", True),
    "full rows": ([[0.5, 0.25], [1.0, 2.0]], "number", True),
    "empty": ([], "number", False),
    "empty rows": ([], "number", True),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_it_is_read_like_the_list(name: str) -> None:
    values, kind, nested = COLUMNS[name]
    column = packed(values, kind, "here", nested)
    assert len(column) == len(values)
    assert bool(column) == bool(values)
    assert list(column) == column.listed() == values
    assert [type(value) for value in column] == [type(value) for value in values]
    assert column == values
    assert values == column
    assert column == packed(values, kind, "here", nested)
    assert column != [*values, 1]
    assert column != tuple(values)
    assert repr(column) == repr(values)
    assert copy.deepcopy(column) == values
    for place in range(-len(values), len(values)):
        assert column[place] == values[place]
        assert type(column[place]) is type(values[place])
    for part in (slice(None), slice(1, None), slice(0, 1), slice(None, None, 2)):
        assert column[part] == values[part]
        assert type(column[part]) is list
    with pytest.raises(IndexError):
        column[len(values)]
    assert [value is not None for value in values] == there(values).tolist()
    assert there(column).shape[0] == len(values)
    with pytest.raises(TypeError):
        hash(column)


def test_another_value_is_another_column() -> None:
    assert packed([1, 2], "whole", "") != [1, 3]
    assert packed([1, None], "whole", "") != [1, 0]
    assert packed(["a"], "text", "") != ["b"]


@pytest.mark.parametrize("name", COLUMNS)
def test_numpy_makes_of_it_what_it_makes_of_the_list(name: str) -> None:
    values, kind, nested = COLUMNS[name]
    if not values:
        return
    column = packed(values, kind, "here", nested)
    assert np.asarray(column).dtype.kind == np.asarray(values).dtype.kind
    assert np.asarray(column).tolist() == np.asarray(values).tolist()
    if kind != "text":
        found, wanted = (np.asarray(item, dtype=np.float64) for item in (column, values))
        assert np.array_equal(found, wanted, equal_nan=True)


def test_numpy_makes_a_copy() -> None:
    column = packed([1.0], "number", "")
    np.asarray(column)[0] = 2.0  # nobody writes to what was read
    assert column == [1.0]


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        ([0.5, 2.0], "number", np.float32), ([0.5, None], "number", np.float32), ([1, 0], "whole", np.bool_),
        ([True, None], "truth", np.object_), (["a", "b"], "text", np.object_), ([1, 2], "whole", np.float64),
    ],
)  # fmt: skip
def test_numpy_is_given_the_type_that_it_asks_for(values: list[Any], kind: str, dtype: Any) -> None:
    found, wanted = packed(values, kind, "").__array__(dtype), np.array(values, dtype=dtype)
    assert found.dtype == wanted.dtype
    assert [str(value) for value in found] == [str(value) for value in wanted]


@pytest.mark.parametrize(("values", "kind", "dtype"), [(["a"], "text", np.float64), ([1, None], "whole", np.int64)])
def test_what_numpy_refuses_of_the_list_it_refuses_here(values: list[Any], kind: str, dtype: Any) -> None:
    for column in (values, packed(values, kind, "")):
        with pytest.raises((ValueError, TypeError)):
            np.asarray(column, dtype=dtype)


@pytest.mark.parametrize("pack", [True, False])
def test_columns_as_numbers(pack: bool) -> None:
    def of(values: list[Any], kind: str, nested: bool = False) -> Any:
        return packed(values, kind, "", nested) if pack else values

    assert numbers(of([1.0, None, 0.0], "number")).tolist() == [1.0, np.inf, 0.0]
    assert numbers(of([1, None], "whole"), -1).tolist() == [1.0, -1.0]
    assert numbers(of([True, False], "truth")).tolist() == [1.0, 0.0]
    assert numbers(of([], "number")).dtype == np.float64
    assert rows_of(of([[1.0, None], [2.0, 0.0]], "number", nested=True)).tolist() == [[1.0, np.inf], [2.0, 0.0]]
    assert rows_of(of([[1.0, None]], "number", nested=True), -1.0).tolist() == [[1.0, -1.0]]
    assert rows_of(of([[1, 2]], "number", nested=True)).dtype == np.float64
    assert there(of([1, None, 0], "whole")).tolist() == [True, False, True]
    assert there(of([1, 2], "whole")).tolist() == [True, True]
    assert there(of([], "whole")).dtype == np.bool_
    assert numbers(of([1, 2], "whole"), 0).dtype == np.float64


@pytest.mark.parametrize(
    ("values", "kind", "nested", "wanted"),
    [
        ([None, 2.0], "number", False, [0.0, 2.0]), ([2, None], "whole", False, [2, 0]),
        ([True, None], "truth", False, [True, False]), ([[1.0, None]], "number", True, [[1.0, 0.0]]),
        (["a", None, "b"], "text", False, [0, 0, 1]),
    ],
)  # fmt: skip
def test_where_there_is_no_entry_the_array_has_nought(
    values: list[Any], kind: str, nested: bool, wanted: list[Any]
) -> None:
    """So that the same column is the same file."""
    assert packed(values, kind, "", nested).array.tolist() == wanted


@pytest.mark.parametrize(
    ("values", "kind", "nested", "shape", "dtype"),
    [
        ([], "number", True, (0, 0), np.float64), ([[], []], "number", True, (2, 0), np.float64),
        ([[1.0, 2.0, None]], "number", True, (1, 3), np.float64), ([], "text", False, (0,), np.int64),
        ([], "whole", False, (0,), np.int64), ([], "truth", False, (0,), np.bool_),
        ([None], "text", False, (1,), np.int64),
    ],
)  # fmt: skip
def test_shape_and_type_of_the_array(
    values: list[Any], kind: str, nested: bool, shape: tuple[int, ...], dtype: Any
) -> None:
    array = packed(values, kind, "", nested).array
    assert array.shape == shape
    assert array.dtype == dtype


def test_numbers_leave_the_column_as_it_is() -> None:
    column = packed([1.0, None], "number", "")
    numbers(column)[0] = 9.0
    assert numbers(column, 5.0).tolist() == [1.0, 5.0]
    assert column == [1.0, None]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1.5], "whole"), (["1"], "number"), ([True], "number"), ([True], "whole"), ([1], "truth"), ([1], "text"),
        ([[1.0]], "number"), ([b"a"], "text"),
    ],
)  # fmt: skip
def test_an_entry_of_another_kind_is_refused_by_its_place(values: list[Any], kind: str) -> None:
    with pytest.raises(RecordError, match=r"does not fit its schema at cells\[0\]\.x: .* is no " + kind):
        packed(values, kind, "cells[0].x")


@pytest.mark.parametrize(
    ("value", "kind"), [(np.inf, "number"), (-np.inf, "number"), (np.nan, "number"), (2**63, "whole")]
)
def test_a_number_that_json_cannot_carry_is_refused(value: float, kind: str) -> None:
    with pytest.raises(RecordError, match="JSON cannot carry at here"):
        packed([0, value], kind, "here")


def test_rows_of_different_lengths_are_refused() -> None:
    with pytest.raises(RecordError, match="at here: its rows are of different lengths"):
        packed([[1.0], [1.0, 2.0]], "number", "here", nested=True)


def test_what_is_packed_already_stays() -> None:
    column = PerSample(np.zeros(2))
    assert packed(column, "number", "") is column
