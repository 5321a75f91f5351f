"""Every field of an honest record, changed one at a time: noticed, or listed as out of scope with its reason."""

from __future__ import annotations

import itertools
import random

import pytest

from robusteval.verify.scope import OUT_OF_SCOPE
from tests.verify.mutations import SWAPPED, matches, mutations
from tests.verify.runs import ROOT

_DEFAULT = 400  # changes that are tried in the usual run of the tests


def listed(kind: str, what: str) -> bool:
    """Whether the table covers a change. Two entries swapped are two entries changed, and none more or less."""
    kinds = (kind, f"{kind}[*]") if what.endswith(SWAPPED) else (kind,)
    return any(matches(kind, pattern) for kind in kinds for pattern in OUT_OF_SCOPE)


def unnoticed(honest, chosen) -> list[str]:
    """The changes that nothing notices and no line of the table covers."""
    assert honest.faults(honest.data) == [], "where the honest record fails, every change looks noticed"
    missed = []
    for kind, what, data in chosen:
        if not listed(kind, what) and not honest.faults(data):
            missed.append(what)
    return missed


def test_the_honest_record_has_no_fault(honest):
    assert honest.faults(honest.changed()) == []


def test_some_fields(honest):
    """A sample over all kinds of fields that are not out of scope."""
    every = [mutation for mutation in mutations(honest.data, 1, 5) if not listed(mutation[0], mutation[1])]
    chosen = random.Random(7).sample(every, _DEFAULT)
    assert unnoticed(honest, chosen) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_every_field(honest, part):
    every = itertools.islice(mutations(honest.data, 2, 6), part, None, 4)
    assert unnoticed(honest, every) == []


def test_the_table_of_what_is_out_of_scope_is_in_the_documentation():
    text = (ROOT / "docs" / "verify.md").read_text(encoding="utf-8")
    for pattern, reason in OUT_OF_SCOPE.items():
        assert f"| `{pattern}` | {reason} |" in text


def test_the_patterns_match_what_they_say():
    assert matches("times.cells_s.a/b", "times**")
    assert matches("cells[*].trace[*].won", "cells[*].trace**")
    assert not matches("cells[*].distance[*]", "cells[*].trace**")
    assert not matches("cells[*].norm", "cells[*].reason")
    assert matches("planted[*].found.pgd[*]", "planted[*].**")
    assert not matches("commands", "command")
