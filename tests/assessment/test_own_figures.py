"""Whose figures and whose labels: a plugin's metric puts none into a verdict, a model's own answers are no labels."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.answers.robust import how_robust
from robusteval.assessment.evidence.own import UNLABELLED
from robusteval.assessment.gates.judge import judge
from robusteval.assessment.references.several import derive
from robusteval.metrics import accuracy_curve
from robusteval.record.run import Finding, Record, Result
from tests.assessment.answers import made
from tests.engine.test_findings import cell, honest

OWN = Finding("labels-from-model", "warning", "said", {}, "do")


def strangers(record: Record) -> list[Result]:
    """What a plugin's metric would say if it tagged its figures as the core tags its own: all is well."""
    found = [copy.deepcopy(row) for row in accuracy_curve.AccuracyCurve().compute(record)]
    for row in found:
        row.metric = "acme.accuracy-curve"
        if row.kind == "scalar" and row.tags.get("measure") != "median-distance":
            row.value = row.low = row.high = 1.0
        elif row.kind == "scalar":
            row.value = row.low = row.high = 99.0
        for line in row.rows:
            line[:] = [1.0 if isinstance(value, float) else value for value in line]
    return found


def test_a_plugin_s_figures_stand_in_no_verdict_and_in_no_table_of_models() -> None:
    record = honest()
    bounded: dict[str, Any] = {"norm": "linf", "family": "cascade", "threat": "budget", "eps": 8 / 255}
    record.cells += [cell("auto", 0.02, id="none/auto/linf", **bounded)]
    theirs = strangers(record)
    assert any(row.tags.get("measure") == "robust-accuracy" for row in theirs)
    without, models = verdict.write(record), derive([("a", record), ("b", record)])[0].rows
    record.results = theirs
    assert verdict.write(record) == without
    assert derive([("a", record), ("b", record)])[0].rows == models
    ours = [dataclasses.replace(row, metric="accuracy-curve") for row in theirs]
    record.results = ours
    assert verdict.write(record) != without
    assert derive([("a", record), ("b", record)])[0].rows != models


def test_where_the_model_labels_the_data_nobody_says_how_often_it_is_right() -> None:
    record = made.run({"linf": 70})
    record.findings = [OWN]
    found = how_robust(record)
    assert found.level == "fragile"
    assert found.sentence == "A change of 2.6/255 in any value, which nobody sees, changes half of its answers."
    assert "how many are right is open" in found.figures
    told = [*verdict.write(record).sentences, found.sentence, found.figures, how_robust(made.run({"linf": 0})).sentence]
    assert any("how often it is right is open" in said for said in told)
    for said in told[:-1]:
        assert "right on 100" not in said
        assert " right (95" not in said
        assert "images right" not in said
        assert "without an attack it is 100" not in said
    few = made.run({"linf": 25})
    few.findings = [OWN]
    assert "75 of 100 answers standing" in how_robust(few).sentence


@pytest.mark.parametrize("text", ["clean>=0", "linf@8/255>=0", "certified.l2@0.1>=0"])
def test_no_gate_on_accuracy_is_met_by_labels_of_the_model_s_own(text: str) -> None:
    record = made.run({"linf": 0})
    assert judge(record, [(text, "command")])[0].reason != UNLABELLED
    record.findings = [OWN]
    (row,) = judge(record, [(text, "command")])
    assert (row.outcome, row.reason) == ("not measured", UNLABELLED)
    assert judge(record, [("linf.median>=0", "command")])[0].outcome == "met", "how far an answer holds is measured"
