"""The measures on records small enough to work out by hand, and on awkward ones."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from robusteval.metrics import (
    accuracy_curve,
    certified_curve,
    clever,
    cost,
    detector_roc,
    label_next,
    oblivious_curve,
    per_class,
    references,
    rho_adv,
    strength_curve,
)
from robusteval.metrics._common import columns, statistics
from robusteval.metrics._common.statistics import median, median_interval
from robusteval.metrics._common.steps import step_points
from robusteval.record import store
from robusteval.record.measured import Knowledge
from robusteval.record.metric import Metric
from robusteval.record.run import Cell, Data, Model, Pipeline, Record, Result, Strength, Suite
from tests import records
from tests import references as sets
from tests.sure import number, sure

METRICS: list[Metric] = [
    accuracy_curve.AccuracyCurve(),
    oblivious_curve.ObliviousCurve(),
    rho_adv.RhoAdv(),
    detector_roc.DetectorRoc(),
    cost.Cost(),
    per_class.PerClass(),
    certified_curve.CertifiedCurve(),
    clever.Clever(),
    label_next.LabelNext(),
    strength_curve.StrengthCurve(),
    references.References(),
]


def tiny() -> Record:
    """Four samples of two classes; the last one is wrong when clean. Two attacks in l2, one of them a DeepFool."""
    labels = [0, 0, 1, 1]
    bare = Pipeline("none", "", "", "model", {}, "done", prediction=[0, 0, 1, 0], label=[0, 0, 1, 0])
    return Record(
        {"name": "robusteval", "version": "0"}, "", 1, {},
        Model("m", "m.onnx", "onnx", "", [1, 2, 2], 2, [0.0, 1.0]),
        Data("d", "d", "", 4, labels, [1.0, 2.0, 4.0, 1.0]),
        Suite("s", "1", ""), "", [bare],
        [cell("a", "deepfool", [1.0, 3.0, None, 0.0]), cell("b", "pgd", [2.0, 0.5, None, 0.0])],
    )  # fmt: skip


def cell(
    name: str, plugin: str, distance: list[float | None], defense: str = "none", knowledge: Knowledge = "none"
) -> Cell:
    flips = [None if nearest is None else 1 - label for nearest, label in zip(distance, [0, 0, 1, 1], strict=True)]
    return Cell(
        f"{defense}/{knowledge}/{name}", name, plugin, "1", {}, "minimal", "gradient", defense, knowledge, "l2",
        "curve", status="done", distance=distance, l2=distance, prediction=flips, forwards=[10, 20, 30, 0],
        backwards=[1, 2, 3, 0],
    )  # fmt: skip


def scalars(record: Record, measure: str) -> dict[str, Result]:
    found = accuracy_curve.AccuracyCurve().compute(record)
    return {result.name: result for result in found if result.tags.get("measure") == measure}


def numbers(results: list[Result]) -> list[float]:
    """Every number anywhere in the results."""
    found: list[object] = []
    for result in results:
        found += [result.value, result.low, result.high, *result.tags.values()]
        found += [value for row in result.rows for value in row]
        found += [
            value
            for curve in result.curves
            for point in curve.points
            for value in (point.x, point.y, point.low, point.high)
        ]
    return [value for value in found if isinstance(value, float)]


def test_the_worst_case_takes_the_minimum_of_each_sample() -> None:
    curves = next(result for result in accuracy_curve.AccuracyCurve().compute(tiny()) if result.kind == "curves").curves
    steps = {curve.label: [(point.x, point.y) for point in curve.points] for curve in curves}
    assert steps["a"] == [(0.0, 0.75), (1.0, 0.5), (3.0, 0.25)]
    assert steps["Worst case"] == [(0.0, 0.75), (0.5, 0.5), (1.0, 0.25)]
    low, high = next(
        (point.low, point.high) for curve in curves if curve.label == "Worst case" for point in curve.points
    )
    assert (low, high) == pytest.approx((0.19412, 0.99369), abs=1e-5)


def test_robust_accuracy_at_budgets_counts_the_edge_as_lost() -> None:
    found = {scalar.tags["eps"]: scalar.value for scalar in scalars(tiny(), "robust-accuracy").values()}
    assert found == {0.25: 0.75, 0.5: 0.5, 1.0: 0.25, 1.5: 0.25, 2.0: 0.25, 3.0: 0.25}
    reference = [
        scalar.tags["eps"] for scalar in scalars(tiny(), "robust-accuracy").values() if scalar.tags["reference"]
    ]
    assert reference == [0.5]


def test_no_budget_beyond_what_was_searched() -> None:
    record = tiny()
    for cell in record.cells:
        cell.eps = 1.0
    assert max(number(scalar.tags["eps"]) for scalar in scalars(record, "robust-accuracy").values()) == 1.0


def test_median_counts_never_as_infinite() -> None:
    found = {str(scalar.tags["attack"]): scalar.value for scalar in scalars(tiny(), "median-distance").values()}
    assert found == {"a": 3.0, "b": 2.0, "worst case": 1.0}


def test_thinned_curves_stay_within_a_point() -> None:
    distance = np.sort(np.random.default_rng(0).exponential(1.0, 5000))
    points = step_points(distance, None)
    assert len(points) <= 121
    xs, ys = np.array([point.x for point in points]), np.array([point.y for point in points])
    grid = np.linspace(0, distance[-1], 999)
    drawn = ys[np.searchsorted(xs, grid, side="right") - 1]
    exact = (distance[None] > grid[:, None]).mean(axis=1)
    assert np.abs(drawn - exact).max() < 0.01


def test_rho_adv_by_hand() -> None:
    table = next(result for result in rho_adv.RhoAdv().compute(tiny()) if result.kind == "table")
    rows = {row[1]: row for row in table.rows}
    assert list(rows) == ["a", "b", "Worst case"]
    assert rows["a"][2] == pytest.approx((1.0 / 1 + 3.0 / 2) / 2)
    assert rows["Worst case"][2] == pytest.approx((1.0 / 1 + 0.5 / 2) / 2)
    assert rows["a"][5:] == [2, 3, pytest.approx(2 / 3)]


def test_cost_counts_passes_and_successes() -> None:
    table = next(iter(cost.Cost().compute(tiny())))
    row = dict(zip(table.titles(), table.rows[0], strict=True))
    assert row["Success"] == pytest.approx(2 / 3)
    assert row["Mean distance"] == 2.0
    assert (row["Forward / sample"], row["Forward total"], row["Backward total"]) == (15.0, 60, 6)


def test_per_class_flips_to_the_other_class() -> None:
    table = next(iter(per_class.PerClass().compute(tiny())))
    rows = [dict(zip(table.titles(), row, strict=True)) for row in table.rows]
    assert [row["Flips most to"] for row in rows] == [1, None]
    assert [row["Clean accuracy"] for row in rows] == [1.0, 0.5]
    assert [row["Robust accuracy"] for row in rows] == [0.5, 0.5]


def defended() -> Record:
    """The tiny record behind a detector that rejects the second clean sample."""
    record = tiny()
    record.pipelines.append(
        Pipeline("det", "det", "1", "detector", {}, "done", prediction=[0, 2, 1, 0], label=[0, 0, 1, 0],
                 suspicion=[0.0, 5.0, 1.0, 0.0], threshold=4.0)
    )  # fmt: skip
    strength = Strength(1.0, 1.1, 1.1, [True, True, False, True], [2, 2, 1, 0], [6.0, 6.0, 1.0, 9.0])
    one = cell("a", "deepfool", [None] * 4, "det", "oblivious")
    one.distance, one.strengths = [], [strength]
    record.cells.append(one)
    return record


def test_a_rejected_adversarial_is_not_lost_but_a_false_alarm_is() -> None:
    curves = next(iter(oblivious_curve.ObliviousCurve().compute(defended()))).curves
    assert [(point.x, point.y) for point in curves[0].points] == [(0.0, 0.5), (1.1, 0.5)]
    assert [(point.x, point.y) for point in curves[1].points] == [(0.0, 0.75), (1.1, 0.25)]


def test_roc_takes_only_samples_that_are_right_when_clean() -> None:
    table = next(result for result in detector_roc.DetectorRoc().compute(defended()) if result.kind == "table")
    row = dict(zip(table.titles(), table.rows[0], strict=True))
    assert (row["Positives"], row["Negatives"], row["AUC"]) == (2, 3, 1.0)


def test_a_failed_cell_is_not_robustness() -> None:
    record = tiny()
    for cell in record.cells:
        cell.status, cell.distance = "failed", []
    names = {result.name for metric in METRICS for result in metric.compute(record)}
    assert names == {"clean-accuracy/none"}


@pytest.mark.parametrize("case", ["all wrong", "never lost", "no cells", "no samples", "no pipelines", "no positives"])
def test_awkward_records_give_no_nan(case: str) -> None:
    record = defended()
    if case == "all wrong":
        for pipeline in record.pipelines:
            pipeline.prediction = pipeline.label = [1, 1, 0, 0]
        for cell in record.cells:
            cell.distance = [0.0] * 4 if cell.distance else []
    elif case == "never lost":
        for cell in record.cells:
            cell.distance = [None] * 4 if cell.distance else []
    elif case == "no cells":
        record.cells = []
    elif case == "no samples":
        record.data.samples, record.data.labels, record.data.l2 = 0, [], []
    elif case == "no pipelines":
        record.pipelines = []
    else:
        record.cells[-1].strengths[0].fools_model = [False] * 4
    record.results = [result for metric in METRICS for result in metric.compute(record)]
    assert all(math.isfinite(value) for value in numbers(record.results))
    store.to_json(record)


def test_the_realistic_record_is_complete_and_repeats() -> None:
    record = records.with_results(sets.beside(records.make(120)))
    assert {result.metric for result in record.results} == {metric.info.name for metric in METRICS}
    text = store.to_json(record)
    assert text == store.to_json(records.with_results(sets.beside(records.make(120))))
    record.times.wall_s = 0.0
    assert [result for metric in METRICS for result in metric.compute(record)] == record.results


def test_certified_accuracy_is_what_is_right_and_proved_beyond_the_budget() -> None:
    """Four samples: one abstained, one wrong when clean however far it is certified."""
    record = tiny()
    smooth = Pipeline(
        "smooth", "s", "1", "preprocessor", {}, "done", prediction=[0, 0, 1, 0], certified=[0.6, 0.0, 1.5, 2.0]
    )
    record.pipelines.append(smooth)
    record.cells.append(cell("a", "ddn", [0.9, 0.1, None, 0.0], "smooth", "adaptive"))
    found = list(certified_curve.CertifiedCurve().compute(record))
    at = {result.tags["eps"]: result.value for result in found if result.tags.get("measure") == "certified-accuracy"}
    assert at == {0.0: 0.5, 0.25: 0.5, 0.5: 0.5, 1.0: 0.25, 1.5: 0.0, 2.0: 0.0, 3.0: 0.0}
    abstained = next(result for result in found if result.tags.get("measure") == "abstentions")
    assert abstained.value == 0.25
    assert next(result for result in found if result.tags.get("measure") == "median-radius").value == 0.6
    lower, upper = next(result for result in found if result.kind == "curves").curves
    assert [(point.x, point.y) for point in lower.points] == [(0.0, 0.5), (0.6, 0.25), (1.5, 0.0)]
    assert [(point.x, point.y) for point in upper.points] == [(0.0, 0.75), (0.1, 0.5), (0.9, 0.25)]
    assert all(result.tags["defense"] == "smooth" for result in found), (
        "Pipelines without certificates have no such curve."
    )


def test_claims_are_of_cascades_where_there_are_any_and_else_of_the_worst_case() -> None:
    record = records.make()
    curve = {result.name: result for result in accuracy_curve.AccuracyCurve().compute(record)}
    rows = [dict(zip(curve["claims"].titles(), row, strict=True)) for row in curve["claims"].rows]
    assert [(row["Norm"], row["By"]) for row in rows] == [("L2", "worst case"), ("Linf", "worst case")]
    for row in rows:
        half = (number(row["High"]) - number(row["Low"])) / 2
        low, high = sure(
            statistics.clopper_pearson(
                round(number(row["Robust accuracy"]) * int(number(row["Samples to halve"]))),
                int(number(row["Samples to halve"])),
            )
        )
        assert high - low == pytest.approx(half, rel=0.02)
    some = record.done(norm="linf", knowledge="none")[0]
    budget = dataclasses.replace(
        some, attack="c@0.1", family="cascade", threat="budget", eps=0.1, distance=[None, 0.05] * 150
    )
    record.cells.append(budget)
    found = list(accuracy_curve.AccuracyCurve().compute(record))
    table = next(result for result in found if result.name == "claims")
    worst = next(result for result in found if result.name == "robust-accuracy/linf/none/none/0.1")
    assert [row[:4] for row in table.rows if row[0] == "Linf"] == [["Linf", 0.1, "c", worst.value]]
    assert worst.value is not None
    assert worst.value < 0.5, "One figure for one question: all attacks, the cascade among them."


def test_oblivious_medians_have_the_interval_of_the_adaptive_ones() -> None:
    record = records.make(200)
    found = {
        (scalar.tags["norm"], scalar.tags["defense"], scalar.tags["attack"]): scalar
        for scalar in scalars(record, "median-distance").values()
    }
    seen = [key for key in found if key[2] == "oblivious worst case"]
    assert seen
    for norm, defense, _ in seen:
        pipeline = record.pipeline(str(defense))
        lost = columns.broken_obliviously(record, pipeline, str(norm))
        assert lost is not None
        lost = lost[columns.right_when_clean(record, pipeline)]
        one = found[norm, defense, "oblivious worst case"]
        assert one.value == median(lost)
        assert (one.low, one.high) == (median_interval(lost) or (None, None))
        assert one.tags["knowledge"] == "oblivious"
    assert any(found[key].low is not None for key in seen)
