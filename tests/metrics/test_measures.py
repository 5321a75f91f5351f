"""The measures added to the first ones: flips, strengths, what to label next, CLEVER; worked out by hand."""

from __future__ import annotations

import pytest

from robusteval.metrics import clever, cost, label_next, per_class, strength_curve
from robusteval.record.run import Estimate, Record, Result, Strength
from robusteval.report.formats import tables_csv
from robusteval.testing import checks_for
from robusteval.testing.checks import Check
from robusteval.testing.metrics import MetricSubject
from tests import records
from tests.assessment.asking import find
from tests.metrics.test_metrics import scalars, tiny
from tests.sure import number

NEW = [clever.Clever, label_next.LabelNext, strength_curve.StrengthCurve, cost.Cost, per_class.PerClass]


def rows(result: Result) -> list[dict[str, object]]:
    return [dict(zip(result.titles(), row, strict=True)) for row in result.rows]


def rich() -> Record:
    """The realistic record with estimates and kept strengths."""
    record = records.make(60)
    record.estimates = [
        Estimate("clever", "l2", {}, "done", "", [0, 1, 2], [0.1, None, 2.0], 2.0, [1, 2, 3], [0.5, None, 0.1])
    ]
    for cell in record.done(knowledge="none"):
        cell.strengths = [Strength(s, s * 2, s, [bool(i % 3) for i in range(60)], [0] * 60) for s in (2.0, 1.0)]
    return record


@pytest.mark.parametrize(
    "check",
    [check for metric in NEW for check in checks_for(MetricSubject(metric, (rich(),)))],
    ids=str,
)
def test_keeps_the_kits_promises(check: Check) -> None:
    check()


def test_no_budget_beyond_what_attacks_with_gradients_searched() -> None:
    record = tiny()
    record.cells[0].eps, record.cells[1].eps = 1.0, None
    record.cells[1].needs = "scores"
    assert max(number(scalar.tags["eps"]) for scalar in scalars(record, "robust-accuracy").values()) == 1.0
    black_box = record.cells[1]
    black_box.threat, black_box.eps = "budget", 2.0
    budgets = {number(scalar.tags["eps"]) for scalar in scalars(record, "robust-accuracy").values()}
    assert max(budgets) == 1.0, "not where a cascade without gradients was run either"
    assert [
        scalar.tags["eps"] for scalar in scalars(record, "robust-accuracy").values() if scalar.tags["reference"]
    ] == [0.5]
    black_box.eps = 0.75
    assert 0.75 in {number(scalar.tags["eps"]) for scalar in scalars(record, "robust-accuracy").values()}
    black_box.threat, black_box.eps = "curve", None
    record.cells[0].needs = "decision"
    assert max(number(scalar.tags["eps"]) for scalar in scalars(record, "robust-accuracy").values()) > 1.0


def test_the_nearest_sample_is_labelled_first_and_the_wrong_and_the_never_lost_are_left_out() -> None:
    (table,) = label_next.LabelNext().compute(tiny())
    assert [(row["Rank"], row["Sample"], row["Distance"], row["Attack"], row["Flips to"]) for row in rows(table)] == [
        (1, 1, 0.5, "b", 1),
        (2, 0, 1.0, "a", 1),
    ]
    assert "1 that are wrong when clean already, 1 that were never lost" in table.description


def test_a_win_inside_a_budget_is_no_smallest_distance() -> None:
    record = tiny()
    record.cells[1].threat = "budget"
    (table,) = label_next.LabelNext().compute(record)
    assert [(row["Sample"], row["Distance"]) for row in rows(table)] == [(0, 1.0), (1, 3.0)]


def test_flips_are_counted_by_pair_the_most_frequent_first() -> None:
    record = tiny()
    record.model.classes = 3
    record.data.labels = [0, 0, 0, 1]
    record.pipelines[0].prediction = [0, 0, 0, 0]
    for cell in record.cells:
        cell.distance, cell.prediction = [1.0, 3.0, 2.0, 0.0], [2, 1, 2, None]
    table = next(result for result in per_class.PerClass().compute(record) if result.name.startswith("flips/"))
    assert [(row["Class"], row["Flips to"], row["Samples"]) for row in rows(table)] == [(0, 2, 2), (0, 1, 1)]
    assert [row["Share"] for row in rows(table)] == [pytest.approx(2 / 3), pytest.approx(1 / 3)]


def test_the_strength_curve_is_measured_and_starts_at_the_clean_accuracy() -> None:
    record = tiny()
    record.cells[0].strengths = [
        Strength(2.0, 1.8, 2.0, [True, True, False, False], [1, 1, 1, 0]),
        Strength(1.0, 0.9, 1.0, [True, False, False, False], [1, 0, 1, 0]),
    ]
    (result,) = strength_curve.StrengthCurve().compute(record)
    assert [(point.x, point.y) for point in result.curves[0].points] == [(0.0, 0.75), (0.9, 0.5), (1.8, 0.25)]
    assert len(result.curves) == 1  # the other cell kept none


def test_cost_counts_wins_that_survive_rounding() -> None:
    record = tiny()
    record.cells[0].survives_8bit = [True, False, None, None]
    table = next(iter(cost.Cost().compute(record)))
    assert [row["Survive 8 bits"] for row in rows(table)] == [0.5, None]
    assert [row["Mean L2"] for row in rows(table)] == [2.0, 1.25]


def estimated(values: list[float | None]) -> Record:
    record = tiny()
    record.estimates = [Estimate("clever", "l2", {}, "done", "", [0, 1, 2], values, 4.0, [1, 1, 0], [0.4, None, None])]
    return record


def test_clever_stands_beside_the_smallest_distance() -> None:
    table, own, upper = clever.Clever().compute(estimated([0.5, 1.0, 4.0]))
    assert [
        (row["CLEVER"], row["Smallest distance found"], row["Ratio"], row["At its limit"]) for row in rows(table)
    ] == [
        (0.5, 1.0, 0.5, False),
        (1.0, 0.5, 2.0, False),
        (4.0, None, None, True),
    ]
    assert (own.value, upper.value) == (1.0, 1.0)
    assert "Goodfellow" in table.description


@pytest.mark.parametrize(("values", "above"), [([0.5, 1.0, 4.0], 1), ([0.9, 0.4, 4.0], 0), ([None, None, None], 0)])
def test_clever_above_an_attack_is_never_without_a_finding(values: list[float | None], above: int) -> None:
    found = [finding for finding in find(estimated(values), False) if finding.code == "clever-above-attack"]
    assert [finding.evidence["above"] for finding in found] == [above] * bool(above)


def test_csv_holds_every_row_and_no_formula() -> None:
    record = tiny()
    record.cells[1].attack = "=cmd()"
    record.results = [*label_next.LabelNext().compute(record), *cost.Cost().compute(record)]
    made = tables_csv.tables(record)
    assert list(made) == ["label-next_l2.csv", "cost.csv"]
    assert made["label-next_l2.csv"].splitlines() == [
        "Rank,Sample,Label,Label name,Distance,Attack,Flips to,Flips to name",
        "1,1,0,0,0.5,'=cmd(),1,1",
        "2,0,0,0,1.0,a,1,1",
    ]


def test_csv_names_stay_inside_the_folder_and_apart() -> None:
    record = tiny()
    bad = [Result("m", name, "table", "t", columns=["a"], rows=[[1]]) for name in ("../../x", "..", "x", "/x", "x")]
    record.results = bad
    names = list(tables_csv.tables(record))
    assert len(set(names)) == 5
    assert not any("/" in name or name.startswith(".") for name in names)


def test_what_was_foretold_is_compared_with_what_was_made_of_the_same_cells() -> None:
    record = tiny()
    record.cells[0].foretold = 40.0
    figures = {result.name: result.value for result in cost.Cost().compute(record) if result.kind == "scalar"}
    assert figures == {"passes/foretold": 3 * 40.0, "passes/made": 66.0}  # the fourth sample is wrong when clean
    record.cells[0].foretold = None
    assert [result.name for result in cost.Cost().compute(record)] == ["cost"]
