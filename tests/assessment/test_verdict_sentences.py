"""Every figure in the verdict's sentences."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from robusteval.assessment import verdict
from robusteval.record.derived import Scalar
from robusteval.record.run import Pipeline, Planted, Record, Result
from tests.assessment.asking import about, numbers, says
from tests.assessment.test_verdict import checks, findings
from tests.engine.test_findings import N, cell, honest


def sentences(record: Record, word: str) -> list[str]:
    return [sentence for sentence in verdict.write(record).sentences if word in sentence]


def test_clean_accuracy() -> None:
    record = honest()
    record.pipelines[0].prediction = [0, 1] * 90 + [1, 0] * 10
    assert numbers(sentences(record, "clean samples")[0]) == [N, 90]
    record.pipelines[0].prediction = [0, 1] * 99 + [1, 0]
    assert numbers(sentences(record, "clean samples")[0]) == [N, 99]
    record.pipelines[0].prediction = record.data.labels = [1]
    assert numbers(sentences(record, "clean samples")[0]) == [1, 100]
    record.pipelines[0].prediction = record.data.labels = []
    assert numbers(sentences(record, "clean samples")[0]) == [0, 0]
    record.pipelines[0].prediction = [1]
    with pytest.raises(ValueError, match="argument"):
        verdict.write(record)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("class 1", "class 1 (dog)"),
        ("class 2", "class 2"),
        ("least-likely", "the one that the model finds least likely"),
    ],
)
def test_the_aim_of_the_attacks(target: str, said: str) -> None:
    record = honest()
    record.model.class_names = ["cat", "dog"]
    record.cells[0].target = "all"
    record.cells[2].target = target
    (found,) = sentences(record, "Only one class")
    assert found.endswith(f": {said}.")
    record.cells[2].target = "untargeted"
    assert sentences(record, "Only one class") == []


def test_the_grid() -> None:
    record = honest()
    assert sentences(record, "on a grid") == []
    record.suite.levels = 255
    assert numbers(sentences(record, "on a grid")[0]) == [256]


def test_the_median_distance() -> None:
    record = honest()
    (said,) = sentences(record, "at a distance of")
    assert said.endswith("are lost at a distance of 0.3 or less (pixels range from 0 to 1).")
    assert says(said, "L2")
    record.model.bounds = [-1.0, 2.5]
    assert numbers(sentences(record, "at a distance of")[0]) == [0.3, -1, 2.5]
    record.results = [
        Result("accuracy-curve", "n", "scalar", "t", low=0.25, high=0.375,
               tags={"measure": "median-distance", "defense": "none", "norm": "l2", "attack": "worst case", "more": 1}),
    ]  # fmt: skip
    assert numbers(sentences(record, "at a distance of")[0]) == [0.3, 95, 0.25, 0.375, -1, 2.5]
    whole = record.results[0]
    record.results = [
        dataclasses.replace(whole, tags={name: tag for name, tag in whole.tags.items() if name != "more"})
    ]
    assert len(numbers(sentences(record, "at a distance of")[0])) == 6
    for tag in ("measure", "defense", "norm", "attack"):
        other = dataclasses.replace(whole, tags=whole.tags | {tag: "other"})
        record.results = [other]
        assert len(numbers(sentences(record, "at a distance of")[0])) == 3, tag
        record.results = [other, whole]
        assert len(numbers(sentences(record, "at a distance of")[0])) == 6
    for half in (dataclasses.replace(whole, low=None), dataclasses.replace(whole, high=None)):
        record.results = [half]
        assert len(numbers(sentences(record, "at a distance of")[0])) == 3
    for attacked in record.cells:
        attacked.norm = "l0"
    assert sentences(record, "at a distance of")[0].endswith("at a distance of 0.3 or less.")  # pixels counted


def test_the_median_of_samples_most_of_which_were_never_lost() -> None:
    record = honest()
    for attacked in record.cells:
        attacked.distance = [0.25] * 99 + [None] * 101
    (said,) = sentences(record, "survived every attack")
    assert says(said, "L2")
    assert sentences(record, "at a distance of") == []
    for attacked in record.cells:
        attacked.distance = [0.25] * 100 + [None] * 100
    assert sentences(record, "survived every attack") == []
    assert len(sentences(record, "at a distance of")) == 1


def test_each_norm_has_its_sentence() -> None:
    record = honest()
    record.cells += [
        cell("pgd", 0.125, norm="linf"), cell("pgd", 0.5, norm="l1", status="failed"),
        cell("auto@1", 0.1, norm="l0", threat="budget"),
    ]  # fmt: skip
    said = sentences(record, "at a distance of")
    assert [numbers(sentence)[0] for sentence in said] == [0.3, 0.125]
    assert len(sentences(record, "In L1 nothing was measured")) == 1
    assert sentences(record, "L0") == []
    record.cells.append(cell("pgd", 0.25, norm="l2", defense="d", knowledge="adaptive"))
    assert numbers(sentences(record, "at a distance of")[0])[0] == 0.3


def test_what_the_time_budget_left_out() -> None:
    record = honest()
    assert sentences(record, "For want of time") == []
    record.cells += [
        cell("a", 0.1, status="skipped"), cell("b", 0.1, norm="linf", status="skipped"),
        cell("c", 0.1, norm="linf", status="skipped"),
        cell("a", 0.1, defense="jpeg", knowledge="adaptive", status="skipped"),
    ]  # fmt: skip
    (said,) = sentences(record, "For want of time")
    assert says(said, "4 of 8 attacks")
    assert "the bare model (1 in L2, 2 in Linf), jpeg (1 in L2)." in said


@pytest.mark.parametrize(("needs", "share"), [("gradient", 0.25), ("scores", 1.0)])
@pytest.mark.parametrize(
    ("features", "where"),
    [
        ("penultimate: relu", "penultimate features"),
        ("penultimate: block:relu", "penultimate features"),
        ("scores: none", "scores"),
    ],
)
def test_planted_adversarials(needs: str, share: float, features: str, where: str) -> None:
    record = honest()
    row = Planted(
        "linf", 0.125, {}, "done", samples=list(range(20)), random=[n < 3 for n in range(20)], features=features
    )
    row.found = {"pgd": [n < 5 for n in range(20)], "square": [True] * 20}
    row.needs = {"pgd": needs, "square": "scores"}
    record.planted = [
        dataclasses.replace(row, status="failed", eps=0.5), dataclasses.replace(row, samples=[], random=[], found={}),
        row,
    ]  # fmt: skip
    (said,) = sentences(record, "planted on this model's")
    assert numbers(said) == [20, 0.125, about(share), 15]
    assert says(said, "Linf", where)
    assert f"the suite's attacks{' with gradients' if needs == 'gradient' else ''} found" in said
    row.random, row.norm, row.eps = [n < 18 for n in range(20)], "lp", 8 / 255
    (said,) = sentences(record, "planted on this model's")
    assert numbers(said) == [20, 0.03137, about(share), 90]
    assert "within lp 0.03137" in said
    row.norm = "linf"
    assert "within Linf 8/255," in sentences(record, "planted on this model's")[0]


def table(metric: str, name: str, columns: list[str], *rows: list[Any]) -> Result:
    return Result(metric, name, "table", "t", columns=columns, rows=[list(row) for row in rows])


CLAIM = ["Norm", "Budget", "By", "Robust accuracy", "Low", "High", "Samples to halve"]


def test_claims_at_the_reference_budget() -> None:
    record = honest()
    record.data.available = 10_000
    record.results = [
        table("accuracy-curve", "claims", CLAIM, ["Linf", 0.125, "worst case", 0.5, 0.25, 0.75, 1234],
              ["L2", 0.5, "auto", 0.1, 0.05, 0.2, 567]),
        table("accuracy-curve", "other", CLAIM, ["L1", 0.5, "worst case", 0.5, 0.25, 0.75, 99_999]),
        table("other", "claims", CLAIM, ["L1", 0.5, "worst case", 0.5, 0.25, 0.75, 99_999]),
    ]  # fmt: skip
    (said,) = sentences(record, "samples stay right")
    assert numbers(said) == [0.125, 50, 95, 25, 75]
    assert says(said, "Linf")
    (said,) = sentences(record, "To halve")
    assert numbers(said) == [1200, N, 10_000]
    assert says(said, "each of these intervals")
    record.results[0].rows = record.results[0].rows[:1]
    record.data.available = N
    (said,) = sentences(record, "To halve")
    assert numbers(said) == [1200, N]
    assert says(said, "this interval")
    record.results[0].rows[0][3:] = [None] * 4
    assert numbers(sentences(record, "samples stay right")[0]) == [0.125, 0, 95, 0, 0]
    assert numbers(sentences(record, "To halve")[0])[0] == 0
    record.results[0].rows[0][:3] = ["Linf", 8 / 255, "worst case"]
    assert "ithin Linf 8/255 at most" in sentences(record, "samples stay right")[0]
    record.results[0].rows[0][1] = None
    assert "ithin Linf 0 at most" in sentences(record, "samples stay right")[0]
    record.suite.norms = ["l2", "linf"]
    record.cells.append(cell("square", 0.5, "scores", norm="linf"))
    only, best = "An upper bound from black-box attacks only: within Linf", "An upper bound at best: within L2"
    assert sentences(record, "samples stay right")[0].startswith(only)
    record.results[0].rows[0][0] = "L2"
    assert sentences(record, "samples stay right")[0].startswith(best)
    record.results[0].rows[0].pop()
    with pytest.raises(ValueError, match="argument"):
        verdict.write(record)
    record.results = []
    assert sentences(record, "To halve") == []


@pytest.mark.parametrize(
    ("number", "rounded"),
    [(0, 0), (7, 7), (42, 42), (99, 99), (104, 100), (106, 110), (1234, 1200), (1260, 1300), (99_600, 100_000)],
)
def test_two_significant_digits(number: int, rounded: int) -> None:
    assert verdict._rounded(number) == rounded


def test_a_defence_is_told_of_by_its_adaptive_figure() -> None:
    record = honest()
    row = Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=[0, 1] * (N // 2))
    record.pipelines += [dataclasses.replace(row, defense="e", status="failed", reason="no memory"), row]
    assert not [sentence for sentence in verdict.write(record).sentences if "defence none" in sentence]
    record.cells.append(cell("pgd", 0.01, norm="l1", defense="d", knowledge="oblivious"))
    record.cells.append(cell("pgd", 0.01, norm="l0", defense="f", knowledge="adaptive"))
    (said,) = [sentence for sentence in verdict.write(record).sentences if "defence d" in sentence]
    assert "not attacked by anyone who knows it" in said
    (said,) = [sentence for sentence in verdict.write(record).sentences if "defence e" in sentence]
    assert said.endswith("was not measured: no memory.")
    record.cells += [
        cell("pgd", 0.15, defense="d", knowledge="adaptive"), cell("pgd", 0.01, defense="d", knowledge="oblivious"),
        cell("pgd", 0.25, norm="linf"), cell("pgd", None or [None] * N, norm="linf", defense="d", knowledge="adaptive"),
    ]  # fmt: skip
    (said,) = [sentence for sentence in verdict.write(record).sentences if "d changes the median" in sentence]
    assert "0.50 times in L2 and beyond what the attacks found in Linf" in said
    record.cells[-2].distance = [None] * N
    record.cells[-1].distance = [0.5] * N
    (said,) = [sentence for sentence in verdict.write(record).sentences if "d changes the median" in sentence]
    assert "0.50 times in L2" in said
    assert "Linf" not in said
    record.cells += [cell("pgd", 0.5, norm="lp"), cell("pgd", 0.125, norm="lp", defense="d", knowledge="adaptive")]
    (said,) = [sentence for sentence in verdict.write(record).sentences if "d changes the median" in sentence]
    assert "0.50 times in L2 and 0.25 times in lp." in said
    record.cells[-1].distance = [None] * N
    (said,) = [sentence for sentence in verdict.write(record).sentences if "d changes the median" in sentence]
    assert "0.50 times in L2 and beyond what the attacks found in lp." in said
    del record.cells[-2:]
    record.cells[-2].distance = [0.0] * N
    assert "Linf" not in next(
        sentence for sentence in verdict.write(record).sentences if "d changes the median" in sentence
    )


def test_a_defence_s_sentence_is_its_own() -> None:
    record = honest()
    row = Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=[0, 1] * (N // 2))
    record.pipelines.append(row)
    record.cells += [
        cell("pgd", 0.15, defense="d", knowledge="adaptive", backwards=[0] * N),
        cell("pgd", 0.01, norm="linf", defense="d", knowledge="oblivious"), cell("pgd", 0.5, norm="linf"),
        cell("pgd", 0.01, norm="linf", defense="e", knowledge="adaptive", backwards=[0] * N),
    ]  # fmt: skip
    (said,) = [sentence for sentence in verdict.write(record).sentences if "d changes the median" in sentence]
    assert "0.50 times in L2 (an upper bound of its worth" in said
    assert "inf" not in said


def test_the_order_of_the_sentences() -> None:
    record = honest()
    record.checks = checks("fail")
    record.findings = findings(("a", "alarm"))
    record.cells.append(cell("x", 0.1, status="skipped"))
    record.pipelines.append(Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=[0, 1] * (N // 2)))
    said = verdict.write(record).sentences
    words = ("INCONCLUSIVE", "clean samples", "at a distance of", "For want of time", "The defence d")
    places = [next(place for place, sentence in enumerate(said) if word in sentence) for word in words]
    assert places == sorted(places)


def test_known_models_are_told_of_and_marked_where_nothing_can_be_relied_on() -> None:
    record = honest()
    at = ["Accuracy at 0.125", "Low at 0.125", "High at 0.125"]
    rows: list[list[Scalar]] = [
        ["mine", "this", 100, 0.5, 0.25, 0.625],
        ["trained", "reference", 100, 0.75, 0.5, 0.875],
    ]
    tags: dict[str, Scalar] = {"norm": "linf", "eps": 0.125, "images": 100, "set": "a"}
    table_ = Result("references", "n", "table", "t", tags=tags, columns=["Model", "Role", "Images", *at], rows=rows)
    record.results = [table_]
    (said,) = sentences(record, "trained 75.0 %")
    assert said.startswith("Within Linf 0.125 it keeps")
    record.checks = checks("fail")
    (said,) = sentences(record, "trained 75.0 %")
    assert said.startswith("An upper bound at best: within Linf 0.125 it keeps")
