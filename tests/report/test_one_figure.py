"""One figure for one question: every place that prints a median or a budget prints the same."""

from __future__ import annotations

import io
import math
from contextlib import redirect_stdout

import pytest

from robusteval.assessment import verdict
from robusteval.assessment.evidence.worst_case import envelope_of, held, median_loss
from robusteval.cli import tables as terminal
from robusteval.cli.finished.ending import _medians
from robusteval.metrics import accuracy_curve, cascades, cost
from robusteval.record.run import Cell, Finding, Record, Verdict
from robusteval.record.units import attack_text, budget_text
from robusteval.report.formats.numbers import MISSING
from robusteval.report.sections import headline
from tests import records

INF = None  # as the record writes it
COLUMNS: dict[str, tuple[list[float | None], float | None]] = {
    "the upper of the middle two is infinite": ([1.0, 2.0, INF, INF], 2.0),
    "even": ([1.0, 2.0, 4.0, 8.0], 2.0),
    "odd": ([1.0, 2.0, 4.0, 8.0, 9.0], 4.0),
    "odd, and the middle is infinite": ([1.0, INF, INF], None),
    "never": ([INF, INF], None),
    "zeros do not count": ([0.0, 0.0, 0.0, 3.0, 5.0], 3.0),
    "nothing was right when clean": ([0.0, 0.0], None),
    "one": ([7.0], 7.0),
    "ties": ([2.0, 2.0, 2.0, INF], 2.0),
}


def _record(column: list[float | None], norm: str = "l2", extra: tuple[Cell, ...] = ()) -> Record:
    record = records.make(10)
    data = record.data
    data.samples, data.labels, data.l2 = len(column), data.labels[: len(column)], data.l2[: len(column)]
    cell = next(cell for cell in record.cells if cell.defense == "none" and cell.norm == "l2" and cell.status == "done")
    cell.norm, cell.distance, cell.family, cell.eps, cell.threat = norm, column, "minimal", None, "curve"
    record.cells, record.estimates, record.findings, record.planted = [cell, *extra], [], [], []
    record.suite.norms = [norm]
    record.pipelines = record.pipelines[:1]
    labels, record.gallery = data.labels, []
    record.pipelines[0].prediction = [
        label if value != 0 else (label + 1) % 10 for label, value in zip(labels, column, strict=True)
    ]
    record.results = [
        result
        for metric in (accuracy_curve.AccuracyCurve(), cost.Cost(), cascades.Cascades())
        for result in metric.compute(record)
    ]
    record.verdict = Verdict("conclusive", "B", "", [])
    return record


def _printed(record: Record) -> str:
    out = io.StringIO()
    with redirect_stdout(out):
        terminal.result_table(record)
    return out.getvalue()


@pytest.mark.parametrize("name", COLUMNS)
def test_the_median_is_the_same_wherever_it_is_printed(name: str) -> None:
    column, wanted = COLUMNS[name]
    record = _record(column)
    found: dict[str, float | None] = {}
    half = median_loss(envelope_of(record, "l2", "none"))
    found["envelope"] = None if half == 0 or math.isinf(half) else half
    for result in record.results:
        if result.tags.get("measure") == "median-distance":
            found[result.name] = result.value
        if result.metric == "cost" and result.kind == "table":
            found["cost"] = dict(zip(result.titles(), result.rows[0], strict=True))["Median distance"]  # type: ignore[assignment]
    found["json"] = _medians(record)["l2"]
    assert set(found.values()) == {wanted}, found
    text = "-" if wanted is None else f"{wanted:g}"
    card = next(card for card in headline.cards(record) if card.label.startswith("Median"))
    assert card.value == (MISSING if wanted is None else text)
    shown = headline.attacks(record, "l2")
    assert shown is not None
    assert str(getattr(shown.rows[0][-2], "text", shown.rows[0][-2])) == card.value
    assert f" {text} " in _printed(record).splitlines()[1]
    said = " ".join(verdict.write(record).sentences)
    assert ("lost at a distance of" in said) == (wanted is not None)
    assert wanted is None or f"lost at a distance of {text} or less" in said
    if wanted is not None:
        assert held(record, "l2") == wanted, "the gate takes the same figure"


def _cascade(eps: float, lost: list[float | None], norm: str = "linf") -> Cell:
    made = next(cell for cell in records.make(10).cells if cell.status == "done")
    made.id, made.attack, made.plugin, made.family, made.threat = (
        f"none/c@{eps:.4g}",
        f"c@{eps:.4g}",
        "c",
        "cascade",
        "budget",
    )
    made.norm, made.eps, made.distance, made.knowledge, made.defense = norm, eps, lost, "none", "none"
    made.params, made.member = {"m": {}}, [None if distance is None else "m" for distance in lost]
    return made


def test_a_cascade_stands_in_the_column_of_its_own_budget_only() -> None:
    far, near = _cascade(0.3, [0.3, 0.29, 0.3, None]), _cascade(8 / 255, [None, None, None, None])
    record = _record([0.01, 0.2, 0.25, None], "linf", (far, near))
    shown = headline.attacks(record, "linf")
    assert shown is not None
    at = {head: place for place, head in enumerate(shown.columns)}
    row = next(row for row in shown.rows if str(row[0]).startswith("c at"))
    assert str(row[0]) == "c at 0.3"
    assert row[at["Accuracy at L\u221e \u2264 8/255"]] == MISSING
    figure = row[at["Accuracy at L\u221e \u2264 0.3"]]
    assert not isinstance(figure, str)
    assert figure.text == "25.0 %"
    assert not [
        result for result in record.results if result.tags.get("attack") == "c@0.3" and result.tags.get("eps") != 0.3
    ]


def test_cascades_alone_say_nothing_of_budgets_that_nobody_asked_about() -> None:
    far = _cascade(0.3, [0.3, 0.29, 0.3, None])
    record = _record([0.1, 0.1, 0.1, None], "linf")
    record.cells = [far]
    record.results = list(accuracy_curve.AccuracyCurve().compute(record))
    asked = {result.tags.get("eps") for result in record.results if result.tags.get("measure") == "robust-accuracy"}
    assert asked == {0.3}
    assert not [result for result in record.results if result.tags.get("measure") == "median-distance"]
    assert not [result for result in record.results if result.kind == "curves"]
    assert held(record, "linf") == 0.0, "three of four are lost within 0.3, and nobody knows how near"
    record.cells.append(_cascade(0.1, [0.1, None, None, None]))
    assert held(record, "linf") == 0.1


def test_the_verdict_and_the_card_quote_one_figure_for_a_budget() -> None:
    near = _cascade(8 / 255, [8 / 255, None, None, None])
    record = _record([0.2, 0.01, None, None], "linf", (near,))
    card = next(card for card in headline.cards(record) if card.label.endswith("8/255"))
    said = [sentence for sentence in verdict.write(record).sentences if "ithin Linf 8/255" in sentence]
    assert card.value == "50.0 %"
    assert said
    assert all("50.0 %" in sentence for sentence in said)


def test_no_card_calls_the_model_s_own_answers_an_accuracy() -> None:
    record = _record([0.2, 0.01, None, None], "linf", (_cascade(8 / 255, [8 / 255, None, None, None]),))
    assert headline.cards(record)[0].label == "Clean accuracy"
    record.findings = [Finding("labels-from-model", "warning", "said", {}, "do")]
    labels = [card.label for card in headline.cards(record)]
    assert labels
    assert not [label for label in labels if "ccuracy" in label]


@pytest.mark.parametrize(
    ("eps", "norm", "width", "text"),
    [
        (8 / 255, "linf", 1.0, "8/255"),
        (16 / 255, "linf", 2.0, "16/255"),
        (8.0, "linf", 255.0, "8"),
        (0.3, "linf", 1.0, "0.3"),
        (0.2, "linf", 1.0, "0.2"),
        (0.5, "l2", 1.0, "0.5"),
        (10.0, "l0", 1.0, "10"),
        (1.0, "linf", 1.0, "1"),
    ],
)
def test_budgets_are_written_one_way(eps: float, norm: str, width: float, text: str) -> None:
    assert budget_text(eps, norm, width) == text
    assert attack_text("c@0.1", norm, eps, "budget", width) == f"c at {text}"
    assert attack_text("pgd", norm, eps, "curve", width) == "pgd"
