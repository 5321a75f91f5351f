"""How the tests of the checks ask: one check of a record, its row and its findings, and the figures in a sentence."""

from __future__ import annotations

import re

import pytest

from robusteval.assessment.checks import CHECKS
from robusteval.assessment.findings import examine
from robusteval.record.run import Check, Finding, Record


def ask(record: Record, name: str) -> tuple[Check, list[Finding]]:
    """One check. Whatever it finds has all that a reader needs."""
    check, found = next(spec for spec in CHECKS if spec.id == name).run(record)
    assert isinstance(check.measured, str)
    assert check.measured or check.outcome == "not-applicable"
    assert check.codes == sorted({finding.code for finding in found})
    for finding in found:
        complete(finding)
    return check, found


def find(record: Record, labels_from_model: bool = False) -> list[Finding]:
    """Every finding of a record, alarms first."""
    return examine(record, labels_from_model)[1]


def complete(finding: Finding) -> None:
    """Asserts that a finding has a sentence, an advice, evidence of plain values and the cells that it is about."""
    for text in (finding.code, finding.sentence, finding.advice):
        assert isinstance(text, str)
        assert text
    assert finding.severity in ("info", "warning", "alarm")
    assert all(isinstance(value, str | int | float | bool) for value in finding.evidence.values())
    assert isinstance(finding.cells, list)
    assert all(isinstance(cell, str) for cell in finding.cells)


def one(record: Record, name: str) -> tuple[Check, Finding]:
    """A check that has exactly one finding."""
    check, found = ask(record, name)
    (finding,) = found
    return check, finding


def numbers(text: str) -> list[float]:
    """The figures of a sentence, in order; those in names (l2, pgd2) are none."""
    return [float(found.replace(",", "")) for found in re.findall(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", text)]


def says(text: str, *parts: str) -> bool:
    """Whether each of the parts stands in the text as a word of its own."""
    return all(re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) for part in parts)


def about(share: float) -> object:
    """A share as a sentence gives it, in rounded percent."""
    return pytest.approx(100 * share, abs=0.51)


SEVERITY = {"warn": "warning", "fail": "alarm"}
