"""The small parts of verification: counting, comparing, 8-bit images."""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from robusteval.errors import RobustEvalError
from robusteval.record.measured.per_sample import packed
from robusteval.record.run import Finding, Record
from robusteval.verify.parts import eight_bit
from robusteval.verify.parts.eight_bit import check_rounded
from robusteval.verify.parts.evidence import Evidence
from robusteval.verify.parts.result import STATEMENT, Count, Verification
from robusteval.verify.parts.same import differences
from tests.sure import sure
from tests.verify.tiny import clean, counted, tiny

# Counting


def test_claims_are_confirmed_or_fail_and_the_rest_is_left() -> None:
    result = Verification()
    assert not result.held  # nothing was checked
    result.judge([], "a")
    result.judge([], "b", 3)
    assert (result.claims, result.confirmed, result.held) == (4, 4, True)
    result.judge(["one is off", "two too"], "c", 2)
    assert (result.claims, result.confirmed, result.held) == (6, 4, False)
    assert result.failures == ["c: one is off and two too."]
    result.leave("x")
    result.leave("x", 4)
    result.leave("y", 0)
    assert (result.left, result.unchecked) == ({"x": 5}, 5)
    assert result.summary == "4 of 6 claims confirmed, 1 failures; 5 could not be checked"
    result.notes.append("n")
    whole = Verification()
    assert whole.summary == "0 of 0 claims confirmed, 0 failures"
    whole.judge([], "z")
    whole.leave("x", 2)
    whole.add(result, "m")
    assert (whole.claims, whole.confirmed, whole.left) == (7, 5, {"x": 7})
    assert (whole.failures, whole.notes) == (["m: c: one is off and two too."], ["m: n"])
    whole.add(result, "k")
    assert (len(whole.failures), len(whole.notes), whole.claims) == (2, 2, 13)
    assert result.to_json() == {
        "claims": 6, "confirmed": 4, "unchecked": 5, "left": {"x": 5}, "failures": result.failures, "notes": ["n"],
        "summary": result.summary, "statement": STATEMENT, "held": False, "kinds": {},
    }  # fmt: skip


def test_claims_are_counted_by_kind_too() -> None:
    result = Verification()
    result.judge([], "before")
    result.leave("z", 7)
    with result.kind("a"):
        result.judge([], "x", 3)
        result.judge(["it is off"], "y", 2)
        result.leave("z", 4)
    with result.kind("b"):
        result.failures += ["two sentences", "about one claim"]
        result.claims += 1
    with suppress(RobustEvalError), result.kind("a"):
        result.judge([], "x")
        raise RobustEvalError("it breaks off, and what was counted is counted")
    assert result.kinds == {"a": Count(4, 2, 4), "b": Count(0, 2, 0)}
    both = Verification()
    with both.kind("a"):
        both.judge(["it is off"], "w")
        both.judge([], "w", 2)
        both.leave("v", 2)
    both.add(result, "m")
    assert both.kinds == {"a": Count(6, 3, 6), "b": Count(0, 2, 0)}
    assert both.to_json()["kinds"]["b"] == {"confirmed": 0, "failed": 2, "unchecked": 0}
    assert both.to_json()["statement"] == STATEMENT
    both.statement = "s"
    assert both.to_json()["statement"] == "s"


# Comparing


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (1.0, 1.0 + 1e-10, True), (1.0, 1.0 + 1e-8, False), (0.0, 1e-13, True), (0.0, 1e-11, False), (1, 1.0, True),
        (1, 2, False),
        (True, True, True), (True, 1, False), (1, True, False), (True, False, False), (None, 0, False),
        (None, None, True),
        ("a", "a", True), ("a", "b", False), ("1", 1, False), (math.inf, math.inf, True), (math.nan, math.nan, False),
        ([1, 2], [1, 2], True), ([1, 2], [2, 1], False), ([1], [1, 2], False), ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {}, False),
        ({}, {"a": 1}, False), ({"a": 1}, {"a": 2}, False), ([], {}, False), ([1], 1, False),
    ],
)  # fmt: skip
def test_what_is_the_same(one: Any, two: Any, same: bool) -> None:
    assert (list(differences(one, two, "x")) == []) is same


def test_differences_are_named_by_their_path() -> None:
    one, two = (
        Finding("a", "info", "s", {"k": 1, "m": 2}, "d"),
        Finding("a", "alarm", "s", {"k": 3, "n": 2}, "d", ["c"]),
    )
    assert list(differences({"f": [one]}, {"f": [two]}, "top")) == [
        "top.f[0].severity is 'info', and 'alarm' follows from the columns",
        "top.f[0].evidence.k is 1, and 3 follows from the columns",
        "top.f[0].evidence.m is too much",
        "top.f[0].evidence.n is missing",
        "top.f[0].cells has 0 entries, and 1 follow from the columns",
    ]
    (said,) = differences("x" * 200, "y", "t")
    assert len(said) < 200
    assert "..." in said
    (said,) = differences("x" * 118, "y", "t")
    assert said == f"t is '{'x' * 118}', and 'y' follows from the columns"
    (said,) = differences("x" * 119, "y", "t")
    assert said == f"t is '{'x' * 116}..., and 'y' follows from the columns"
    assert list(differences({1: 0, "a": 0}, {1: 0, "a": 1}, "t")) == ["t.a is 0, and 1 follows from the columns"]
    assert list(differences(one, "x", "t"))
    column = packed([1, 2], "whole", "")
    for first, second in (
        (column, [1, 3]),
        ([1, 2], packed([1, 3], "whole", "")),
        (column, packed([1, 3], "whole", "")),
    ):
        assert list(differences(first, second, "t")) == ["t[1] is 2, and 3 follows from the columns"]


# 8-bit images


def rounded(record: Record, evidence: Evidence) -> Any:
    return check_rounded(record, evidence.tensors, clean(), counted)


def test_8_bit_images_that_win_as_said() -> None:
    record, evidence, _ = tiny()
    asked, failures, notes = rounded(record, evidence)
    assert (asked, failures) == (4 + 3 + 4, [])
    assert [re.findall(r"[\d.]+ %|\d+ wins", note) for note in notes] == [
        ["100.0 %", "4 wins"],
        ["100.0 %", "3 wins"],
        ["100.0 %", "4 wins"],
    ]
    assert notes[2].startswith("pgd, linf: ")


def test_a_lie_about_a_survivor() -> None:
    record, evidence, _ = tiny()
    record.cells[0].survives_8bit[1] = False
    asked, failures, notes = rounded(record, evidence)
    assert asked == 11
    assert failures == ["none/pgd/l2, sample 1, rounded to 8 bits: it fools the model after all."]
    assert len(notes) == 2
    evidence.tensors["rounded.none/ddn/l2"][0] = np.round(clean()[0] * 255)
    failures = rounded(record, evidence)[1]
    assert failures[1] == "none/ddn/l2, sample 0, rounded to 8 bits: it fools the model no more."
    evidence.tensors["rounded.none/ddn/l2"][0] = 0
    said = "it fools the model no more and it lies further from the clean sample than rounding explains"
    assert rounded(record, evidence)[1][1] == f"none/ddn/l2, sample 0, rounded to 8 bits: {said}."


def test_a_run_that_kept_no_8_bit_images() -> None:
    record, evidence, _ = tiny()
    record.witnesses = None
    asked, failures, notes = rounded(record, evidence)
    assert (asked, notes) == (1, [])
    assert failures == ["witnesses.rounded: the 8-bit images kept are not those that the columns need."]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_image_from_elsewhere(norm: str) -> None:
    record, evidence, _ = tiny()
    name = f"rounded.none/pgd/{norm}"
    for levels, told in ((0, False), (1, norm == "linf"), (3, True)):
        evidence.tensors[name] = np.round(np.stack([clean()[0]] * 4) * 255).astype(np.uint8)
        record, evidence, _ = tiny()
        image = evidence.tensors[name][0].reshape(-1)
        image[0] += levels
        failures = rounded(record, evidence)[1]
        assert bool(failures) is told, (norm, levels)
        assert all("further from the clean sample" in failure for failure in failures)


def test_8_bit_images_that_are_not_there() -> None:
    for change in (
        lambda record, kept: kept.pop("rounded.none/pgd/l2"),
        lambda record, kept: kept.update({"rounded.none/pgd/l2": kept["rounded.none/pgd/l2"][:-1]}),
        lambda record, kept: kept.update({"rounded.none/pgd/l2": kept["rounded.none/pgd/l2"].astype(np.float32)}),
        lambda record, kept: setattr(record.witnesses.rounded[0], "tensor", "gone"),
    ):
        record, evidence, _ = tiny()
        change(record, evidence.tensors)
        asked, failures, notes = rounded(record, evidence)
        assert failures == ["none/pgd/l2: its 8-bit images are not in the witness file."]
        assert asked == 11
        assert len(notes) == 2
    record, evidence, _ = tiny()
    for kept in (sure(record.witnesses).rounded[1:], sure(record.witnesses).rounded[::-1], []):
        sure(record.witnesses).rounded = list(kept)
        asked, failures, _ = rounded(record, evidence)
        assert "not those that the columns need" in failures[0]
        assert asked == 1 + sum(4 if "pgd" in kind.cell else 3 for kind in kept)


def test_an_answer_that_is_none_or_class_0() -> None:
    record, evidence, _ = tiny()
    zero = check_rounded(record, evidence.tensors, clean(), lambda x: np.zeros(len(x), np.int64))[1]
    # of the samples 0 and 1 class 0 is right, of the others it is a win
    assert {line.split(",")[1] for line in zero} == {" sample 0", " sample 1", " sample 4"}
    never = check_rounded(record, evidence.tensors, clean(), lambda x: np.full(len(x), -1))[1]
    assert len(never) == 11


def test_an_8_bit_image_of_a_cell_that_keeps_none() -> None:
    record, evidence, _ = tiny()
    sure(record.witnesses).rounded[0].cell = "none/pgd/l1"
    asked, failures, _ = rounded(record, evidence)
    assert asked == 1 + 3 + 4
    assert failures[1] == "none/pgd/l1: its 8-bit images are not in the witness file."


@pytest.mark.parametrize("bounds", [[0.0, 1.0], [-1.0, 3.0]])
@pytest.mark.parametrize(("share", "near"), [(0.0, True), (1.0, True), (1.00005, True), (1.001, False), (2.0, False)])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_half_a_level_is_what_rounding_explains(bounds: list[float], share: float, near: bool, norm: str) -> None:
    """Beyond the recorded distance, each pixel by so many half levels."""
    record, _, _ = tiny()
    one = next(row for row in record.cells if row.id == f"none/pgd/{norm}")
    base = np.zeros((1, 2, 2), np.float64)
    image = base.copy()
    width = bounds[1] - bounds[0]
    one.distance[0] = None  # nothing but the rounding
    image += share * 0.5 / 255 * width
    assert eight_bit._near(image, base, one, 0, bounds) is near
    one.distance[0] = 0.25
    flat = base.copy()
    flat.reshape(-1)[0] = 0.25 + share * (0.5 / 255 * width) * (1 if norm == "linf" else 2)
    assert eight_bit._near(flat, base, one, 0, bounds) is near


def test_a_target_binds_8_bit_images() -> None:
    record, evidence, _ = tiny()
    record.cells[0].target = "class 1"
    assert rounded(record, evidence)[1] == []
    record.cells[0].prediction[0] = 2
    assert "no more" in rounded(record, evidence)[1][0]
    record.cells[0].target = "all"
    assert rounded(record, evidence)[1] == []
