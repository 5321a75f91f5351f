"""The tables of targeted runs and of the sources' figures, on records worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest
from robusteval_published_claims.figures import PipelineFigures
from robusteval_published_claims.metric import Sources

from robusteval.metrics.targets import Targets
from robusteval.record.run import Cell, Finding, Record
from tests import records


def bare(record: Record) -> list[Cell]:
    return [cell for cell in record.done(knowledge="none", defense="none") if cell.norm == "l2"]


def test_each_pair_of_classes_has_its_share_and_median() -> None:
    record = records.make()
    (cell, *_) = bare(record)
    count, classes = record.data.samples, record.model.classes
    cell.distance = [1.0] * count
    cell.by_target = [
        [0.0 if goal == label else float(goal) if goal != 9 else None for goal in range(classes)]
        for label in record.data.labels
    ]
    (table,) = list(Targets().compute(record))
    rows = {(row[3], row[4]): row for row in table.rows}
    labels = sorted(set(record.data.labels))
    assert len(rows) == sum(classes - 1 for _ in labels)
    first, names = labels[0], record.model.class_names
    assert rows[names[first], names[9]][6:] == [0.0, None]
    assert rows[names[first], names[5]][6:] == [1.0, 5.0]
    assert rows[names[first], names[5]][5] == record.data.labels.count(first)


def test_a_run_without_targets_has_no_such_table() -> None:
    assert list(Targets().compute(records.make())) == []


@pytest.mark.parametrize(("stem", "claims"), [("lenet", 1), ("conv4", 2), ("other", 0)])
def test_figures_of_the_sources_stand_beside_ours(stem: str, claims: int) -> None:
    record = records.make()
    assert list(Sources().compute(record)) == []
    record.suite.name, record.model.file = "seeds-attacks", f"{stem}.onnx"
    tables = list(Sources().compute(record))
    assert len(tables) == (claims > 0)
    if claims:
        rows = {row[0]: row for row in tables[0].rows}
        assert len(rows) == claims
        if stem == "lenet":
            (deepfool,) = [cell for cell in bare(record) if cell.plugin == "deepfool"]
            pairs = zip(deepfool.l2, record.data.l2, strict=True)
            ratios = [length / size for length, size in pairs if length]
            assert str(rows["rho_adv by DeepFool, LeNet"][3]).startswith(
                f"{sum(ratios) / len(ratios):.3f} over {len(ratios)} "
            )


def of_defences(defense: str, attack: str = "bim") -> Record:
    """The made-up record with its detector under a name that a claim is about, and PGD's place taken by that attack."""
    record = records.make()
    record.suite.name = "seeds"
    for row in record.pipelines:
        row.defense = defense if row.defense == "Logit odds" else row.defense
    for cell in record.cells:
        cell.defense = defense if cell.defense == "Logit odds" else cell.defense
        cell.attack = attack if cell.attack == "PGD" else cell.attack
    return record


def told(record: Record) -> dict[object, list[Any]]:
    (table,) = list(Sources().compute(record))
    return {row[0]: row for row in table.rows}


def test_a_detector_stands_with_its_false_alarms_obliviously_and_adaptively() -> None:
    record = of_defences("confidence")
    for cell in record.done(defense="confidence", knowledge="oblivious"):
        for place, strength in enumerate(cell.strengths):
            strength.strength = (0.2, 0.3)[place % 2] if cell.norm == "linf" else (3.0, 5.0)[place % 2]
    row = told(record)["Low confidence, the baseline: BIM"]
    oblivious, adaptive = row[3].split("Adaptive:")
    for part in (oblivious, adaptive):
        assert "at 1 % false alarms, AUC" in part
    assert "right within" in adaptive
    assert row[4].startswith("Reproduced in part: it depends on the strength")
    for cell in record.done(defense="confidence", knowledge="oblivious"):
        for strength in cell.strengths:
            strength.suspicion = [1000.0] * len(strength.suspicion)
    assert told(record)["Low confidence, the baseline: BIM"][4].startswith(
        "Reproduced against attacks that do not know"
    )


def test_words_follow_the_figures_of_a_corrector() -> None:
    record = of_defences("logit-odds-svm")
    name = "Logit detector with support vector machine: accuracy over BIM's whole range"
    for cell in record.done(defense="logit-odds-svm", knowledge="oblivious"):
        for strength in cell.strengths:
            strength.prediction = list(record.data.labels)
    record.pipeline("logit-odds-svm").prediction = list(record.data.labels)
    assert told(record)[name][4].startswith("Reproduced")
    for cell in record.done(defense="logit-odds-svm", knowledge="oblivious"):
        cell.strengths[0].prediction = [(label + 1) % 10 for label in record.data.labels]
    assert "falls to 0 %" in told(record)[name][4]
    for cell in record.done(defense="logit-odds-svm", knowledge="adaptive"):
        cell.distance = [0.001] * record.data.samples
    assert "Known to the attacker it is broken: 0 % stay right" in told(record)[name][4]


def test_a_claim_that_was_not_measured_says_so() -> None:
    record = of_defences("confidence")
    record.pipeline("confidence").status, record.pipeline("confidence").reason = "failed", "there was no data"
    (row,) = told(record).values()
    assert row[3] == "Not measured: there was no data"


def test_findings_are_known_by_the_cells_that_they_name() -> None:
    """Not by words in their sentences, which may say another defence's name."""
    record = of_defences("gradient-masking")
    mine, other = record.done(defense="gradient-masking")[0], record.done(defense="none")[0]
    view = PipelineFigures(record, record.pipeline("gradient-masking"))
    record.findings = [
        Finding("zero-gradients", "warning", "gradient-masking (gradient-masking, l2)", {}, "", [other.id]),
        Finding("zero-gradients", "warning", "other words", {}, "", [other.id, mine.id]),
        Finding("label-leak", "warning", "gradient-masking is", {}, "", []),
    ]
    assert view.findings() == [record.findings[1]]
