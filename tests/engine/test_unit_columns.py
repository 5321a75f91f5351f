"""Columns of a chunk that no attack made: what is stored comes back, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest

from robusteval.engine.units.store import attack_unit, columns_unit, sealed_columns
from tests.sure import sure

PLAN, NAME, CHUNK = "12" * 32, "crown/linf", 3
COLUMNS = {"radius": np.array([0.0, 0.25, 1 / 3]), "sample": np.arange(2, 5), "x": np.ones((3, 1, 2, 2), np.float32)}


def test_what_is_stored_comes_back_to_the_last_bit() -> None:
    found = sure(columns_unit(sealed_columns(PLAN, NAME, CHUNK, COLUMNS), PLAN, NAME, CHUNK))
    assert found.keys() == COLUMNS.keys()
    for name, column in COLUMNS.items():
        assert found[name].dtype == column.dtype
        assert np.array_equal(found[name], column)
    assert columns_unit(sealed_columns(PLAN, NAME, CHUNK, {}), PLAN, NAME, CHUNK) == {}


@pytest.mark.parametrize(
    ("plan", "name", "chunk"), [("34" * 32, NAME, CHUNK), (PLAN, "crown/l2", CHUNK), (PLAN, NAME, CHUNK + 1)]
)
def test_columns_of_another_plan_name_or_chunk_are_none(plan: str, name: str, chunk: int) -> None:
    assert columns_unit(sealed_columns(PLAN, NAME, CHUNK, COLUMNS), plan, name, chunk) is None
    assert columns_unit(sealed_columns(plan, name, chunk, COLUMNS), PLAN, NAME, CHUNK) is None


def test_damaged_columns_are_none_and_never_an_error() -> None:
    whole = sealed_columns(PLAN, NAME, CHUNK, COLUMNS)
    damaged = [b"", whole[:-1], whole[1:], whole + b"\0"]
    damaged += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 97)]
    assert [columns_unit(content, PLAN, NAME, CHUNK) for content in damaged] == [None] * len(damaged)


def test_columns_are_no_unit_of_an_attack() -> None:
    assert attack_unit(sealed_columns(PLAN, NAME, CHUNK, COLUMNS), PLAN, NAME, CHUNK) is None
