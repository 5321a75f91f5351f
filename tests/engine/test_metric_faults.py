"""A metric's fault costs its own figures and is named; everything else of the run stands."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from robusteval.assessment.results import derived
from robusteval.record import store
from robusteval.record.metric import MetricInfo
from robusteval.record.run import Column, Curve, Point, Record, Result
from robusteval.testing.records import full_record
from tests.sure import sure


@dataclass(frozen=True)
class Row:
    plugin: type
    name: str = "acme.metric"
    distribution: str = "acme"


def table(rows: Any, columns: Iterable[Any] = ("a", "b"), **more: Any) -> Result:
    return Result("acme.metric", "t", "table", "T", columns=list(columns), rows=rows, **more)


def metric(work: Callable[..., Any]) -> type[Any]:
    class Metric:
        info: ClassVar[MetricInfo] = MetricInfo("acme.metric", "1", "toy", "none")

        def compute(self, record: Record) -> Any:
            return work(record)

    return Metric


class StrangeError(BaseException):
    def __str__(self) -> str:
        raise RuntimeError("no text")


def raising(error: BaseException) -> Callable[..., Any]:
    def work(record: Record) -> Iterator[Any]:
        yield table([[1, 2]])
        raise error

    return work


def meddling(record: Record) -> list[Result]:
    record.cells.clear()
    record.model.sha256 = "0" * 64
    return []


FAULTS = {
    "raises": raising(RuntimeError("broken")),
    "sys.exit(0)": raising(SystemExit(0)),
    "sys.exit(text)": raising(SystemExit("bye")),
    "KeyboardInterrupt": None,  # below: only where Ctrl-C is told apart
    "no Exception": raising(StrangeError()),
    "nan in a table": lambda record: [table([[1, math.nan]])],
    "inf in a table": lambda record: [table([[1, math.inf]])],
    "nan scalar": lambda record: [Result("acme.metric", "s", "scalar", "S", value=math.nan)],
    "nan in a curve": lambda record: [
        Result("acme.metric", "c", "curves", "C", curves=[Curve("l", [Point(0.0, math.nan)])])
    ],
    "nan in tags": lambda record: [table([[1, 2]], tags={"eps": math.nan})],
    "ragged table": lambda record: [table([[1, 2], [3]])],
    "a key twice": lambda record: [table([[1, 2]], [Column("a", "A"), Column("a", "B")])],
    "no key": lambda record: [table([[1, 2]], [Column("", "A"), Column("b", "B")])],
    "columns are numbers": lambda record: [table([[1, 2]], [1, 2])],
    "columns are a text": lambda record: [
        Result("acme.metric", "t", "table", "T", columns="ab", rows=[[1, 2]])  # type: ignore[arg-type]
    ],
    "a title is no text": lambda record: [table([[1, 2]], [Column("a", 3), "b"])],  # type: ignore[arg-type]
    "wrong kind": lambda record: [Result("acme.metric", "s", "picture", "S")],  # type: ignore[arg-type]
    "text for a number": lambda record: [
        Result("acme.metric", "s", "scalar", "S", value="high")  # type: ignore[arg-type]
    ],
    "numpy number": lambda record: [table([[np.int64(1), 2]])],
    "array": lambda record: [table([[np.zeros(3), 2]])],
    "rows are no lists": lambda record: [table([1, 2])],
    "rows are nothing": lambda record: [table(None)],
    "name is no text": lambda record: [Result("acme.metric", 7, "scalar", "S")],  # type: ignore[arg-type]
    "another's name": lambda record: [Result("accuracy-curve", "x", "scalar", "X", value=1.0)],
    "no result": lambda record: ["figure"],
    "nothing": lambda record: None,
    "half a character": lambda record: [table([["\ud800", 2]])],
    "a huge whole number": lambda record: [table([[10**400, 2]])],
    "endless": lambda record: (table([[1, 2]]) for _ in iter(int, 1)),
    "huge": lambda record: [table([["x" * 2**26, 1]])],
}
del FAULTS["KeyboardInterrupt"]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_becomes_one_finding_that_names_the_metric(name: str) -> None:
    record = full_record()
    before = copy.deepcopy(record)
    results, findings = derived([Row(metric(sure(FAULTS[name])))], record)
    assert results == []
    (finding,) = findings
    assert (finding.code, finding.evidence["metric"]) == ("metric-failed", "acme.metric")
    assert finding.evidence["error"]
    assert record == before
    record.findings.append(finding)
    json.loads(store.to_json(record))


def test_titles_alone_are_columns_too() -> None:
    def late(record: Record) -> list[Result]:
        made = table([[1, 2, 3]], ["Robust accuracy", "Share"])
        made.columns.append("Share")  # type: ignore[arg-type]  # no author has to know when keys are given
        return [made]

    (first,), _ = derived([Row(metric(late))], full_record())
    assert first.columns == [
        Column("robust-accuracy", "Robust accuracy"), Column("share", "Share"), Column("share-2", "Share"),
    ]  # fmt: skip


def test_others_stand_and_nobody_changes_what_was_measured() -> None:
    record = full_record()
    before = copy.deepcopy(record)
    good, bad = metric(lambda record: [table([[1, 2]])]), metric(raising(SystemExit(3)))
    results, findings = derived([Row(bad), Row(good), Row(metric(meddling))], record)
    assert [result.rows for result in results] == [[[1, 2]]]
    assert len(findings) == 1
    assert record == before
