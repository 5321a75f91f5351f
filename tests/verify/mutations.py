"""Every field of a record, changed one at a time."""

from __future__ import annotations

import copy
import random
import re
from collections.abc import Iterator
from typing import Any

from robusteval.assessment.looked import MEASURED, RETOLD

Path = tuple[str | int, ...]
SWAPPED = "two swapped"


def named(data: Any, path: Path) -> str:
    """The path with every index as [*], but cells by who attacks, pipelines by whether they are defended, and checks by
    whether they were made before the run: one pattern for all fields of a kind."""
    words = "".join("[*]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    if len(path) < 2 or not isinstance(path[1], int):
        return words
    row = data[path[0]][path[1]]
    which = ""
    if path[0] == "cells":
        which = "bare" if row["knowledge"] == "none" else row["knowledge"]
    elif path[0] == "pipelines":
        which = "bare" if row["defense"] == "none" else "defended"
    elif path[0] == "checks":
        which = "before" if row["id"] in MEASURED else "retold" if row["id"] in RETOLD else "derived"
    return words.replace("[*]", f"[{which}]", 1) if which else words


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in the document below its top."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in parts:
        yield (*path, name)
        yield from places(inner, (*path, name))


def at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def changes(value: Any) -> Iterator[tuple[str, Any]]:
    """(what is done, the new value) for a value of any kind."""
    if isinstance(value, bool):
        yield "the opposite", not value
    elif isinstance(value, int):
        yield "one more", value + 1
        yield "one less", value - 1
    elif isinstance(value, float):
        yield "a tenth more", value * 1.1 + 1e-3
        yield "half", value / 2 if value else 0.25
    elif isinstance(value, str):
        yield "another text", value + "x"
    elif value is None:
        yield "a number", 1
        yield "a text", "x"
    elif isinstance(value, list):
        if value:
            yield "the last dropped", value[:-1]
            yield "the first twice", [value[0], *value]
        if len(value) > 1 and value[0] != value[1]:
            yield SWAPPED, [value[1], value[0], *value[2:]]
        if not value:
            yield "an entry more", [0]
    elif isinstance(value, dict):
        if value:
            first = next(iter(value))
            yield "a name dropped", {name: element for name, element in value.items() if name != first}
        yield "a name more", value | {"x": 1}
    if value is not None:
        yield "null", None


def mutations(data: dict[str, Any], per_kind: int, seed: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(path pattern, what was done, the changed record) for every kind of field, at most so many places of each."""
    rng = random.Random(seed)
    by_kind: dict[str, list[Path]] = {}
    for path in places(data):
        by_kind.setdefault(named(data, path), []).append(path)
    for kind, found in by_kind.items():
        for path in rng.sample(found, min(per_kind, len(found))):
            for what, value in changes(at(data, path)):
                made = copy.copy(data)
                inner: Any = made
                for part in path[:-1]:  # copied along the path alone: the rest is shared with the honest record
                    inner[part] = copy.copy(inner[part])
                    inner = inner[part]
                inner[path[-1]] = value
                yield kind, f"{_exact(path)}: {what}", made


def _exact(path: Path) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def matches(kind: str, pattern: str) -> bool:
    """Whether a pattern of the table covers a kind of field. [*] is any place, * any one name, ** anything."""
    words = re.escape(pattern).replace(r"\[\*\]", "INDEX").replace(r"\*\*", "ALL").replace(r"\*", r"[^.\[]*")
    return re.fullmatch(words.replace("INDEX", r"\[(\*|[a-z]+)\]").replace("ALL", ".*"), kind) is not None
