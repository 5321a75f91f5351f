"""What is wrong with a suite, in one sentence that names the file, the setting and, for a slip of the pen, the right
name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

import jsonschema
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from robusteval.contracts.params import params_schema
from robusteval.engine.suite.schema import settings_at
from robusteval.errors import SuiteError

HINT = "`robusteval suites schema` prints what is allowed."
_UNKNOWN = "unexpected_keyword_argument"
_KINDS = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a text",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a table",
    "dataclass_type": "a table",
}


def invalid(source: str, place: Iterable[int | str], said: str) -> SuiteError:
    """The error for one place of a suite."""
    return SuiteError(f"The suite {source} is not valid at {where(place)}: {said}.", HINT)


def where(place: Iterable[int | str]) -> str:
    return ".".join(str(part) for part in place if part != "[key]") or "the top level"


def from_declaration(source: str, error: ValidationError) -> SuiteError:
    """The error for the first thing that does not fit the declaration; of these a name that there is not comes first,
    as what is missing may be what was meant."""
    first = min(error.errors(include_url=False), key=lambda item: item["type"] != _UNKNOWN)
    place = first["loc"]
    if first["type"] in (_UNKNOWN, "missing"):
        name, place = str(place[-1]), place[:-1]
        if first["type"] == "missing":
            return invalid(source, place, f"the setting {name!r} is missing")
        return invalid(source, place, f"there is no setting {name!r}{_meant(name, settings_at(place))}")
    return invalid(source, place, _said(first))


def _said(first: ErrorDetails) -> str:
    """What a value should be, and what it is."""
    kind, given = first["type"], _short(first["input"])
    if kind == "value_error":
        return first["msg"].removeprefix("Value error, ")
    if kind == "too_short":
        return f"it needs at least {first['ctx']['min_length']} entry"
    if kind in _KINDS:
        return f"it should be {_KINDS[kind]}, not {given}"
    rule = first["msg"].removeprefix("Input ").removeprefix("String ")
    return f"it {rule}, not {given}"


def params_fault(source: str, place: tuple[int | str, ...], plugin: type, params: dict[str, Any]) -> SuiteError | None:
    """The error for the first parameter that the plugin does not take; None where it takes them all."""
    rules = params_schema(plugin)
    unknown = next((name for name in params if name not in rules["properties"]), None)
    if unknown is not None:
        meant = _meant(unknown, rules["properties"])
        return invalid(source, (*place, "params"), f"there is no parameter {unknown!r}{meant}")
    for problem in jsonschema.Draft202012Validator(rules).iter_errors(params):
        deepest = jsonschema.exceptions.best_match([problem]) or problem
        return invalid(source, (*place, "params", *deepest.absolute_path), deepest.message[:300])
    return None


def _meant(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _short(value: object) -> str:
    """A value as TOML has it, as far as that is short."""
    text = str(value).lower() if isinstance(value, bool) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
