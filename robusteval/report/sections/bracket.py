"""The bracket: both edges as a chart, the shares at each budget, the tightest and loosest samples, and why there is no
certificate where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from robusteval.record.run import Record, Result
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Figure, Table, Text, Value
from robusteval.report.charts.vega import PROVED, WORST, Axes, Chart, Line, line_chart
from robusteval.report.formats.numbers import budget, interval, norm_title, number, percent

NOTE = (
    "Proofs are about the bare model, the pixels' box, and the arithmetic that the file is computed in, float32 or "
    "whole numbers; what is neither proved nor broken is unknown."
)
BEHIND = (
    "Proofs are about the defended model: what the defence does to an image, and then the file, as it is computed. "
    "`verify` does not have the defence, and leaves them unchecked."
)


@dataclass(frozen=True)
class InNorm:
    """One norm: its title, the chart, and the tables."""

    title: str
    drawn: Figure | None
    tables: Sequence[Table]


@dataclass(frozen=True)
class Section:
    """All norms with certificates, and a sentence for each certifier that gave none."""

    norms: Sequence[InNorm]
    reasons: Sequence[str]


def section(record: Record) -> Section | None:
    """None where no certificates were asked for."""
    if not record.certificates and not record.certificates_behind:
        return None
    shown = []
    for norm in dict.fromkeys(row.norm for row in record.certificates):
        found = {result.name.split("/")[0]: result for result in _of(record, norm)}
        tables = [_shares(record, norm, found["bracket"])] if "bracket" in found else []
        tables += [_samples(found["brackets"])] if "brackets" in found and found["brackets"].rows else []
        drawn = _chart(norm, found["lower-edge"]) if "lower-edge" in found else None
        if tables:
            shown.append(InNorm(norm_title(norm), drawn, tables))
    shown += _behind(record)
    reasons = [
        f"{row.certifier}, {norm_title(row.norm)}: {row.reason}." for row in record.certificates if row.status != "done"
    ]
    behind = [(row.defense, row.reason) for row in record.certificates_behind if row.status != "done"]
    reasons += [f"Behind {defense}: {reason}." for defense, reason in dict.fromkeys(behind)]
    return Section(shown, reasons)


def _behind(record: Record) -> list[InNorm]:
    """A table for each defence and norm with certificates."""
    found = [result for result in record.results if result.metric == "bracket-behind"]
    return [
        InNorm(
            f"Behind {result.tags.get('defense')}, {norm_title(norm)}",
            None,
            [_shares(record, norm, result, BEHIND)],
        )
        for result in found
        for norm in [str(result.tags.get("norm"))]
    ]


def _of(record: Record, norm: str) -> list[Result]:
    return [result for result in record.results if result.metric == "bracket" and result.tags.get("norm") == norm]


def _shares(record: Record, norm: str, found: Result, note: str = NOTE) -> Table:
    rows: list[list[Text]] = []
    for row in pieces.named_rows(found):
        bounds = interval(row.get("proved-low"), row.get("proved-high"))
        rows.append(
            [
                budget(row.get("budget"), norm, pieces.width(record)),
                Value(percent(row.get("proved")), bounds),
                percent(row.get("unknown")),
                percent(row.get("broken")),
            ]
        )
    count = found.tags.get("samples")
    title = f"Proved, unknown, broken ({norm_title(norm)}, {count} samples)"
    return Table(title, ["Budget", "Proved", "Unknown", "Broken or wrong"], rows, note=note)


def _samples(found: Result) -> Table:
    rows = [
        [str(row.get("sample")), number(row.get("proved")), number(row.get("broken")),
         str(row.get("certifier"))]
        for row in pieces.named_rows(found)
    ]  # fmt: skip
    return Table(found.title, found.titles(), rows, words=(3,))


def _chart(norm: str, found: Result) -> Figure | None:
    colours = {"certified": PROVED, "worst": WORST}
    lines = [
        Line(curve, curve.label, curve.label, colours[str(curve.tags.get("role"))], 2.4, (1, 0), curve.label[0] == "P")
        for curve in found.curves
        if curve.points and str(curve.tags.get("role")) in colours
    ]
    if not lines:
        return None
    title = norm_title(norm)
    ends = [point.x for line in lines for point in line.curve.points]
    axes = Axes(found.x_title, "Accuracy", 1.1 * max(ends) or None)
    key = f"bracket-{norm}"
    caption = "The true accuracy lies between the two lines, on the samples that certifiers were asked about."
    chart = Chart(key, f"Between proof and attack ({title})", caption, line_chart(key, lines, axes),
                  f"Step curves of proved accuracy and accuracy under attack against {title} distance")  # fmt: skip
    return pieces.figure(chart)
