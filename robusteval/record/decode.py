"""Dataclasses from JSON by their type hints, with the standard library alone: strict, and with the path of what does
not fit."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
from typing import Any, Literal, NoReturn, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from robusteval.errors import RecordError

T = TypeVar("T")
MAX_BYTES = 512 << 20
MAX_DIGITS = 300  # of a whole number: the largest real one has 308
MAX_DEPTH = 64  # of what a field of any type may hold
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escape of a surrogate, alone or one of two
_ANYWHERE = "Give a record.json or the folder that holds it."


class _Misfit(Exception):
    """What does not fit, and the path to it, innermost part first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path: list[str] = []


def parse(text: str, what: str = "record", hint: str = _ANYWHERE) -> dict[str, Any]:
    """A JSON object from text. Raises RecordError where it is none, holds NaN, a number that is too large, or a name
    twice."""
    if len(text) > MAX_BYTES:
        raise RecordError(f"This {what} is larger than {MAX_BYTES >> 20} MiB.", hint)
    try:
        data = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, parse_int=short_number, object_pairs_hook=_unique
        )
        whole_letters(text, data)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"This is not a {what}: {fault_of(error)}.", hint) from None
    if not isinstance(data, dict):
        raise RecordError(f"This is not a {what}: it is no JSON object.", hint)
    return data


def fault_of(error: ValueError | RecursionError) -> str:
    """What is wrong with a text that Python's reader of JSON or TOML does not take."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error)[:200]


def whole_letters(text: str, data: object) -> None:
    """Raises ValueError where parsed JSON holds half of a letter, a surrogate without its other half, that no file and
    no terminal takes. text: that it was parsed from, which only by an escape can hold one."""
    if not _HALF.search(text):
        return
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a letter (a lone surrogate)") from None


def decode(kind: type[T], data: object, what: str = "record") -> T:
    """The dataclass `kind` from parsed JSON. Nothing is guessed: an unknown or missing field, a text for a number, a
    true for a 1 raise RecordError with the path to it."""
    try:
        value: T = _reader(cast(Any, kind))(data)
    except _Misfit as misfit:
        where = "".join(reversed(misfit.path)).lstrip(".") or "its top"
        raise RecordError(f"The {what} does not fit its schema at {where[:300]}: {misfit.reason}.") from None
    return value


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"it holds {constant}, which is no number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds {text[:40]}, which is larger than any number")
    return value


def short_number(text: str) -> int:
    """A whole number that is one as a real number too. Raises ValueError."""
    if len(text) > MAX_DIGITS:
        raise ValueError("it holds a number of too many digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        seen: set[str] = set()  # to count each would take hours, where there are a million
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"it holds the name {twice[:80]!r} twice in one place")
    return unique


@functools.cache
def _reader(hint: Any) -> Any:
    """The function that reads a value of this type, or raises _Misfit."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return _anything
    if dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    if origin in (Union, types.UnionType):
        return _union(inner)
    if origin is Literal:
        return functools.partial(_literal, inner)
    if origin is list:
        return functools.partial(_list, _reader(inner[0]))
    if origin is dict and inner[0] is str:
        return functools.partial(_dict, _reader(inner[1]))
    plain = {str: _text, int: _whole, float: _number, bool: _truth, type(None): _nothing}
    if hint in plain:
        return plain[hint]
    raise TypeError(f"there is no rule for reading {hint!r}")


def _said(value: object) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(
        type(value), repr(value)[:40]
    )


def _text(value: object) -> str:
    if type(value) is not str:
        raise _Misfit(f"a text is wanted, not {_said(value)}")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise _Misfit(f"a whole number is wanted, not {_said(value)}")
    return value


def _number(value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is not int:
        raise _Misfit(f"a number is wanted, not {_said(value)}")
    try:
        return float(value)
    except OverflowError:
        raise _Misfit("the number is too large") from None


def _truth(value: object) -> bool:
    if type(value) is not bool:
        raise _Misfit(f"true or false is wanted, not {_said(value)}")
    return value


def _nothing(value: object) -> None:
    if value is not None:
        raise _Misfit(f"null is wanted, not {_said(value)}")


def _anything(value: object, depth: int = 0) -> object:
    if depth > MAX_DEPTH:
        raise _Misfit("it is nested too deeply")
    if isinstance(value, dict | list):
        for element in value.values() if isinstance(value, dict) else value:
            _anything(element, depth + 1)
    return value


def _literal(allowed: tuple[object, ...], value: object) -> object:
    if not any(type(value) is type(choice) and value == choice for choice in allowed):
        raise _Misfit(f"{str(value)[:40]!r} is none of {', '.join(map(str, allowed))}")
    return value


def _list(read: Any, value: object) -> list[Any]:
    if type(value) is not list:
        raise _Misfit(f"a list is wanted, not {_said(value)}")
    items = []
    for index, element in enumerate(value):
        try:
            items.append(read(element))
        except _Misfit as misfit:
            misfit.path.append(f"[{index}]")
            raise
    return items


def _dict(read: Any, value: object) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Misfit(f"an object is wanted, not {_said(value)}")
    items = {}
    for name, element in value.items():
        try:
            items[name] = read(element)
        except _Misfit as misfit:
            misfit.path.append(f".{name[:80]}")
            raise
    return items


def _union(kinds: tuple[Any, ...]) -> Any:
    """The first of them that reads the value as it is; a whole number counts as float only where no int is among them.
    Of those that read a part of it, the one that came furthest says what does not fit."""
    order = sorted(kinds, key=lambda kind: kind is float)
    readers = [_reader(kind) for kind in order]

    def read(value: object) -> object:
        deepest: _Misfit | None = None
        for reader in readers:
            try:
                return reader(value)
            except _Misfit as misfit:
                if len(misfit.path) > (len(deepest.path) if deepest else 0):
                    deepest = misfit
        if deepest is not None:
            raise deepest
        names = " or ".join(kind.__name__ for kind in kinds)
        raise _Misfit(f"{names.replace('NoneType', 'null')} is wanted, not {_said(value)}")

    return read


def _dataclass(kind: Any) -> Any:
    hints = get_type_hints(kind)
    fields = {field.name: _reader(hints[field.name]) for field in dataclasses.fields(kind)}
    needed = {
        field.name
        for field in dataclasses.fields(kind)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }

    def read(value: object) -> object:
        if type(value) is not dict:
            raise _Misfit(f"an object is wanted, not {_said(value)}")
        missing = needed - value.keys()
        if missing:
            raise _Misfit(f"{min(missing)!r} is missing")
        values = {}
        for name, element in value.items():
            if name not in fields:
                raise _Misfit(f"there is no field {name[:80]!r}")
            try:
                values[name] = fields[name](element)
            except _Misfit as misfit:
                misfit.path.append(f".{name}")
                raise
        return kind(**values)

    return read
