"""Every form of a gate: met, not met, not measured; what is no gate; and what a record keeps of it."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.gates.form import BY_VALUE, parse
from robusteval.assessment.gates.judge import failed, judge
from robusteval.record.derived import Gate
from robusteval.record.run import Certificate, Record, Verdict
from tests.engine.test_findings import N, cell, honest


def record_with(**more: Any) -> Record:
    """Half of the right answers are lost at .3 in L2, a quarter at .02 in Linf, the rest never below .2."""
    record = dataclasses.replace(honest(), **more)
    quarter = [0.02] * (N // 4) + [0.2] * (N - N // 4)
    record.cells.append(cell("pgd", quarter, norm="linf", eps=0.5))
    record.verdict = verdict.write(record)
    return record


def asked(record: Record, text: str) -> Gate:
    (row,) = judge(record, [(text, "command")])
    return row


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("linf@8/255>=0.68", "met"),  # 75 % of 200, from 68.4 % on
        ("linf@8/255>=0.70", "not met"),
        ("linf@8/255>=0.75 by value", "met"),
        ("linf@8/255>=75.1% by value", "not met"),
        ("linf@0.6>=0", "not measured"),  # nobody looked so far
        ("l1@8/255>=0", "not measured"),
        ("l2@0.29>=0.98", "met"),
        ("l2@0.3>=0", "met"),
        ("l2@0.3>=0.001", "not met"),
        ("l2.median>=0.3", "met"),
        ("l2.median >= 0.301", "not met"),
        ("l1.median>=0", "not measured"),
        ("certified.l2@0.1>=0", "not measured"),
        ("certified.linf@0.1>=0.3", "not measured"),
        ("clean>=0.98", "met"),
        ("clean>=0.99", "not met"),  # all of 200 are right, which shows 98.2 %
        ("clean>=1 by value", "met"),
        ("grade>=A", "met"),
        ("0.02", "not met"),
        ("0.0001", "met"),
        ("-1", "met"),
    ],
)
def test_every_form(text: str, outcome: str) -> None:
    record = record_with()
    record.cells[-1].distance[0] = record.cells[-1].l2[0] = 0.01  # half of both norms: still .2 and .3
    if text == "0.02":
        record.cells[-1].distance = [0.01] * N
    row = asked(record, text)
    assert row.outcome == outcome, row
    assert row.asked == " ".join(text.split())
    assert bool(row.reason) == (outcome != "met")
    assert (row.value is None) == (outcome == "not measured" or text.startswith("grade"))


def test_of_an_interval_the_lower_end_counts_and_of_a_value_the_value() -> None:
    row = asked(record_with(), "linf@8/255>=0.7")
    assert row.judged == "interval"
    assert row.value == 0.75
    assert (row.low, row.high) == pytest.approx((0.684, 0.808), abs=0.001)
    assert row.reason == "the interval's lower end is 68.4 %, and 70.0 % is asked for"
    by_value = asked(record_with(), f"linf@8/255>=0.7{BY_VALUE}")
    assert (by_value.judged, by_value.outcome) == ("value", "met")


def test_a_median_has_a_lower_end_only_and_needs_samples_enough_for_it() -> None:
    record = record_with()
    record.cells = [cell("pgd", [0.1 + 0.001 * place for place in range(N)])]
    record.verdict = Verdict("conclusive", "A", "", [])
    row = asked(record, "l2.median>=0.1")
    assert row.value == pytest.approx(0.199)
    assert row.low == pytest.approx(0.185, abs=0.002)  # ranks 86 to 115 of 200
    assert row.high is None
    assert asked(record, "l2.median>=0.19").outcome == "not met"
    assert asked(record, "l2.median>=0.19 by value").outcome == "met"
    right = record.pipelines[0].prediction
    right[5:] = [1 - label for label in record.data.labels[5:]]
    record.cells[0].distance = [*[0.3] * 5, *[0.0] * (N - 5)]
    row = asked(record, "l2.median>=0.1")
    assert (row.outcome, row.reason) == ("not measured", "too few samples for an interval")


def test_samples_that_were_never_lost_hold_as_far_as_was_looked() -> None:
    record = record_with()
    record.cells = [cell("pgd", [None] * N, eps=0.5)]
    record.verdict = Verdict("conclusive", "A", "", [])
    assert asked(record, "l2.median>=0.5").outcome == "met"
    assert asked(record, "l2.median>=0.51").outcome == "not met"
    record.cells = [cell("ddn", [None] * N, eps=None)]
    assert asked(record, "l2.median>=0.5").outcome == "not measured"  # a minimal attack that found nothing at all


def test_budgets_and_distances_are_shares_of_the_pixel_range() -> None:
    record = record_with()
    record.model.bounds = [0.0, 255.0]
    for attacked in record.cells:
        attacked.distance = [value and 255 * value for value in attacked.distance]
        attacked.eps = attacked.eps and 255 * attacked.eps
    assert asked(record, "linf@8/255>=0.68").outcome == "met"
    assert asked(record, "l2.median>=0.3").value == pytest.approx(0.3)
    assert asked(record, "50").value == pytest.approx(51)  # the oldest form: in the model's own range


def test_only_attacks_with_working_gradients_tell() -> None:
    record = record_with()
    record.cells[-1] = cell("square", 0.2, "scores", norm="linf")
    for text in ("linf@8/255>=0", "linf.median>=0"):
        assert asked(record, text).outcome == "not measured"
    assert "working gradients" in asked(record, "linf@8/255>=0").reason
    record.cells[-1] = cell("pgd", 0.2, norm="linf")
    assert asked(record, "linf@8/255>=0").outcome == "met"
    record.model.gradients = "none"
    assert asked(record, "linf@8/255>=0").outcome == asked(record, "linf.median>=0").outcome == "not measured"


@pytest.mark.parametrize("status", ["failed", "skipped", "pending"])
def test_an_attack_that_was_lost_counts_in_its_norm(status: str) -> None:
    record = record_with()
    record.cells.append(cell("x", [], norm="linf", status=status))
    assert asked(record, "linf@8/255>=0").outcome == "not measured"
    assert status in asked(record, "linf.median>=0").reason
    assert asked(record, "l2.median>=0.3").outcome == "met"
    assert asked(record, "0").outcome == "not measured"


def test_a_cascade_tells_of_its_own_budget_only() -> None:
    record = record_with()
    record.cells[-1] = cell("auto", 0.02, norm="linf", family="cascade", threat="budget", eps=8 / 255)
    record.cells[-1].distance = [0.02] * 50 + [None] * (N - 50)
    assert asked(record, "linf@8/255>=0.75 by value").outcome == "met"
    assert asked(record, "linf@4/255>=0").outcome == "not measured"


def test_attacks_that_aim_at_one_class_tell_nothing_of_any_other() -> None:
    for target, outcome in (("class 1", "not measured"), ("least-likely", "not measured"), ("all", "met")):
        record = record_with()
        record.cells[-1].target = target
        assert asked(record, "linf@8/255>=0.1").outcome == outcome


def test_an_inconclusive_run_meets_nothing() -> None:
    record = record_with()
    record.verdict = Verdict("inconclusive", "D", "", [])
    texts = ("linf@8/255>=0", "l2.median>=0", "clean>=0", "certified.l2@1>=0", "0")
    assert {asked(record, text).outcome for text in texts} == {"not measured"}
    assert asked(record, "grade>=D").outcome == "not met"
    record.verdict = None
    assert asked(record, "grade>=F").outcome == "not measured"


@pytest.mark.parametrize(("grade", "met"), [("A", "ABCDF"), ("B", "BCDF"), ("F", "F")])
def test_grades_are_in_order(grade: str, met: str) -> None:
    record = record_with()
    record.verdict = Verdict("conclusive", grade, "", [])  # type: ignore[arg-type]
    reached = {least for least in "ABCDF" if asked(record, f"grade>={least}").outcome == "met"}
    assert reached == set(met)
    assert asked(record, "grade>=A").grade == grade


def test_certificates_of_the_bare_model_are_counted() -> None:
    record = record_with()
    record.pipelines[0].certified = [0.2] * 150 + [0.0] * (N - 150)
    assert asked(record, "certified.l2@0.2>=0.75 by value").outcome == "met"
    assert asked(record, "certified.l2@0.21>=0.01").outcome == "not met"
    assert asked(record, "certified.linf@0.2>=0").outcome == "not measured"
    record.pipelines[0].prediction = [0] * N  # half of them wrong: a proof of a wrong answer is no robustness
    assert asked(record, "certified.l2@0.2>=0.5 by value").value == 0.375


def test_proofs_of_certifiers_are_counted_of_those_that_were_asked() -> None:
    """Of twenty samples ten are proved up to .01, and broken at .02: a radius beyond a win would prove nothing."""
    record = record_with()
    record.certificates = [Certificate("crown", "1", {}, "linf", "done", samples=[*range(20)], radius=[0.01, 0.0] * 10)]
    assert asked(record, "certified.linf@0.01>=0.5 by value").outcome == "met"
    assert asked(record, "certified.linf@0.01>=0.5").outcome == "not met"  # the interval of ten of twenty
    assert asked(record, "certified.linf@0.011>=0.01").outcome == "not met"
    assert asked(record, "certified.l1@0.01>=0").outcome == "not measured"
    record.certificates[0].radius = [0.5] * 20
    assert asked(record, "certified.linf@0.01>=0.01").outcome == "not met"
    record.certificates[0].status = "failed"
    assert asked(record, "certified.linf@0.01>=0").outcome == "not measured"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("linf>=0.4", "no gate such as"), ("linf@8/255>0.4", "no gate such as"), ("nan", "no gate"), ("inf", "no gate"),
        ("", "no gate"), ("l3@1>=0", "no gate"), ("linf@8/255>=", "no number"), ("linf@8/255>=nan", "no number"),
        ("linf@x>=0.4", "names no budget"), ("linf@0>=0.4", "names no budget"), ("linf@1/0>=0.4", "names no budget"),
        ("linf@8/255>=40", "share above 1"), ("linf@8>=0.4", "above the pixel range"), ("grade>=E", "none of A, B"),
        ("grade>=", "none of A"), ("0.3 by value", "no gate"), ("x" * 500, "xxx..."), ("1e999", "no gate"),
        ("1" * 400, "no gate"),
    ],
)  # fmt: skip
def test_what_is_no_gate_is_one_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^'") as error:
        parse(text)
    assert said in str(error.value)
    assert len(str(error.value)) < 250


def test_several_at_once_keep_their_order_and_who_asked() -> None:
    record = record_with()
    record.gates = judge(record, [("grade>=A", "suite"), ("l1.median>=0", "command")])
    assert [(row.source, row.outcome) for row in record.gates] == [("suite", "met"), ("command", "not measured")]
    assert failed(record) == record.gates[1:]
