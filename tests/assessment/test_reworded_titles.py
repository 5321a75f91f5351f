"""Titles of columns are for people: with every title in other words, decisions and shown figures are the same."""

from __future__ import annotations

import dataclasses
import re

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.gates import every_norm as gate
from robusteval.assessment.references import several
from robusteval.assessment.references.known_models import known_models
from robusteval.cli import tables
from robusteval.record.column import Column
from robusteval.record.comparison import Comparison
from robusteval.record.run import Record, Result
from robusteval.report.comparison_page import render_comparison
from robusteval.report.page import render
from tests import comparisons, records, references
from tests.sure import sure


def reworded(results: list[Result]) -> list[Result]:
    return [
        dataclasses.replace(
            result, columns=[Column(head.key, f"Wort {n}", head.unit) for n, head in enumerate(result.heads())]
        )
        for result in results
    ]


@pytest.fixture(scope="module")
def record() -> Record:
    """With every kind of table, and the verdict that follows from them."""
    made: Record = records.with_results(references.beside(records.make(60)))
    made.verdict = verdict.write(made)
    return made


@pytest.fixture(scope="module")
def other(record: Record) -> Record:
    return dataclasses.replace(record, results=reworded(record.results))


def without_hash(page: str) -> str:
    """A page without the hash of its record, which knows the titles."""
    return re.sub(r'content="[0-9a-f]{64}"', "", page)


def test_the_titles_are_other_ones(record: Record, other: Record) -> None:
    heads = [head for result in other.results for head in result.heads()]
    assert len(heads) > 100
    assert all(head.title.startswith("Wort") for head in heads)
    assert [result.keys() for result in other.results] == [result.keys() for result in record.results]


def test_verdict_gate_and_known_models(record: Record, other: Record) -> None:
    assert verdict.write(other) == record.verdict
    assert len(known_models(record)) == 1
    assert known_models(other) == known_models(record)
    assert any("To halve" in sentence for sentence in sure(record.verdict).sentences)
    for least in (0.0, 0.5, 100.0):
        assert gate.unmet(other, least) == gate.unmet(record, least)


def test_the_report(record: Record, other: Record) -> None:
    assert without_hash(render(other)) == without_hash(render(record))


def compared(results: list[Result]) -> Comparison:
    return dataclasses.replace(comparisons.make(), results=results)


def test_several_models(record: Record, other: Record, capsys: pytest.CaptureFixture[str]) -> None:
    """What is derived from several records, its page, and the tables in the terminal."""
    keys = comparisons.KEYS
    mine = several.derive([(key, record) for key in keys])
    theirs = several.derive([(key, other) for key in keys])
    assert any(item.tags.get("role") == "known" for item in mine)
    assert [(their.name, their.keys(), their.rows) for their in theirs] == [
        (item.name, item.keys(), item.rows) for item in mine
    ]
    page = render_comparison(compared(mine))
    said = {}
    for name, results in (("as they are", mine), ("from reworded records", theirs), ("reworded", reworded(theirs))):
        assert render_comparison(compared(results)) == page
        tables.comparison_tables(compared(results))
        said[name] = capsys.readouterr().out
    assert len(set(said.values())) == 1
    assert "median l2" in said["as they are"]
