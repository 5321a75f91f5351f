"""The chart that the page is about: accuracy against distance in one norm, worst case in front, the rest on request.

Its parameters are turned by the page's script: `lit` (names of the attacks that are coloured), `known` (whether known
models are shown) and `eps` (where the slider stands). The still picture has the attacks muted, no known models, and
the line at the budget that is quoted first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from robusteval.record.run import Curve, Point, Record, Scalar
from robusteval.report.charts import pieces
from robusteval.report.charts.figures import MAX_LINES, attack_names, unique, x_limit
from robusteval.report.charts.pieces import Figure
from robusteval.report.charts.vega import BESIDE, PROVED, WORST, Axes, Chart, Line, colours, line_axes, rows
from robusteval.report.formats.numbers import norm_title, spoken

HEIGHT = 380
TINTS = ("#3B8EDE", "#B0721E", "#8C6BB1", "#2E8B6F", "#BB5566", "#7A7F2A")


@dataclass(frozen=True)
class Key:
    """One entry below the chart. name: as the rows have it; kind: "attack" or "known"; dashed: how it is drawn."""

    name: str
    kind: str
    colour: str
    dashed: bool


@dataclass(frozen=True)
class Hero:
    """The chart of one norm, what can be switched on in it, and of how many images its lower edge is (proved: 0 where
    nothing is proved; partly: these are not all)."""

    norm: str
    figure: Figure
    keys: Sequence[Key]
    proved: int
    partly: bool


def lower_edge(record: Record, norm: str) -> tuple[list[Point], int]:
    """What is proved of the bare model in this norm, as a falling step curve (distance, share), and of how many images:
    those that certifiers were asked about, which may be fewer than the worst case is of. Empty where nothing is."""
    tags: dict[str, Scalar] = {"norm": norm, "defense": "none"}
    found = pieces.first(pieces.of_kind(record, "bracket", "curves", tags))
    tables = pieces.of_kind(record, "bracket", "table", tags)
    counts = [table.tags.get("samples") for table in tables]
    asked = next((count for count in counts if isinstance(count, int) and count > 0), 0)
    curves = found.curves if found is not None and asked else []
    points = next((curve.points for curve in curves if curve.tags.get("role") == "certified"), [])
    return points, asked if points else 0


def hero(record: Record, norm: str, eps: float, end: float) -> Hero | None:
    """None where there is no worst case. eps: where the line stands at first; end: the slider's last stop."""
    found = pieces.first(pieces.of_kind(record, "accuracy-curve", "curves", {"norm": norm, "defense": "none"}))
    worst = [] if found is None else [curve for curve in found.curves if curve.tags.get("role") == "worst"]
    if found is None or not worst or not worst[0].points:
        return None
    shades = colours(attack_names(record))
    lines = [Line(worst[0], "Worst case", "Worst case", WORST, 3.6, band=True)]
    keys: list[Key] = []
    attacks = [curve for curve in found.curves if curve.tags.get("role") == "attack" and curve.points]
    for curve in attacks[: MAX_LINES - 1]:
        colour, dash = shades.get(str(curve.tags.get("attack")), (BESIDE, (1, 0)))
        keys.append(_added(lines, curve, "attack", colour, dash))
    for index, curve in enumerate(_known(record, norm)[: MAX_LINES - len(lines)]):
        keys.append(_added(lines, curve, "known", TINTS[index % len(TINTS)], (7, 3)))
    proved, count = lower_edge(record, norm)
    limit = max(min(x_limit(found.curves) or end, end), 1.05 * eps)
    axes = Axes(spoken(found.x_title), "Images still right", limit)
    name = norm_title(norm)
    spec = _spec(f"hero-{norm}", lines, keys, proved, axes, eps)
    alternative = (
        f"Step curve: the share of images that are still right, against {name} distance, in the worst case over "
        "attacks. The table below has its figures."
    )
    return Hero(
        norm, pieces.figure(Chart(f"hero-{norm}", "", "", spec, alternative)), keys, count, count != record.data.samples
    )


def _added(lines: list[Line], curve: Curve, kind: str, colour: str, dash: tuple[int, ...]) -> Key:
    name = unique(curve.label, lines)
    lines.append(Line(curve, name, name, colour, 2.0, dash))
    return Key(name, kind, colour, dash != (1, 0))


def _known(record: Record, norm: str) -> list[Curve]:
    """Lines of known models; not those that are false on purpose, nor the one of this very file."""
    return [
        curve
        for result in pieces.of_kind(record, "references", "curves", {"norm": norm})
        for curve in result.curves
        if curve.tags.get("role") == "reference" and curve.points
    ]


def _spec(
    key: str, lines: Sequence[Line], keys: Sequence[Key], proved: Sequence[Point], axes: Axes, eps: float
) -> dict[str, Any]:
    kinds = {entry.name: entry.kind for entry in keys}
    x, y = line_axes(axes)
    names = [line.name for line in lines]
    colour = alt.Color("line:N", scale=alt.Scale(domain=names, range=[line.colour for line in lines]), legend=None)
    dashes = alt.Scale(domain=names, range=[list(line.dash) for line in lines])
    dash = alt.StrokeDash("line:N", scale=dashes, legend=None)
    base = alt.Chart(alt.NamedData(name="rows"))
    step: dict[str, Any] = {"interpolate": "step-after", "clip": True, "aria": False}

    def drawn(test: str, name: str, **style: Any) -> Any:
        shown = base.transform_filter(test).mark_line(**step, **style)
        return shown.encode(x=x, y=y, detail="line:N", order=alt.Order("order:Q")).properties(name=name)

    lit = "datum.kind == 'attack' && indexof(lit, datum.line) >= 0"
    layers = [
        *_unknown(x, proved),
        base.transform_filter("isValid(datum.low)")
        .mark_area(**step, color=WORST, opacity=0.16)
        .encode(x=x, y=alt.Y("low:Q", title=axes.y_title), y2="high:Q")
        .properties(name="band"),
        drawn("datum.kind == 'attack' && indexof(lit, datum.line) < 0", "muted",
              color=BESIDE, strokeWidth=1.2, opacity=0.6),
        drawn(lit, "lit", strokeWidth=2.2).encode(color=colour, strokeDash=dash),
        drawn("datum.kind == 'known' && known", "known", strokeWidth=2.0, strokeDash=[7, 3]).encode(color=colour),
        drawn("datum.kind == 'worst'", "worst", color=WORST, strokeWidth=3.6),
        _budget(x),
        base.transform_filter(f"datum.kind == 'worst' || {lit} || (datum.kind == 'known' && known)")
        .mark_point(size=110, filled=True, clip=True, aria=False, cursor="pointer")
        .encode(x=x, y=y, opacity=alt.value(0), tooltip=[
            alt.Tooltip("line:N", title="Curve"), alt.Tooltip("x:Q", title="Distance", format=".4~g"),
            alt.Tooltip("y:Q", title="Images still right", format=".1%"), alt.Tooltip("range:N", title="95 %")])
        .properties(name="points"),
    ]  # fmt: skip
    chart = alt.layer(*layers).properties(name=key, width="container", height=HEIGHT)
    chart = chart.add_params(
        alt.param(name="lit", value=[]), alt.param(name="known", value=False), alt.param(name="eps", value=eps)
    )
    spec: dict[str, Any] = chart.to_dict()
    spec["datasets"] = {
        "rows": [_row(row, kinds) for row in rows(lines, axes)],
        "budget": [{}],
        "unknown": _between(lines[0].curve.points, proved, axes.x_max or 0.0),
    }
    return spec


def _row(row: dict[str, Any], kinds: dict[str, str]) -> dict[str, Any]:
    kept: dict[str, Any] = {name: row[name] for name in ("line", "x", "y", "order", "low", "high") if name in row}
    if "low" in row:
        kept["range"] = f"{100 * row['low']:.1f} to {100 * row['high']:.1f} %"
    return {"range": ""} | kept | {"kind": kinds.get(row["line"], "worst")}


def _budget(x: alt.X) -> Any:
    """The line at the slider's budget."""
    rule = alt.Chart(alt.NamedData(name="budget")).transform_calculate(x="eps")
    mark = rule.mark_rule(strokeWidth=1.6, strokeDash=[5, 4], color=BESIDE, clip=True, aria=False)
    return mark.encode(x=x).properties(name="budget")


def _unknown(x: alt.X, proved: Sequence[Point]) -> list[Any]:
    """What lies between proof and attack, with its name; nothing without a proof."""
    if not proved:
        return []
    base = alt.Chart(alt.NamedData(name="unknown"))
    area = base.mark_area(interpolate="step-after", clip=True, aria=False, color=BESIDE, opacity=0.16)
    band = base.transform_filter("isValid(datum.low)").mark_area(
        interpolate="step-after", clip=True, aria=False, color=PROVED, opacity=0.16
    )
    edge = base.mark_line(interpolate="step-after", clip=True, aria=False, color=PROVED, strokeWidth=3)
    text = base.transform_filter("isValid(datum.name)").mark_text(
        clip=True, aria=False, fontSize=13, fontStyle="italic", color=BESIDE
    )
    return [
        area.encode(x=x, y=alt.Y("top:Q"), y2="y2:Q").properties(name="unknown"),
        band.encode(x=x, y=alt.Y("low:Q"), y2="high:Q").properties(name="proved-band"),
        edge.encode(x=x, y=alt.Y("y2:Q")).properties(name="proved"),
        text.encode(x=x, y=alt.Y("middle:Q"), text="name:N").properties(name="said"),
    ]


def _between(worst: Sequence[Point], proved: Sequence[Point], end: float) -> list[dict[str, Any]]:
    """Upper and lower edge, with its 95 % band, wherever one of them falls; the name stands where the gap is largest.
    Of fewer images than the upper one the lower edge may be the higher by chance: then nothing lies between (`top`).
    Beyond the last proof nothing is proved of any image, and no band says that something might be."""
    if not proved:
        return []
    places = sorted({point.x for point in (*worst, *proved) if point.x <= end} | {end})
    found: list[dict[str, Any]] = []
    for x in places:
        upper, edge = _at(worst, x), _point(proved, x)
        band = {} if edge is None or None in (edge.low, edge.high) else {"low": edge.low, "high": edge.high}
        if band and edge is not None and not edge.y:
            band = {"low": 0.0, "high": 0.0}  # closes it: steps reach as far as the next row
        lower = 0.0 if edge is None else edge.y
        found.append({"x": x, "y": upper, "y2": lower, "top": max(upper, lower)} | band)
    widest = max(found, key=lambda row: row["top"] - row["y2"])
    return [*found, widest | {"name": "unknown", "middle": (widest["y"] + widest["y2"]) / 2}]


def _at(points: Sequence[Point], x: float) -> float:
    """A falling step curve at x; nothing is proved, and everything open, beyond its end."""
    found = _point(points, x)
    return 0.0 if found is None else found.y


def _point(points: Sequence[Point], x: float) -> Point | None:
    return next((point for point in reversed(points) if point.x <= x), points[0] if points else None)
