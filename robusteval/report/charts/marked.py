"""The worst case with and without the samples whose adversarial a reader marked as showing another class."""

from __future__ import annotations

from robusteval.assessment.answers.without import without
from robusteval.record.run import Curve, Record
from robusteval.report.charts import pieces
from robusteval.report.charts.figures import x_limit
from robusteval.report.charts.pieces import Figure
from robusteval.report.charts.vega import SECOND, WORST, Axes, Chart, Line, line_chart
from robusteval.report.formats.marks import Marks
from robusteval.report.formats.numbers import budget, interval, norm_title, percent


def marked(record: Record, marks: Marks) -> list[tuple[str, Figure]]:
    """For each norm with marks one sentence, and the two curves."""
    found = [_one(record, norm, marks) for norm in pieces.norms(record)]
    return [pair for pair in found if pair is not None]


def _one(record: Record, norm: str, marks: Marks) -> tuple[str, Figure] | None:
    both = without(record, norm, marks.samples(norm))
    if both is None:
        return None
    name, at = norm_title(norm), budget(both.eps, norm, pieces.width(record))
    sentence = (
        f"{name}: {both.left_out} of {both.samples:,} images are marked. Within {at} the worst case leaves "
        f"{percent(both.all.value)} of all images right (95 %: {interval(both.all.low, both.all.high)}), and "
        f"{percent(both.rest.value)} of the others ({interval(both.rest.low, both.rest.high)})."
    )
    curves = [
        Curve("All images", both.curve_of_all, norm, {"role": "worst"}),
        Curve("Without the marked ones", both.curve_of_rest, norm, {"role": "worst"}),
    ]
    lines = [
        Line(curves[0], curves[0].label, curves[0].label, WORST, 3.2, band=True),
        Line(curves[1], curves[1].label, curves[1].label, SECOND, 2.4, (6, 3)),
    ]
    axes = Axes(f"Size of the perturbation ({name} distance)", "Images still right", x_limit(curves))
    key = f"marked-{norm}"
    chart = Chart(key, f"With and without the marked images, {name}", "", line_chart(key, lines, axes),
                  "Two step curves of accuracy against distance")  # fmt: skip
    return sentence, pieces.figure(chart)
