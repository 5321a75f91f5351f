"""Columns of result tables: a key that programs read, a title that people read, and the unit of what stands below it.

A key is part of the interface and never changes; a title may be reworded at any time. Keys of figures at a budget name
it: `accuracy@linf:0.1`, and `accuracy@linf` where each row has a budget of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

SHARE = "share"  # of the samples or images that the table is about, 0 to 1
DISTANCE = "distance"  # in the norm of the table or row, in the model's own pixel range; l0: pixels
RELATIVE = "share of the pixel range"  # a distance, comparable across models; l0: pixels

_ASIDE = re.compile(r"\s*\([^)]*\)")
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?")
_AT = re.compile(rf"(?P<what>.+?) at (?P<where>l0|l1|l2|linf|{_NUMBER.pattern})")
_OF_NORM = re.compile(r"(?P<what>budget|median) (?P<where>l0|l1|l2|linf)")


@dataclass(frozen=True)
class Column:
    """One column of a table. Keys are not empty, and differ from each other within a table."""

    key: str
    title: str
    unit: str = ""  # SHARE, DISTANCE, "samples", "passes", ...; empty for words, classes and plain numbers


def at_budget(what: str, norm: str, eps: str = "") -> str:
    """The key of a figure at a budget, eps as it is written; or at the budget that its row names."""
    return f"{what}@{norm}:{eps}" if eps else f"{what}@{norm}"


def parts_of(key: str) -> tuple[str, str, str]:
    """(what, norm, budget as it is written) of a key; the last two are empty where it has none."""
    what, _, where = key.partition("@")
    norm, _, eps = where.partition(":")
    return what, norm, eps


def norms_of(what: str, keys: Iterable[str]) -> list[str]:
    """The norms in which there is a column of that figure, in their order."""
    return [parts_of(key)[1] for key in keys if key.startswith(f"{what}@")]


def budgets_of(what: str, keys: Iterable[str]) -> list[str]:
    """The budgets, as they are written, at which there is a column of that figure, in their order."""
    return [parts_of(key)[2] for key in keys if key.startswith(f"{what}@")]


def key_of(title: str, norm: str = "") -> str:
    """The key of a column that has a title alone: of a plugin, or of a document from before columns had keys.

    norm: of the whole table, empty where it has none; it goes into keys of budgets.
    """
    plain = _ASIDE.sub("", title.lower()).replace(" / ", " per ").strip()
    found = _AT.fullmatch(plain) or _OF_NORM.fullmatch(plain)
    if found is None:
        return _words(plain)
    what, where = _words(found["what"]), found["where"]
    return at_budget(what, where) if where in ("l0", "l1", "l2", "linf") else at_budget(what, norm, where)


def keyed(columns: Sequence[Column | str], norm: str = "") -> list[Column]:
    """The columns, each with a key: those that are titles alone get one of their own. Raises TypeError for anything
    else."""
    if isinstance(columns, str):
        raise TypeError("columns are a list, not a text")
    taken = {column.key for column in columns if isinstance(column, Column)}
    made = []
    for place, column in enumerate(columns):
        if isinstance(column, str):
            key = stem = key_of(column, norm) or f"column-{place + 1}"
            count = 2
            while key in taken:
                key, count = f"{stem}-{count}", count + 1
            taken.add(key)
            made.append(Column(key, column))
        elif isinstance(column, Column):
            made.append(column)
        else:
            raise TypeError(f"a column is a Column or a title, not {type(column).__name__}")
    return made


def faulty_keys(columns: Iterable[Column]) -> str:
    """What is wrong with the keys of a table, in words; empty where nothing is."""
    seen: set[str] = set()
    for column in columns:
        if not column.key:
            return f"the column {column.title[:80]!r} has no key"
        eps = parts_of(column.key)[2]
        if eps and not _NUMBER.fullmatch(eps):
            return f"the key {column.key[:80]!r} names no budget"
        if column.key in seen:
            return f"two columns have the key {column.key[:80]!r}"
        seen.add(column.key)
    return ""


def titles_alone(results: Iterable[dict[str, Any]]) -> None:
    """Puts titles in the place of columns, in results as JSON has them, where this loses nothing: as documents were
    before columns had keys."""
    for result in results:
        titles = [item["title"] for item in result["columns"]]
        if result["columns"] == [asdict(item) for item in keyed(titles, str(result["tags"].get("norm") or ""))]:
            result["columns"] = titles


def _words(text: str) -> str:
    return re.sub(r"[^a-z0-9._+]+", "-", text).strip("-")
