"""Reading what may be of several kinds: who says what does not fit."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.errors import RecordError
from robusteval.record.decode import decode


@dataclasses.dataclass
class Inner:
    number: float


@dataclasses.dataclass
class Deep:
    part: Inner


@dataclasses.dataclass
class Flat:
    part: str


@pytest.mark.parametrize("kinds", [Deep | Flat | int, int | Flat | Deep], ids=["deep first", "deep last"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"part": {"number": "x"}}, "one.part.number: a number is wanted, not a text."),
        ({"part": 3}, "one.part: "),
    ],
)
def test_of_several_kinds_the_one_that_came_furthest_says_what_does_not_fit(
    kinds: Any, value: object, said: str
) -> None:
    """The class is made anew for each case, as readers of a class are made once: so each case makes its own."""
    kind = dataclasses.make_dataclass("Kind", [("one", kinds)])
    with pytest.raises(RecordError) as error:
        decode(kind, {"one": value})
    assert said in error.value.message


def test_a_misfit_one_step_inside_is_deeper_than_none() -> None:
    """The classes are made here, so that no reader of them is kept from before."""
    flat = dataclasses.make_dataclass("Flat", [("part", str)])
    kind = dataclasses.make_dataclass("Kind", [("one", flat | int)])
    for value, said in (
        ({"part": 3}, "at one.part: a text is wanted, not 3."),
        ("x", "at one: Flat or int is wanted, not a text."),
    ):
        with pytest.raises(RecordError) as error:
            decode(kind, {"one": value})
        assert error.value.message.endswith(said)
