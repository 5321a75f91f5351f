"""Gates of a record are held against its columns again: no outcome and no figure of one can be changed unnoticed."""

from __future__ import annotations

import pytest

from tests.verify.runs import Honest


def test_the_honest_run_has_gates_of_its_suite(honest: Honest) -> None:
    assert [gate["source"] for gate in honest.data["gates"]] == ["suite"] * 4
    assert {gate["outcome"] for gate in honest.data["gates"]} != {"met"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("outcome", "met"), ("value", 0.9), ("low", 0.5), ("high", 1.0), ("reason", ""), ("judged", "value"),
        ("asked", "rm -rf /"), ("asked", "grade>=A"), ("grade", "A"), ("source", "nobody"),
    ],
)  # fmt: skip
def test_a_changed_gate_is_noticed(honest: Honest, field: str, value: object) -> None:
    data = honest.changed()
    assert data["gates"][0][field] != value
    data["gates"][0][field] = value
    assert honest.faults(data)


def test_which_gates_were_asked_for_is_the_user_s_choice(honest: Honest) -> None:
    data = honest.changed()
    del data["gates"]
    assert honest.faults(data) == []
