"""The rules about defences and detectors: both sides of every limit, and every figure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from robusteval.assessment.evidence.defense_findings import defenses, detectors, label_leak
from robusteval.record.run import Cell, Finding, Pipeline, Record, Strength
from tests.assessment.asking import about, ask, complete, numbers, says
from tests.engine.test_findings import N, cell, honest
from tests.sure import sure

RIGHT = [0, 1] * (N // 2)
WRONG = [1, 0] * (N // 2)


def defended(**more: Any) -> Record:
    record = honest()
    row = Pipeline("d", "d", "1", "preprocessor", {}, "done", prediction=list(RIGHT))
    record.pipelines.append(dataclasses.replace(row, **more))
    return record


def adaptive(distance: Any, **more: Any) -> Cell:
    return cell("ddn", distance, **({"defense": "d", "knowledge": "adaptive", "id": "d/ddn/l2/adaptive"} | more))


def oblivious(
    *answers: list[int], strengths: tuple[float, ...] = (1.0, 2.0, 3.0), attack: str = "ddn", **more: Any
) -> Cell:
    rows = [Strength(at, 0.5, 0.5, [True] * N, answer) for at, answer in zip(strengths, answers, strict=False)]
    made = {"defense": "d", "knowledge": "oblivious", "id": f"d/{attack}/l2/oblivious", "strengths": rows}
    return cell(attack, [], **(made | more))


def first(right: int, otherwise: list[int] = WRONG) -> list[int]:
    """Answers of which so many, the first ones, are right."""
    return RIGHT[:right] + otherwise[right:]


def found(rule: Callable[..., Any], record: Record) -> list[Finding]:
    rows = list(rule(record))
    for row in rows:
        complete(row)
    return rows


# Detectors


@pytest.mark.parametrize(("fired", "told"), [(0, False), (100, False), (101, True), (N, True)])
def test_a_detector_that_rejects_clean_samples(fired: int, told: bool) -> None:
    record = defended(threshold=0.0, prediction=[2] * fired + RIGHT[fired:])
    rows = found(detectors, record)
    assert len(rows) == told
    if told:
        assert (rows[0].code, rows[0].severity, rows[0].evidence) == (
            "detector-rejects-most", "alarm", {"share": fired / N},
        )  # fmt: skip
        assert numbers(rows[0].sentence) == [about(fired / N)]
        assert says(rows[0].sentence, "d")
    assert ask(record, "detector")[0].outcome == ("fail" if told else "pass")


@pytest.mark.parametrize("change", [{"status": "failed"}, {"threshold": None}, {"prediction": []}])
def test_what_is_no_finished_detector(change: dict[str, Any]) -> None:
    record = defended(**({"threshold": 0.0, "prediction": [2] * N} | change))
    assert found(detectors, record) == []
    again = dataclasses.replace(record.pipelines[1], status="done", threshold=0.0, prediction=[2] * N, defense="e")
    record.pipelines.append(again)
    assert [row.evidence["share"] for row in found(detectors, record)] == [1.0]


def test_the_checks_of_defences_apply_where_there_are_some() -> None:
    record = honest()
    for name in ("detector", "defences", "adversarial-above-clean"):
        assert ask(record, name)[0].outcome == "not-applicable"
    record = defended(status="failed", threshold=0.0)
    for name in ("detector", "defences", "adversarial-above-clean"):
        assert ask(record, name)[0].outcome == "not-applicable"
    record = defended()
    assert [ask(record, name)[0].outcome for name in ("detector", "defences")] == ["not-applicable", "pass"]
    record = defended(threshold=1.0)
    assert [ask(record, name)[0].outcome for name in ("detector", "defences")] == ["pass", "pass"]
    record.cells.append(oblivious(RIGHT))
    assert ask(record, "adversarial-above-clean")[0].outcome == "pass"


# Surrogates


@pytest.mark.parametrize(
    ("agreement", "severity"),
    [(None, ""), (1.0, ""), (0.98, ""), (0.9799, "warning"), (0.8, "warning"), (0.7999, "alarm"), (0.0, "alarm")],
)
def test_a_surrogate_that_disagrees(agreement: float | None, severity: str) -> None:
    rows = found(defenses, defended(surrogate_agreement=agreement))
    assert [row.severity for row in rows] == ([severity] if severity else [])
    for row in rows:
        assert (row.code, row.evidence) == ("surrogate-disagrees", {"agreement": agreement})
        assert numbers(row.sentence) == [pytest.approx(100 * sure(agreement), abs=0.051)]
        assert says(row.sentence, "d")


def test_the_bare_model_and_what_failed_are_no_defences() -> None:
    record = defended(status="failed", surrogate_agreement=0.1)
    record.pipelines[0].surrogate_agreement = 0.1
    assert found(defenses, record) == []
    record.pipelines.append(dataclasses.replace(record.pipelines[1], status="done", defense="e"))
    assert len(found(defenses, record)) == 1


# Oblivious and adaptive


@pytest.mark.parametrize(
    ("kept", "survive", "code"),
    [
        (40, 0, ""), (0, 20, ""), (N, 150, "adaptive-much-weaker"), (150, N, "adaptive-too-weak"),
        (140, 100, ""), (141, 100, "adaptive-much-weaker"), (100, 120, ""), (99, 120, "adaptive-too-weak"),
        (N, 0, "adaptive-much-weaker"), (0, N, "adaptive-too-weak"), (120, 120, ""),
    ],
)  # fmt: skip
def test_oblivious_and_adaptive_figures(kept: int, survive: int, code: str) -> None:
    """ddn's oblivious adversarials go as far as .3 from each sample."""
    record = defended()
    record.cells += [oblivious(first(kept)), adaptive([0.31] * survive + [0.29] * (N - survive))]
    rows = found(defenses, record)
    assert [row.code for row in rows] == ([code] if code else [])
    for row in rows:
        assert row.severity == ("info" if code == "adaptive-much-weaker" else "warning")
        assert row.evidence == {"oblivious": kept / N, "adaptive": survive / N}
        figures = [about(kept / N), about(survive / N)]
        assert numbers(row.sentence) == (figures if code == "adaptive-much-weaker" else figures[::-1])
        assert says(row.sentence, "d")
        assert row.cells == []


def test_without_either_figure_there_is_nothing_to_compare() -> None:
    record = defended()
    record.cells.append(adaptive(0.9))
    assert found(defenses, record) == []
    record.cells[-1] = oblivious(first(0))
    assert found(defenses, record) == []
    record.cells.append(adaptive(0.9, norm="linf"))  # of another norm
    assert found(defenses, record) == []


def test_other_cells_and_other_defences_are_not_compared() -> None:
    record = defended()
    record.cells += [
        oblivious(first(100)), adaptive([0.31] * 150 + [0.29] * 50),
        oblivious(first(20), defense="e"), adaptive(0.01, defense="e"),
        adaptive(0.9, strengths=oblivious(first(0)).strengths), cell("ddn", 0.01, norm="linf"),
    ]  # fmt: skip
    record.cells.insert(0, cell("ddn", 0.01, norm="linf"))  # of the same name, in another norm
    (row,) = found(defenses, record)
    assert row.evidence == {"oblivious": 0.5, "adaptive": 0.75}


def test_columns_of_different_lengths_are_refused() -> None:
    for change in ("prediction", "answers", "adaptive"):
        record = defended()
        record.cells += [oblivious(first(100)[: -1 if change == "answers" else N]), adaptive(0.9)]
        if change == "prediction":
            record.pipelines[1].prediction = RIGHT[:-1]
        if change == "adaptive":
            record.cells[-1].distance = [0.9] * (N - 1)
        with pytest.raises(ValueError, match="argument"):
            found(defenses, record)
        if change != "adaptive":
            with pytest.raises(ValueError, match="argument"):
                found(label_leak, record)


def test_the_strength_that_hurts_most_is_the_one_to_compare() -> None:
    record = defended()
    record.cells += [
        oblivious(first(150), first(100), first(120)),
        oblivious(first(130), attack="pgd", id="d/pgd/l2/oblivious", strengths=(0.4,)),
        adaptive([0.61] * 140 + [0.59] * 60),  # twice .3
    ]
    (row,) = found(defenses, record)
    assert row.evidence == {"oblivious": 0.5, "adaptive": 0.7}


def test_equal_strengths_are_compared_at_the_first() -> None:
    record = defended()
    record.cells += [oblivious(first(100), first(100)), adaptive([0.31] * 150 + [0.29] * 50)]
    (row,) = found(defenses, record)
    assert row.evidence == {"oblivious": 0.5, "adaptive": 0.75}


def test_a_fixed_attack_reaches_as_far_as_its_budget() -> None:
    for distance, share in (
        (0.4, 0.0),
        (0.4 * (1 + 0.9e-6), 0.0),
        (0.4 * (1 + 1e-6), 0.0),
        (0.4 * (1 + 2e-6), 1.0),
        (0.401, 1.0),
    ):
        record = defended()
        record.cells += [oblivious(first(100), attack="pgd", strengths=(0.4,)), adaptive(distance)]
        assert [row.evidence["adaptive"] for row in found(defenses, record)] == [share], distance


def test_a_minimal_attack_reaches_a_multiple_of_each_sample_s_distance() -> None:
    record = defended()
    record.cells[2].distance = [0.2, None, 0.3, 0.0] * (N // 4)
    record.cells += [oblivious(first(0), strengths=(1.5,)), adaptive([0.31, 0.001, 0.44, 0.001] * (N // 4))]
    (row,) = found(defenses, record)
    # .31 > .3; nothing was found, so the sample itself is judged; .44 < .45; wrong when clean: as the sample itself
    assert row.evidence == {"oblivious": 0.0, "adaptive": 0.75}


def test_the_reach_of_a_minimal_attack_has_a_millionth_of_room() -> None:
    for factor, share in ((1 + 0.5e-6, 0.0), (1 + 2e-6, 1.0)):
        record = defended()
        record.cells += [oblivious(first(100), strengths=(2.0,)), adaptive(0.6 * factor)]
        assert [row.evidence["adaptive"] for row in found(defenses, record)] == [share]


def test_a_minimal_attack_without_its_bare_cell_has_no_reach() -> None:
    record = defended()
    record.cells = [cell("pgd", 0.4), oblivious(first(0)), adaptive(0.9)]
    assert found(defenses, record) == []
    record.cells.append(oblivious(first(100), attack="pgd", strengths=(0.4,)))
    assert [row.evidence for row in found(defenses, record)] == [{"oblivious": 0.5, "adaptive": 1.0}]


def test_a_rejected_adversarial_is_held_and_a_sample_wrong_when_clean_never_is() -> None:
    record = defended(prediction=first(150))
    answers = [2] * 50 + RIGHT[50:100] + WRONG[100:150] + RIGHT[150:]
    record.cells += [oblivious(answers), adaptive([0.31] * 150 + [0.0] * 50)]
    (row,) = found(defenses, record)
    assert row.evidence == {"oblivious": 0.5, "adaptive": 0.75}
