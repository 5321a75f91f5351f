"""Parameters: plain dataclass fields, described, bounded, checked against a schema."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from robusteval.api import param
from robusteval.contracts.params import make, params_of, params_schema
from robusteval.errors import SuiteError


@dataclass(frozen=True)
class Plugin:
    steps: int = param(10, "Number of steps.", minimum=1)
    loss: str = param("ce", "Loss to climb.", choices=["ce", "margin"])
    rate: float | None = param(None, "Step size; none for an automatic one.")


class Bare:
    pass


def test_the_schema_names_types_bounds_choices_and_defaults() -> None:
    schema = params_schema(Plugin)
    steps = schema["properties"]["steps"]
    assert (steps["type"], steps["minimum"], steps["default"]) == ("integer", 1, 10)
    assert steps["description"] == "Number of steps."
    assert schema["properties"]["loss"]["enum"] == ["ce", "margin"]
    assert schema["additionalProperties"] is False
    assert params_schema(Bare)["properties"] == {}


@pytest.mark.parametrize(
    ("params", "word"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": "many"}, "steps"),
        ({"loss": "hinge"}, "loss"),
        ({"speed": 3}, "speed"),
        ({"rate": [1]}, "rate"),
    ],
)
def test_what_does_not_fit_is_named(params: dict[str, object], word: str) -> None:
    with pytest.raises(SuiteError, match=word) as caught:
        make(Plugin, params, "plug")
    assert "plugins show plug" in caught.value.hint


def test_what_fits_is_made() -> None:
    plugin = make(Plugin, {"steps": 3, "rate": 0.5}, "plug")
    assert params_of(plugin) == {"steps": 3, "loss": "ce", "rate": 0.5}
    assert params_of(Bare()) == {}
