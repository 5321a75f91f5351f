"""The corpus is large, and its judge notices what must not be; that the cases hold is `make hostile`'s business."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.hostile.__main__ import every, row
from tests.hostile.case import Case, Outcome, Place
from tests.hostile.runner import _faults

CASE = Case("kind/name", "tries", lambda _: [])
BAD: dict[str, dict[str, Any]] = {
    "exit code 0": {"code": 0},
    "still at work": {"code": None},
    "Traceback": {"err": "Error: x\nTraceback (most recent call last):\n"},
    "letters that are none": {"out": "\x1b[2J"},
    "printed": {"out": "x" * 1_000_000},
    "0 sentences": {"err": ""},
    "2 sentences": {"err": "Error: x\nError: y\n"},
    "of memory": {"peak": 9e9},
    "processes at work": {"left": 1},
}


def test_it_is_large_and_each_case_has_a_name_of_its_own() -> None:
    names = [case.name for case in every()]
    assert len(names) == len(set(names)) > 400
    kinds = {name.split("/")[0] for name in names}
    assert kinds >= {"onnx", "outside", "torch", "npz", "suite", "verify", "resume", "merge", "attack", "system"}


@pytest.mark.parametrize("what", BAD)
def test_the_judge(what: str, tmp_path: Path) -> None:
    good = Outcome(Place(tmp_path, tmp_path), 2, "", "Error: one sentence.\n", 1.0, 1e8, 0)
    assert _faults(CASE, good) == []
    bad = dataclasses.replace(good, **BAD[what])
    (fault,) = _faults(CASE, bad)
    assert what in fault
    assert row(CASE, bad, [fault]).endswith(f"FAIL: {fault}")


def test_a_canary_is_noticed(tmp_path: Path) -> None:
    place = Place(tmp_path, tmp_path)
    place.canary.touch()
    assert _faults(CASE, Outcome(place, 2, "", "Error: x\n", 1.0, 1e8, 0)) == ["ran the stranger's code"]
