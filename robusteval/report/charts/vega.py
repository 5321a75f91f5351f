"""Vega-Lite specifications of the charts, through altair. Text from the record enters only as data and literal
titles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

from robusteval.record.run import Curve
from robusteval.text import line as one_line

# Okabe and Ito's colours and some of Tol's, in an order that keeps neighbours apart; legible on light and on dark.
PALETTE = ("#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#999933", "#A6761D", "#44AA99", "#BB5566")
WORST, BESIDE, SECOND, PROVED = "#D55E00", "#808890", "#3B8EDE", "#2E9E5B"
DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 2, 2, 2))
STATIC_WIDTH = 760
HEIGHT = 340
_LONGEST = 400  # letters of a title or a name in a chart
_NAME, _HALF = 0.17, 0.025  # room for a line's name: a share of the axis, and half its height as a share of accuracy


@dataclass(frozen=True)
class Line:
    """One curve as it is drawn."""

    curve: Curve
    name: str  # unique in its chart
    series: str  # its entry in the legend; several lines may share one
    colour: str
    width: float = 1.8
    dash: tuple[int, ...] = (1, 0)
    band: bool = False
    label: bool = True  # where the chart labels lines, this one too


@dataclass(frozen=True)
class Chart:
    """One figure: the specification, and what is said about it."""

    key: str
    title: str
    caption: str
    spec: dict[str, Any]
    alt: str


@dataclass(frozen=True)
class Axes:
    """How a chart of lines is drawn. x_max: its right end, None for the data's; y_share: from 0 to 100 %; x_log_from: a
    logarithmic x axis that starts there; step: lines are steps; formats: what the tooltip calls x and y."""

    x_title: str
    y_title: str
    x_max: float | None = None
    y_share: bool = True
    x_log_from: float | None = None
    step: bool = True
    labels: bool = False  # each line's name beside it, in the chart
    formats: tuple[str, str] = field(default=("Distance", "Accuracy"))


def colours(names: Sequence[str]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """A colour and a dash for each name, in order; the same name has the same in every chart."""
    return {
        name: (PALETTE[index % len(PALETTE)], DASHES[(index // len(PALETTE)) % len(DASHES)])
        for index, name in enumerate(names)
    }


def plain(text: str) -> str:
    """Text on one line of a bounded length. Vega-Lite builds aria descriptions by pasting titles into expressions,
    whose parser refuses some line breaks; so what cannot be seen goes, and the marks carry no aria text (the tables
    hold the same figures)."""
    flat = "".join(letter if letter.isprintable() else " " for letter in text[: _LONGEST + 1])
    return one_line(" ".join(flat.split()), _LONGEST)


def short(value: float) -> float:
    """Six significant digits: finer than a screen or a tooltip, and half as long in the page."""
    return float(f"{value:.6g}")


def rows(lines: Sequence[Line], axes: Axes) -> list[dict[str, Any]]:
    """Data rows with fixed field names; names from the record are values, never keys or expressions."""
    drawn = []
    shared = len({plain(line.series) for line in lines}) < len(lines)
    # What is named first is drawn last, on top.
    for line in reversed(lines):
        for index, point in enumerate(line.curve.points):
            if not (math.isfinite(point.x) and math.isfinite(point.y)):
                continue
            x = point.x if axes.x_log_from is None else max(point.x, axes.x_log_from)
            row: dict[str, Any] = {
                "series": plain(line.series),
                "line": plain(line.name),
                "width": line.width,
                "x": short(x),
                "y": short(point.y),
                "order": index,
            }
            if shared:
                row["style"] = str(line.dash)
            if line.band and point.low is not None and point.high is not None:
                row |= {"low": short(point.low), "high": short(point.high)}
            drawn.append(row)
    return drawn


def line_chart(key: str, lines: Sequence[Line], axes: Axes) -> dict[str, Any]:
    """A Vega-Lite specification: lines, a band, a legend to click, tooltips. The same lines give the same text."""
    # Names become the scale's domain as literal strings; the first line of a series gives it its colour.
    shades = {plain(line.series): line for line in reversed(lines)}
    names = list(dict.fromkeys(plain(line.series) for line in lines))
    tints = [shades[name].colour for name in names]
    pick = alt.selection_point(name="pick", fields=["series"], bind="legend")
    x, y = line_axes(axes)
    colour = alt.Color(
        "series:N", title=None, scale=alt.Scale(domain=names, range=tints), legend=alt.Legend(symbolOpacity=1)
    )
    thick = alt.StrokeWidth("width:Q", scale=None, legend=None)
    fade = alt.condition(pick, alt.value(1), alt.value(0.1))
    shape: Any = "step-after" if axes.step else "linear"
    base = alt.Chart(alt.NamedData(name="rows"))
    curve = (
        base.mark_line(interpolate=shape, clip=True, aria=False)
        .encode(
            x=x,
            y=y,
            color=colour,
            strokeDash=_dash(lines, names),
            strokeWidth=thick,
            opacity=fade,
            order=alt.Order("order:Q"),
            detail="line:N",
        )
        .add_params(pick)
        .properties(name="lines")
    )
    hover = (
        base.mark_point(size=90, filled=True, clip=True, aria=False)
        .encode(x=x, y=y, color=colour, opacity=alt.value(0), tooltip=_tooltip(axes))
        .properties(name="points")
    )
    layers: list[Any] = [curve, hover]
    if any(line.band for line in lines):
        area = base.mark_area(interpolate=shape, clip=True, aria=False).encode(
            x=x,
            detail="line:N",
            y=alt.Y("low:Q", title=plain(axes.y_title)),
            y2="high:Q",
            color=colour,
            opacity=alt.condition(pick, alt.value(0.18), alt.value(0.03)),
        )
        layers.insert(0, area.transform_filter("isValid(datum.low)").properties(name="band"))
    named = labels(lines, axes.x_max or 1.0) if axes.labels else []
    if named:
        layers += _label_layers(axes, y, colour, pick)
    chart = alt.layer(*layers).properties(name=key, width="container", height=HEIGHT)
    spec: dict[str, Any] = chart.to_dict()
    # Put in afterwards: altair would check every row against its schema, which takes seconds.
    spec["datasets"] = {"rows": rows(lines, axes)} | ({"labels": named} if named else {})
    return spec


def line_axes(axes: Axes) -> tuple[alt.X, alt.Y]:
    """Both axes of a chart of lines."""
    shares = alt.Axis(format=".0%" if axes.y_share else ".4~g")
    return (
        alt.X("x:Q", title=plain(axes.x_title), scale=_x_scale(axes), axis=_x_axis(axes)),
        alt.Y("y:Q", title=plain(axes.y_title), scale=_y_scale(axes), axis=shares),
    )


def labels(lines: Sequence[Line], x_max: float) -> list[dict[str, Any]]:
    """Where each falling line's name stands: at a height of its own, right of its line in the first gap between lines
    that is wide enough; a thin rule leads there. x_max: the axis' end."""
    chosen = [line for line in lines if line.label and line.curve.points]
    if not chosen:
        return []
    top = 0.75 * min(line.curve.points[0].y for line in chosen)
    chosen.sort(key=lambda line: -_reach(line, top / 2))
    placed = []
    for index, line in enumerate(chosen):
        height = top * (1 - 0.7 * index / max(len(chosen) - 1, 1))
        x = end = _reach(line, height)
        others = [(_reach(other, height + _HALF), _reach(other, height - _HALF)) for other in chosen]
        for first, last in sorted(others):
            if first < end + _NAME * x_max and last > end:
                end = last
        placed.append({"series": plain(line.series), "x": x, "end": end, "y": max(height, line.curve.points[-1].y)})
    return placed


def _reach(line: Line, height: float) -> float:
    """How far right a falling line is at this height; its end, where it stays above."""
    points = line.curve.points
    return next((point.x for point in points if point.y <= height), points[-1].x)


def _label_layers(axes: Axes, y: alt.Y, colour: alt.Color, pick: alt.Parameter) -> list[Any]:
    base = alt.Chart(alt.NamedData(name="labels"))
    x, end = (
        alt.X(name, title=plain(axes.x_title), scale=_x_scale(axes), axis=_x_axis(axes)) for name in ("x:Q", "end:Q")
    )
    faint, full = (alt.condition(pick, alt.value(value), alt.value(0.05)) for value in (0.45, 1))
    rule = base.mark_rule(strokeWidth=1, clip=True, aria=False).encode(
        x=x, x2="end:Q", y=y, color=colour, opacity=faint
    )
    text = base.mark_text(align="left", dx=5, fontSize=12, fontWeight=600, limit=170, aria=False).encode(
        x=end, y=y, text="series:N", color=colour, opacity=full
    )
    return [rule.properties(name="leaders"), text.properties(name="names")]


def _dash(lines: Sequence[Line], names: list[str]) -> alt.StrokeDash:
    """Dashes by series, shown in the legend; by line where a series has several."""
    if len(names) == len(lines):
        scale = alt.Scale(domain=names, range=[list(line.dash) for line in lines])
        return alt.StrokeDash("series:N", title=None, scale=scale, legend=alt.Legend(symbolOpacity=1))
    styles = list(dict.fromkeys(line.dash for line in lines))
    scale = alt.Scale(domain=[str(style) for style in styles], range=[list(style) for style in styles])
    return alt.StrokeDash("style:N", legend=None, scale=scale)


def _x_scale(axes: Axes) -> alt.Scale:
    if axes.x_log_from is not None:
        return alt.Scale(type="log", domain=[axes.x_log_from, 1.0])
    return alt.Scale(domain=[0, axes.x_max], nice=False) if axes.x_max else alt.Scale(zero=True)


def _y_scale(axes: Axes) -> alt.Scale:
    return alt.Scale(domain=[0, 1]) if axes.y_share else alt.Scale(zero=False)


def _x_axis(axes: Axes) -> alt.Axis:
    if axes.x_log_from is not None:
        ticks = [tick for tick in (0.001, 0.01, 0.05, 0.1, 0.5, 1.0) if tick >= axes.x_log_from]
        return alt.Axis(values=ticks, format="~%")
    return alt.Axis(format=".4~g", tickCount=8, labelSeparation=6)


def _tooltip(axes: Axes) -> list[alt.Tooltip]:
    return [
        alt.Tooltip("line:N", title="Curve"),
        alt.Tooltip("x:Q", title=axes.formats[0], format=".2%" if axes.x_log_from else ".4~g"),
        alt.Tooltip("y:Q", title=axes.formats[1], format=".1%" if axes.y_share else ".4~g"),
    ]
