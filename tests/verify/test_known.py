"""Known models beside a run: shipped sets are compared with what they hold, others are left, and nobody goes by
another's name."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.assessment.references.compared import LEAST, compared
from robusteval.record import reference_set
from robusteval.record.reference_set import LoadedSet, ReferenceSet
from robusteval.record.run import Compared, Record, Reference, ReferenceColumn, Suite
from robusteval.verify.parts.known import OWN, check_known
from robusteval.verify.parts.result import Verification
from tests.engine.test_findings import N, honest


def source(name: str = "s", shipped: bool = True, images: int = LEAST) -> LoadedSet:
    """A set of so many of the run's images, with one model."""
    rows = list(range(images))
    column = ReferenceColumn([0.5] * images, None)
    model = Reference("m", "", "f", "s", "none", "", {}, "A", rows, [True] * images, {"l2": column}, {"l2": column})
    held = ReferenceSet({"name": "robusteval"}, "", 0, "d", Suite("s", "1", ""), [f"h{cell}" for cell in rows], [model])
    return LoadedSet(f"{name}.json", f"sha-{name}", shipped, held)


def run(*sources: LoadedSet) -> Record:
    """A run that is shown beside what fits of them."""
    record = honest()
    record.data.hashes = [f"h{index}" for index in range(N)]
    record.suite.attacks_sha256 = ""
    record.references = compared(sources, record)
    return record


def known(record: Record, *shipped: LoadedSet) -> Verification:
    result = Verification()
    check_known(record, result, list(shipped))
    return result


def test_what_a_shipped_set_says() -> None:
    record = run(source(), source("t"))
    assert [reference.status for reference in record.references] == ["done", "done"]
    result = known(record, source(), source("t"))
    assert (result.failures, result.claims, result.confirmed, result.left) == ([], 3, 3, {})
    record.references[1].models[0].worst["l2"].distance[3] = 0.75
    result = known(record, source(), source("t"))
    assert (result.claims, result.confirmed) == (3, 1)
    path = "references[1].models[0].worst.l2.distance[3]"
    assert result.failures == [f"references: {path} is 0.75, and 0.5 follows from the columns."] * 2


def test_only_the_first_differences_are_told() -> None:
    record = run(source())
    record.references[0].models[0].right = [False] * LEAST
    places = " and ".join(
        f"references[0].models[0].right[{place}] is False, and True follows from the columns" for place in range(3)
    )
    assert known(record, source()).failures == [f"references: {places}."] * 2


def test_a_run_without_known_models_says_so() -> None:
    record = run()
    result = known(record)
    assert (result.failures, result.claims) == ([], 1)
    assert "known for these images" in record.references[0].reason
    # a set that fits has been left out
    result = known(record, source())
    assert result.failures
    assert (result.claims, result.confirmed) == (1, 0)


def test_a_set_that_only_says_that_it_is_shipped() -> None:
    record = run(source())
    result = known(record, source("other"))
    assert result.failures[0] == "references: no set that ships with this robusteval has its hash (s.json)."
    assert len(result.failures) == 2  # and the set that ships and fits is not there


def test_a_set_of_the_user_s_own_is_left() -> None:
    own = source("own", shipped=False)
    record = run(own)
    result = known(record, source())
    assert (result.failures, result.claims, result.left) == ([], 0, {OWN: 1})
    record.references += [dataclasses.replace(record.references[0], sha256="z")]
    assert known(record, source()).left == {OWN: 2}
    # beside one that ships
    record.references.append(run(source()).references[0])
    result = known(record, source())
    assert (result.failures, result.claims, result.left) == ([], 1, {OWN: 2})


def test_a_shipped_set_that_the_user_gave_by_its_path() -> None:
    record = run(dataclasses.replace(source(), shipped=False))
    result = known(record, source())
    assert (result.failures, result.claims, result.left) == ([], 1, {})
    record.references[0].models[0].rows[0] = 7
    assert len(known(record, source()).failures) == 1


def test_a_row_without_a_set_is_none_of_the_user_s() -> None:
    record = run()
    record.references = [Compared("", "", False, "none", "why")]
    result = known(record)
    assert (result.left, result.claims) == ({}, 0)
    record.references[0].shipped = True
    assert len(known(record).failures) == 1


def test_figures_that_are_of_no_set_are_nobody_s() -> None:
    record = run(source("own", shipped=False))
    record.references[0].file = record.references[0].sha256 = ""
    result = known(record)
    assert (result.left, result.claims, result.confirmed) == ({}, 1, 0)
    assert "of no file" in result.failures[0]


def test_the_sets_that_ship_are_read_where_none_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    record = run(source())
    monkeypatch.setattr(reference_set, "shipped", lambda: [source()])
    result = Verification()
    check_known(record, result)
    assert (result.failures, result.claims) == ([], 2)
    check_known(record, result, [])
    assert len(result.failures) == 2


@pytest.mark.parametrize("shipped", [[], None])
def test_no_set_at_all(shipped: list[Any] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference_set, "shipped", list)
    record = run()
    result = Verification()
    check_known(record, result, shipped)
    assert (result.failures, result.claims) == ([], 1)
