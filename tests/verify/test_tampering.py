"""Every field of an honest record, changed one at a time: noticed, or listed as out of scope with its reason."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from robusteval.assessment.evidence.shown import EARLIER
from robusteval.record.run import TITLES_ONLY
from robusteval.verify.scope import OUT_OF_SCOPE
from tests.verify.mutations import SWAPPED, matches, mutations
from tests.verify.runs import ROOT, Honest

_DEFAULT = 400  # changes that are tried in the usual run of the tests


def listed(kind: str, what: str) -> bool:
    """Whether the table covers a change. Two entries swapped are two entries changed, and none more or less."""
    kinds = (kind, f"{kind}[*]") if what.endswith(SWAPPED) else (kind,)
    return any(matches(kind, pattern) for kind in kinds for pattern in OUT_OF_SCOPE)


def unnoticed(honest: Honest, chosen: Any) -> list[str]:
    """The changes that nothing notices and no line of the table covers."""
    assert honest.faults(honest.data) == [], "where the honest record fails, every change looks noticed"
    missed = []
    for kind, what, data in chosen:
        if not listed(kind, what) and not honest.faults(data):
            missed.append(what)
    return missed


def test_the_honest_record_has_no_fault(honest: Honest) -> None:
    assert honest.faults(honest.changed()) == []


@pytest.mark.long  # every field, with other values, is asked about below
def test_some_fields(honest: Honest) -> None:
    """A sample over all kinds of fields that are not out of scope."""
    every = [mutation for mutation in mutations(honest.data, 1, 5) if not listed(mutation[0], mutation[1])]
    chosen = random.Random(7).sample(every, _DEFAULT)
    assert unnoticed(honest, chosen) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_field(honest: Honest, part: int) -> None:
    every = itertools.islice(mutations(honest.data, 2, 6), part, None, 4)
    assert unnoticed(honest, every) == []


TAMPERED = {
    "another key": lambda columns: [columns[0] | {"key": "x"}, *columns[1:]],
    "another title": lambda columns: [*columns[:-1], columns[-1] | {"title": "x"}],
    "another unit": lambda columns: [*columns[:-1], columns[-1] | {"unit": "x"}],
    "two keys swapped": lambda columns: [
        columns[0] | {"key": columns[1]["key"]},
        columns[1] | {"key": columns[0]["key"]},
        *columns[2:],
    ],
    "a key twice": lambda columns: [columns[0], columns[1] | {"key": columns[0]["key"]}, *columns[2:]],
    "no key": lambda columns: [{"title": columns[0]["title"]}, *columns[1:]],
    "keys under other titles": lambda columns: [
        entry | {"key": other["key"]} for entry, other in zip(columns, reversed(columns), strict=True)
    ],
    "a title in the place of one": lambda columns: [columns[0]["title"], *columns[1:]],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_columns_of_every_table(honest: Honest, how: str) -> None:
    tables = [place for place, item in enumerate(honest.data["results"]) if item["kind"] == "table"]
    assert len(tables) >= 8
    for place in tables:
        data = honest.changed()
        data["results"][place]["columns"] = TAMPERED[how](data["results"][place]["columns"])
        assert honest.faults(data), data["results"][place]["name"]


def test_a_document_from_before_there_were_keys(honest: Honest) -> None:
    """It is as honest; one that is half of each is not, nor one whose columns say more than it can."""
    old = honest.changed()
    for item in old["results"]:
        item["columns"] = [column["title"] for column in item["columns"]]
    assert honest.faults(old), "without units it is none of this version"
    old["schema"] = TITLES_ONLY
    pictures = {norm: [item for item in old["gallery"] if item["norm"] == norm] for norm in ("l2", "linf")}
    old["gallery"] = [item for listed in pictures.values() for item in listed[:EARLIER]]  # as many were shown then
    assert honest.faults(old) == []
    assert honest.faults(honest.changed() | {"schema": TITLES_ONLY})
    claims = next(item for item in old["results"] if item["name"] == "claims")
    for columns in (
        ["x", *claims["columns"][1:]],
        [claims["columns"][1], claims["columns"][0], *claims["columns"][2:]],
    ):
        assert honest.faults(
            old | {"results": [item if item is not claims else item | {"columns": columns} for item in old["results"]]}
        )


def test_the_table_of_what_is_out_of_scope_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    for pattern, reason in OUT_OF_SCOPE.items():
        assert f"| `{pattern}` | {reason} |" in text


def test_the_patterns_match_what_they_say() -> None:
    assert matches("times.cells_s.a/b", "times**")
    assert matches("cells[*].trace[*].won", "cells[*].trace**")
    assert not matches("cells[*].distance[*]", "cells[*].trace**")
    assert not matches("cells[*].norm", "cells[*].reason")
    assert matches("planted[*].found.pgd[*]", "planted[*].**")
    assert not matches("commands", "command")
