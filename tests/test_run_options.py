"""One list of options: whatever a run can be asked, the command line, `evaluate` and `compare` take."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import pytest

import robusteval
from robusteval.cli.run_command import command
from robusteval.engine.run.options import RunOptions

FIELDS = {field.name: field for field in dataclasses.fields(RunOptions) if field.name != "command"}
AS_A_FLAG = {"labels_from_model": "labels"}  # --labels model


@pytest.mark.parametrize("call", [robusteval.evaluate, robusteval.compare])
@pytest.mark.parametrize("name", FIELDS)
def test_the_python_api_takes_every_option_with_the_same_default(call: Callable[..., Any], name: str) -> None:
    found = inspect.signature(call).parameters
    assert name in found
    assert found[name].default == FIELDS[name].default


@pytest.mark.parametrize("name", FIELDS)
def test_the_command_line_takes_every_option(name: str) -> None:
    assert AS_A_FLAG.get(name, name) in {parameter.name for parameter in command.params}


def test_a_model_among_others_has_its_part_of_the_time_and_the_others_to_transfer_from() -> None:
    asked = RunOptions(time_budget=60.0)
    assert asked.of(3, ("b", "c")) == RunOptions(time_budget=20.0, surrogates=("b", "c"))
    assert RunOptions(surrogates=("s",)).of(2, ("b",)).surrogates == ("s",)
