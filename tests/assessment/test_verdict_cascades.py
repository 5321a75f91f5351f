"""Every figure in the verdict's sentences about cascades."""

from __future__ import annotations

import dataclasses
from typing import Any

from robusteval.assessment import verdict
from robusteval.record.run import Cell, Record, Result
from tests.assessment.asking import numbers, says
from tests.engine.test_findings import N, cell, honest


def sentences(record: Record, word: str) -> list[str]:
    return [sentence for sentence in verdict.write(record).sentences if word in sentence]


def share(value: float | None, eps: float | None = 0.125, **tags: Any) -> Result:
    more: dict[str, Any] = {"measure": "robust-accuracy", "norm": "linf", "defense": "none", "eps": eps} | tags
    return Result("accuracy-curve", "n", "scalar", "t", value=value, low=0.25, high=0.625, tags=more)


def cascade(name: str, eps: float = 0.125, **more: Any) -> Cell:
    made: dict[str, Any] = {
        "norm": "linf",
        "threat": "budget",
        "family": "cascade",
        "eps": eps,
        "id": f"none/{name}@{eps}/linf",
    }
    return cell(f"{name}@{eps}", 0.1, **(made | more))


def test_cascades_are_told_of_with_what_all_attacks_leave() -> None:
    record = honest()
    record.cells += [cascade("two"), cascade("one"), cascade("one", 0.25)]
    record.results = [share(0.5), share(0.375, 0.25), share(0.9, 0.3), share(None)]
    said = sentences(record, "of all samples right")
    assert [numbers(sentence) for sentence in said] == [[0.125, 50, 95, 25, 62.5], [0.25, 37.5, 95, 25, 62.5]]
    assert all(says(sentence, "Linf") for sentence in said)
    assert "one and two leave at most" in said[0]
    assert "one leaves at most" in said[1]
    record.cells.append(cell("pgd", 0.5, norm="linf"))
    assert "one and two and all other attacks leave at most" in sentences(record, "of all samples right")[0]
    for change in ({"status": "failed"}, {"norm": "l2"}, {"defense": "d", "knowledge": "adaptive"}, {"defense": "d"},
                   {"knowledge": "oblivious"}):  # fmt: skip
        record.cells[-1] = cell("pgd", 0.5, **({"norm": "linf"} | change))
        assert "one and two leave at most" in sentences(record, "of all samples right")[0], change
    assert "two" not in said[1]
    for tags in ({"measure": "other"}, {"norm": "l2"}, {"defense": "d"}, {"eps": 0.126}, {"eps": None}):
        record.results = [share(0.5, **tags)]
        assert sentences(record, "of all samples right") == [], tags
    for off, told in ((0.5e-6, True), (-0.5e-6, True), (2e-6, False), (-2e-6, False)):
        record.results = [share(0.5, 0.125 * (1 + off))]
        assert bool(sentences(record, "of all samples right")) is told
    record.cells.append(cascade("three", 1.0, norm="lp"))
    record.results = [share(0.5, None, norm="lp")]
    assert sentences(record, "of all samples right") == []
    record.results = [share(0.5, 1.0, norm="lp")]
    assert "ithin lp 1, three leaves" in sentences(record, "of all samples right")[0]
    record.cells.pop()
    record.results = [dataclasses.replace(share(0.0), low=None, high=None)]
    assert numbers(sentences(record, "of all samples right")[0]) == [0.125, 0, 95, 0, 0]


def test_which_cascades_are_told_of() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"family": "fixed"},
        {"status": "failed"},
        {"defense": "d", "knowledge": "adaptive"},
        {"defense": "d"},
        {"knowledge": "oblivious"},
    )
    for change in changes:
        record = honest()
        record.cells.append(cascade("one", **change))
        record.results = [share(0.5)]
        assert sentences(record, "of all samples right") == [], change
    record = honest()
    record.suite.norms = ["l0"]
    record.cells.append(cascade("one", 8 / 255))
    record.results = [share(0.5, 8 / 255)]
    (said,) = sentences(record, "of all samples right")
    assert "Linf 8/255, one leaves" in said
    assert said.startswith("An upper bound at best: within")
    record.model.bounds = [0.0, 255.0]
    assert "Linf 0.03137, one leaves" in sentences(record, "of all samples right")[0]
    record.model.bounds = [-128.0, 127.0]
    assert "Linf 0.03137, one leaves" in sentences(record, "of all samples right")[0]
    record.model.bounds = [-1.0, 1.0]
    assert "Linf 8/255, one leaves" in sentences(record, "of all samples right")[0]


def test_a_model_that_was_right_nowhere_has_nothing_to_lose() -> None:
    record = honest()
    for attacked in record.cells:
        attacked.distance = [0.0] * N
    (said,) = sentences(record, "nothing to lose")
    assert says(said, "L2")
    assert sentences(record, "at a distance of") == []
    record.cells.append(cell("pgd", 0.5, norm="linf"))
    assert numbers(sentences(record, "at a distance of")[0])[0] == 0.5
    record.cells.pop()
    record.cells[0].distance = record.cells[1].distance = record.cells[2].distance = [*[0.0] * (N - 1), 0.25]
    record.cells[3].distance = [*[0.0] * (N - 1), 0.5]
    assert sentences(record, "nothing to lose") == []
    assert numbers(sentences(record, "at a distance of")[0])[0] == 0.25
