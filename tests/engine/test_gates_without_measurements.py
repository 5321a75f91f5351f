"""Every way that something was not measured leaves the gate shut."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from robusteval.assessment.gates.every_norm import gate_met, unmet
from robusteval.record.run import Record
from tests.engine.test_findings import N, cell, honest
from tests.engine.test_without_gradients import LOST, Spoil, judged
from tests.sure import sure


def _in_another_norm(record: Record) -> None:
    record.suite.norms = ["l2", "linf"]


def _first(status: Any) -> Spoil:
    def spoil(record: Record) -> None:
        record.cells[0].status = status

    return spoil


def _shortened(record: Record) -> None:
    record.cells.append(
        cell("c without x@0.5", [0.4] * N, family="cascade", threat="budget", eps=0.5, without={"x": "no"})
    )


def _too_few(record: Record) -> None:
    record.cells[1].distance = record.cells[1].distance[:-1]
    record.cells = record.cells[1:2]


def _nan(record: Record) -> None:
    record.cells[1].distance[3] = math.nan


def _negative(record: Record) -> None:
    record.cells[1].distance[3] = -1.0


def _none_right(record: Record) -> None:
    for attacked in record.cells:
        attacked.distance = [0] * N


def _inconclusive(record: Record) -> None:
    record.verdict = dataclasses.replace(sure(record.verdict), status="inconclusive")


def _no_verdict(record: Record) -> None:
    record.verdict = None


def _nothing(record: Record) -> None:
    record.cells, record.suite.norms = [], []


UNMEASURED: dict[str, Spoil] = LOST | {
    "a norm without an attack": _in_another_norm,
    "one attack failed": _first("failed"),
    "one attack skipped": _first("skipped"),
    "one attack pending": _first("pending"),
    "a shortened cascade": _shortened,
    "a short column": _too_few,
    "a distance that is no number": _nan,
    "a negative distance": _negative,
    "no sample right when clean": _none_right,
    "an inconclusive verdict": _inconclusive,
    "no verdict": _no_verdict,
    "no attack at all": _nothing,
}


@pytest.mark.parametrize(
    "how",
    [
        how
        for how in UNMEASURED
        if how
        not in (
            "a surrogate that nothing confirms",
            "a surrogate that a black box beats",
            "the loader says what nobody knows",
        )
    ],
)
def test_what_was_not_measured_meets_no_gate_even_under_a_conclusive_verdict(how: str) -> None:
    record = judged(honest())
    assert gate_met(record, 0.0)
    UNMEASURED[how](record)
    assert not gate_met(record, 0.0)
    assert unmet(record, 0.0)


def test_a_gate_is_met_as_far_as_attacks_with_gradients_went() -> None:
    record = honest()
    for attacked in record.cells:
        attacked.distance = [None] * N
    record.cells = [record.cells[1], cell("hopskipjump", [None] * N, "decision", family="minimal", eps=None)]
    record.cells[0].eps = 0.2
    record.verdict = dataclasses.replace(sure(judged(honest()).verdict), status="conclusive")
    assert gate_met(record, 0.2)
    assert not gate_met(record, 0.21)
    assert not gate_met(record, math.nan)
