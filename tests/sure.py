"""What a test knows to be there, and a type says may be missing."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def sure(value: T | None) -> T:
    """The value; where there is none, the test fails."""
    assert value is not None
    return value


def instance(value: object, kind: type[T]) -> T:
    """The value, which is of that kind; where it is not, the test fails."""
    assert isinstance(value, kind), type(value)
    return value


def number(value: object) -> float:
    """The value as a number; where it is none, the test fails."""
    assert isinstance(value, int | float), value
    return float(value)
