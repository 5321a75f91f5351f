"""Which charts the report has, and what is said about each."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.record.run import Curve, Record, Result
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Figure
from robusteval.report.charts.vega import (
    BESIDE,
    PALETTE,
    PROVED,
    SECOND,
    WORST,
    Axes,
    Chart,
    Line,
    colours,
    line_chart,
    plain,
)
from robusteval.report.formats.numbers import norm_title, spoken

MAX_LINES = 40


def attack_names(record: Record) -> list[str]:
    """Attacks in the order of the cells, so that each keeps its colour in every chart."""
    return list(dict.fromkeys(cell.attack for cell in record.cells))


def accuracy(record: Record, norm: str, defense: str) -> Figure | None:
    """Accuracy against distance of a defended pipeline; the bare model's chart is the hero's."""
    found = pieces.first(pieces.of_kind(record, "accuracy-curve", "curves", {"norm": norm, "defense": defense}))
    if found is None or not any(curve.tags.get("role") == "worst" for curve in found.curves):
        return None  # an oblivious curve alone would flatter the defence
    lines = _accuracy_lines(found.curves, colours(attack_names(record)))
    if not lines:
        return None
    name = norm_title(norm)
    axes = Axes(spoken(found.x_title), "Accuracy", x_limit(found.curves))
    key = f"accuracy-{norm}-{_slot(record, defense)}"
    chart = Chart(
        key,
        f"Accuracy against {name}: {defense}, attacked adaptively",
        "",
        line_chart(key, lines, axes),
        f"Step curves of accuracy against {name} distance",
    )
    return pieces.figure(chart)


def _slot(record: Record, defense: str) -> int:
    return next((index for index, pipeline in enumerate(record.pipelines) if pipeline.defense == defense), 0)


def _accuracy_lines(curves: Sequence[Curve], shades: dict[str, tuple[str, tuple[int, ...]]]) -> list[Line]:
    special = {
        "worst": (WORST, 3.6, (1, 0), True),
        "undefended": (BESIDE, 2.2, (8, 4), False),
        "oblivious": (SECOND, 2.2, (2, 3), False),
        "certified": (PROVED, 3.0, (10, 3, 2, 3), False),
    }
    lines: list[Line] = []
    for curve in curves:
        role = str(curve.tags.get("role"))
        if role in special:
            colour, thick, dash, band = special[role]
            lines.append(_line(curve, lines, colour, thick, dash, band))
        elif curve.points:
            colour, dash = shades.get(str(curve.tags.get("attack")), (PALETTE[0], (1, 0)))
            lines.append(_line(curve, lines, colour, 1.7, dash))
    # The worst case leads the legend.
    return sorted(lines[:MAX_LINES], key=lambda line: not line.band)


def _line(
    curve: Curve, lines: Sequence[Line], colour: str, width: float, dash: tuple[int, ...], band: bool = False
) -> Line:
    """A line with its own entry in the legend."""
    name = unique(curve.label, lines)
    return Line(curve, name, name, colour, width, dash, band)


def unique(label: str, lines: Sequence[Line]) -> str:
    names = {line.name for line in lines}
    label = plain(label)
    name, count = label, 2
    while name in names:
        name, count = f"{label} ({count})", count + 1
    return name


def x_limit(curves: Sequence[Curve]) -> float | None:
    """As far as something happens: half as far again as where the worst case is below 2 %."""
    whole = max((point.x for curve in curves for point in curve.points), default=0.0)
    ends = [
        next((point.x for point in curve.points if point.y < 0.02), whole)
        for curve in curves
        if curve.tags.get("role") in ("worst", "undefended")
    ]
    return min(whole, 1.5 * max(ends, default=whole)) or None


def oblivious(record: Record, defense: str) -> Figure | None:
    """Accuracy against mean L2, attacks that do not know the defence, with the adaptive worst case beside them."""
    found = pieces.first(pieces.of_kind(record, "oblivious-curve", "curves", {"defense": defense}))
    if found is None:
        return None
    adaptive = [
        curve
        for found in pieces.of_kind(record, "accuracy-curve", "curves", {"norm": "l2", "defense": defense})
        for curve in found.curves
        if curve.tags.get("role") == "worst"
    ]
    if not adaptive:
        return None
    shades = colours(attack_names(record))
    lines: list[Line] = [Line(adaptive[0], "Adaptive worst case", "Adaptive worst case", WORST, 3.6)]
    for curve in found.curves[: MAX_LINES - 1]:
        colour, _ = shades.get(str(curve.tags.get("attack")), (PALETTE[0], (1, 0)))
        bare = curve.tags.get("role") == "bare"
        series = str(curve.tags.get("attack"))
        series += " " if series == "Adaptive worst case" else ""
        name = unique(curve.label, lines)
        lines.append(Line(curve, name, series, colour, 1.2 if bare else 2.2, (3, 3) if bare else (1, 0)))
    limit = max((point.x for line in lines[1:] for point in line.curve.points), default=None)
    key = f"oblivious-{_slot(record, defense)}"
    axes = Axes(found.x_title, "Accuracy", limit, step=False)
    chart = Chart(
        key,
        f"{defense}: accuracy as oblivious attacks grow stronger",
        "",
        line_chart(key, lines, axes),
        "Lines of accuracy against mean L2 size",
    )
    return pieces.figure(chart)


def strength(record: Record) -> Figure | None:
    """Accuracy of the bare model against mean L2, a line for each attack and norm."""
    found = pieces.first(pieces.of_kind(record, "strength-curve", "curves"))
    if found is None:
        return None
    shades = colours(attack_names(record))
    lines: list[Line] = []
    for curve in found.curves[:MAX_LINES]:
        colour, _ = shades.get(str(curve.tags.get("attack")), (PALETTE[0], (1, 0)))
        lines.append(_line(curve, lines, colour, 2.0, (1, 0) if curve.tags.get("norm") == "l2" else (6, 3)))
    caption = (
        "What each attack does to the bare model at each strength it was run at, against the mean size of what it did. "
        f"Dashed: attacks in another norm than L2. {found.description}"
    )
    axes = Axes(found.x_title, "Accuracy", step=False, formats=("Mean L2", "Accuracy"))
    spec = line_chart("strength", lines, axes)
    return pieces.figure(Chart("strength", found.title, caption, spec, "Lines of accuracy against mean L2 size"))


def roc(record: Record, defense: str) -> Figure | None:
    """ROC of a detector; false alarms on a logarithmic axis."""
    found = pieces.first(pieces.of_kind(record, "detector-roc", "curves", {"defense": defense}))
    if found is None:
        return None
    shades = colours(attack_names(record))
    lines: list[Line] = []
    for curve in _hardest(found.curves)[:MAX_LINES]:
        colour, _ = shades.get(str(curve.tags.get("attack")), (PALETTE[0], (1, 0)))
        adaptive = curve.tags.get("knowledge") == "adaptive"
        lines.append(_line(curve, lines, colour, 2.8 if adaptive else 1.5, (6, 3) if adaptive else (1, 0)))
    lines.sort(key=lambda line: line.curve.tags.get("knowledge") != "adaptive")
    key = f"roc-{_slot(record, defense)}"
    axes = Axes(
        "False alarms (log scale)", "Adversarials found", x_log_from=0.002, step=True, formats=("False alarms", "Found")
    )
    chart = Chart(key, f"{defense}: found against false alarms", "", line_chart(key, lines, axes), "ROC curves")
    return pieces.figure(chart)


def _hardest(curves: Sequence[Curve]) -> list[Curve]:
    """Of each attack, norm and knowledge the curve with the smallest area under it."""
    chosen: dict[tuple[str, str, str], tuple[float, Curve]] = {}
    for curve in curves:
        key = (str(curve.tags.get("attack")), str(curve.tags.get("norm")), str(curve.tags.get("knowledge")))
        pairs = zip(curve.points, curve.points[1:], strict=False)
        area = sum((after.x - before.x) * (after.y + before.y) / 2 for before, after in pairs)
        if key not in chosen or area < chosen[key][0]:
            chosen[key] = (area, curve)
    return [curve for _, curve in chosen.values()]


def generic(result: Result, index: int) -> list[Figure]:
    """Curves of an unknown metric: one chart for each group, nothing assumed about units."""
    figures = []
    for number, group in enumerate(dict.fromkeys(curve.group for curve in result.curves)):
        curves = [curve for curve in result.curves if curve.group == group and curve.points][:MAX_LINES]
        if not curves:
            continue
        lines: list[Line] = []
        shades = colours([str(count) for count in range(len(curves))])
        for count, curve in enumerate(curves):
            colour, dash = shades[str(count)]
            lines.append(_line(curve, lines, colour, 2.0, dash, band=True))
        share = all(0 <= point.y <= 1 for curve in curves for point in curve.points)
        axes = Axes(result.x_title, result.y_title, y_share=share, step=False, formats=("x", "y"))
        key = f"other-{index}-{number}"
        title = f"{result.title}: {group}" if group else result.title
        figures.append(pieces.figure(Chart(key, title, "", line_chart(key, lines, axes), "Lines")))
    return figures
