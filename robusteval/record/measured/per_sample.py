"""Columns with one entry a sample as a record that was read has them: numpy arrays that are read like lists.

A run makes lists; three million rows that come from a file stay arrays. Both are typed as lists where the record
declares them, and whoever reads one reads the other the same way: entries by place, `None` where there is none, slices,
`len`, `==`, `for`. Nobody writes to a column that was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class PerSample(Sequence[Any]):
    """A column. array: [N] numbers or truths, or with words places in these, or [N, K] for a row of numbers a sample;
    known: of the same shape, false where there is no entry; None: all are there."""

    array: Array
    known: NDArray[np.bool_] | None = None
    words: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, place: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: SupportsIndex | slice) -> Any:
        if isinstance(place, slice):
            return self._some(place)
        if self.array.ndim > 1:
            return self._some([place])[0]
        if self.known is not None and not self.known[place]:
            return None
        value = self.array[place].item()
        return value if self.words is None else self.words[value]

    def _some(self, places: Any) -> list[Any]:
        known = None if self.known is None else self.known[places]
        return PerSample(self.array[places], known, self.words).listed()

    def __iter__(self) -> Iterator[Any]:
        return iter(self.listed())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, list | PerSample) and len(self) == len(other) and self.listed() == list(other)

    __hash__ = None  # type: ignore[assignment] # as of lists

    def __repr__(self) -> str:
        return repr(self.listed())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """As numpy makes an array of a list: without an entry is NaN among floats."""
        if self.words is None and (self.known is None or self.known.all()):
            return self.array.astype(self.array.dtype if dtype is None else dtype)
        if self.words is None and dtype is not None and np.issubdtype(dtype, np.floating):
            return numbers(self, np.nan).astype(dtype)
        return np.array(self.listed(), dtype=dtype)

    def listed(self) -> list[Any]:
        """The column as a list."""
        if self.words is not None:
            words = np.array(self.words, dtype=object)
            found = words[self.array] if len(words) else np.full(len(self), None, dtype=object)
        elif self.known is None:
            return list(self.array.tolist())
        else:
            found = self.array.astype(object)
        if self.known is not None:
            found[~self.known] = None
        return list(found.tolist())


def numbers(column: Sequence[float | None], never: float = np.inf) -> Floats:
    """[N] float64 of a column of numbers or truths; `never` where there is no entry."""
    if isinstance(column, PerSample):
        values: Floats = column.array.astype(np.float64)
        if column.known is not None:
            values[~column.known] = never
        return values
    return np.array([never if value is None else value for value in column], dtype=np.float64)


def there(column: Sequence[Any]) -> NDArray[np.bool_]:
    """[N] whether there is an entry."""
    if isinstance(column, PerSample):
        return np.ones(len(column), dtype=bool) if column.known is None else column.known
    return np.array([value is not None for value in column], dtype=bool)


def rows_of(table: Sequence[Sequence[float | None]], never: float = np.inf) -> Floats:
    """[N, K] float64 of a column with a row of numbers a sample."""
    if isinstance(table, PerSample):
        return numbers(table, never)
    return np.array([[never if value is None else value for value in row] for row in table], dtype=np.float64)


_KINDS: dict[str, tuple[type, ...]] = {
    "number": (float, int, np.floating, np.integer),
    "whole": (int, np.integer),
    "truth": (bool, np.bool_),
    "text": (str,),
}
_DTYPES = {"number": np.float64, "whole": np.int64, "truth": np.bool_}


def packed(column: Sequence[Any], kind: str, where: str, nested: bool = False) -> PerSample:
    """The column as arrays. kind: number, whole, truth or text.

    Raises RecordError, naming the place, for an entry of another kind, a number that JSON cannot carry (NaN, infinite,
    or a whole one beyond 64 bits), and rows of different lengths.
    """
    if isinstance(column, PerSample):
        return column
    rows = [list(row) for row in column] if nested else [list(column)]
    if len({len(row) for row in rows}) > 1:
        raise RecordError(f"The record does not fit its schema at {where}: its rows are of different lengths.")
    flat = [value for row in rows for value in row]
    allowed = _KINDS[kind]
    for value in flat:
        if value is not None and (not isinstance(value, allowed) or (kind != "truth" and isinstance(value, bool))):
            raise RecordError(f"The record does not fit its schema at {where}: {value!r:.40} is no {kind}.")
    known = there(flat)
    shape = (len(rows), len(rows[0]) if rows else 0) if nested else (len(flat),)
    mask = None if known.all() else known.reshape(shape)
    if kind == "text":
        words = {word: place for place, word in enumerate(dict.fromkeys(value for value in flat if value is not None))}
        places = np.array([0 if value is None else words[value] for value in flat], dtype=np.int64)
        return PerSample(places, mask, tuple(words))
    try:
        values: Array = np.array([0 if value is None else value for value in flat], dtype=_DTYPES[kind])
    except OverflowError:
        raise RecordError(f"The record holds a number that JSON cannot carry at {where}: it is too large.") from None
    if kind == "number" and not np.isfinite(values).all():
        raise RecordError(f"The record holds a number that JSON cannot carry at {where}: it is not finite.")
    return PerSample(values.reshape(shape), mask)
