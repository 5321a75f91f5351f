"""Certificates that were broken, and adversarials that give the label away."""

from __future__ import annotations

import dataclasses

import pytest

from robusteval.assessment.evidence.defense_findings import defenses, label_leak
from tests.assessment.asking import numbers, says
from tests.assessment.test_defense_checks import RIGHT, adaptive, defended, first, found, oblivious
from tests.engine.test_findings import N


@pytest.mark.parametrize(
    ("distance", "radius", "broken"),
    [
        (0.3, 0.3, False),
        (0.3, 0.3001, True),
        (0.0, 0.5, False),
        (None, 0.5, False),
        (1e-9, 0.5, True),
        (0.3, 0.0, False),
    ],
)
def test_an_adversarial_inside_a_certified_ball(distance: float | None, radius: float, broken: bool) -> None:
    record = defended(certified=[radius] * 3 + [0.0] * (N - 3))
    record.cells.append(adaptive([distance] * 3 + [0.1] * (N - 3)))
    rows = found(defenses, record)
    assert len(rows) == broken
    for row in rows:
        assert (row.code, row.severity, row.evidence) == ("certificate-broken", "alarm", {"count": 3})
        assert numbers(row.sentence) == [3]
        assert says(row.sentence, "d")


def test_certificates_are_held_against_adaptive_attacks_in_l2_alone() -> None:
    record = defended(certified=[1.0] * N)
    record.cells.append(oblivious(RIGHT))
    for change in ({"norm": "linf"}, {"knowledge": "oblivious"}, {"defense": "e"}, {"status": "failed"}):
        record.cells[-1] = adaptive(0.5, **change)
        assert found(defenses, record) == [], change
    record.cells += [adaptive(0.5), adaptive(0.4)]
    assert [row.evidence for row in found(defenses, record)] == [{"count": 2 * N}]
    record.pipelines[1].certified = [1.0]
    with pytest.raises(ValueError, match="argument"):
        found(defenses, record)


# Label leaking


@pytest.mark.parametrize(("right", "told"), [(100, False), (104, False), (105, True), (N, True)])
def test_adversarials_that_give_the_label_away(right: int, told: bool) -> None:
    record = defended(prediction=first(100))
    record.cells.append(oblivious(first(100), first(right), first(N) if told else first(100)))
    rows = found(label_leak, record)
    assert len(rows) == told  # once a cell
    for row in rows:
        assert (row.code, row.severity) == ("label-leak", "warning")
        assert row.evidence == {"adversarial": right / N, "clean": 0.5}
        assert says(row.sentence, "d", "ddn")
        assert row.cells == ["d/ddn/l2/oblivious"]


def test_where_labels_can_leak() -> None:
    record = defended(prediction=first(100))
    record.cells += [
        oblivious(first(100)), oblivious(first(N), attack="pgd"), oblivious(first(N), defense="e"),
        adaptive(0.4, strengths=oblivious(first(N)).strengths),
    ]  # fmt: skip
    assert [row.cells for row in found(label_leak, record)] == [["d/pgd/l2/oblivious"]]
    record.cells.append(oblivious(first(N), id="again"))
    assert [row.cells for row in found(label_leak, record)] == [["d/pgd/l2/oblivious"], ["again"]]
    record.cells.pop()
    record.pipelines[1].status = "failed"
    assert found(label_leak, record) == []
    record.pipelines.append(dataclasses.replace(record.pipelines[1], status="done"))
    assert len(found(label_leak, record)) == 1
    record.data.labels = []
    assert found(label_leak, record) == []
