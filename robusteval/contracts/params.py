"""Parameters of plugins: plain dataclass fields with a description and bounds, and the JSON schema made from them."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema
from pydantic import TypeAdapter

from robusteval.errors import SuiteError
from robusteval.foreign import foreign, words

_LARGEST = 1e15  # beyond it float32 sums of squares over an image are infinite


def param(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[Any] | None = None,
) -> Any:
    """A dataclass field that is a plugin's parameter: its default, one sentence about it (with its unit), its
    bounds."""
    limits = {"minimum": minimum, "maximum": maximum, "enum": list(choices) if choices is not None else None}
    schema = {"description": description} | {key: value for key, value in limits.items() if value is not None}
    return dataclasses.field(default=default, metadata={"schema": schema})


def params_schema(plugin: type) -> dict[str, Any]:
    """JSON schema of a plugin's parameters, from its dataclass fields; unknown names are refused."""
    if not dataclasses.is_dataclass(plugin):
        return {"type": "object", "properties": {}, "additionalProperties": False}
    schema: dict[str, Any] = TypeAdapter(plugin).json_schema()
    properties = {}
    for item in dataclasses.fields(plugin):
        if item.init:
            properties[item.name] = schema["properties"][item.name] | item.metadata.get("schema", {})
    return {"type": "object", "properties": properties, "additionalProperties": False}


def make(plugin: type, params: dict[str, Any], name: str) -> Any:
    """The plugin with these parameters. Raises SuiteError with the parameter's name when one is unknown or off
    limits."""
    schema = params_schema(plugin)
    for where, value in not_finite(params):
        raise SuiteError(
            f"Parameter {where} of {name} is {value}, which is no number to work with.",
            f"`robusteval plugins show {name}` lists its parameters and their limits.",
        )
    for unknown in (name_given for name_given in params if name_given not in schema["properties"]):
        near = difflib.get_close_matches(unknown, list(schema["properties"]), n=1, cutoff=0.5)
        raise SuiteError(
            f"{name} has no parameter {unknown!r}{f' (did you mean {near[0]!r}?)' if near else ''}.",
            f"`robusteval plugins show {name}` lists its parameters and their limits.",
        )
    for problem in jsonschema.Draft202012Validator(schema).iter_errors(params):
        where = ".".join(str(part) for part in problem.absolute_path)
        raise SuiteError(
            f"Parameter {where or ''!s} of {name} is not valid: {problem.message}.".replace("  ", " "),
            f"`robusteval plugins show {name}` lists its parameters and their limits.",
        )
    try:
        with foreign():
            return plugin(**params)
    except Exception as error:  # some check their parameters together when they are made
        raise SuiteError(
            f"{name} does not take these parameters: {words(error)}.",
            f"`robusteval plugins show {name}` lists its parameters and their limits.",
        ) from error


def not_finite(data: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """(where, value) of every number in nested data that is NaN, infinite, or so large that sums with it are not
    finite."""
    if isinstance(data, Mapping | list | tuple):
        rows = data.items() if isinstance(data, Mapping) else enumerate(data)
        for key, value in rows:
            yield from not_finite(value, f"{where}.{key}" if where else str(key))
    elif isinstance(data, int | float) and not -_LARGEST <= data <= _LARGEST:
        yield where or "the value", data if isinstance(data, float) else f"larger than {_LARGEST:g}"


def params_of(plugin: Any) -> dict[str, Any]:
    """The parameters that a plugin instance runs with, defaults included, JSON-able."""
    if not dataclasses.is_dataclass(plugin) or isinstance(plugin, type):
        return {}
    return {item.name: getattr(plugin, item.name) for item in dataclasses.fields(plugin) if item.init}
