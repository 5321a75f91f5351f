"""The model among known ones: a chart and a table in each norm, or the reason why there are none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from robusteval.record.column import at_budget, budgets_of
from robusteval.record.run import Curve, Record, Result, Scalar
from robusteval.report.charts import pieces
from robusteval.report.charts.figures import unique
from robusteval.report.charts.pieces import Figure, Table, Text, Value
from robusteval.report.charts.vega import BESIDE, PALETTE, SECOND, WORST, Axes, Chart, Line, labels, line_chart
from robusteval.report.formats.numbers import MISSING, budget, interval, norm_title, number, percent, scalar

MAX_LINES = 24
TINTS = (SECOND, *PALETTE[1:])  # names are written in them, on light and on dark

NOTE = (
    "Shares of the common images, with 95 % intervals. Median over images right when clean; a dash: half of them or "
    "more were never lost, or it was not measured. Grade: of the evaluation that the reference's figures come from."
)


@dataclass(frozen=True)
class Section:
    """Charts and tables of every fitting set, and a line for each set that does not fit."""

    shown: Sequence[tuple[str, Figure | None, Table]]
    reasons: Sequence[str]
    source: str


def section(record: Record) -> Section | None:
    """None where the record says nothing about reference models."""
    if not record.references:
        return None
    shown: list[tuple[str, Figure | None, Table]] = []
    for norm, table in _by_norm(record):
        tags = {"norm": table.tags.get("norm"), "set": table.tags.get("set")}
        curves = pieces.first(pieces.of_kind(record, "references", "curves", tags))
        drawn = _figure(curves, len(shown)) if curves is not None else None
        shown.append((norm_title(norm), drawn, _table(record, table, norm)))
    reasons = [reference.reason for reference in record.references if reference.reason]
    used = [reference for reference in record.references if reference.status == "done"]
    source = "; ".join(
        f"{reference.file} ({reference.data}, suite {reference.suite}, {reference.tool or MISSING}"
        f"{', shipped' if reference.shipped else ''})"
        for reference in used
    )
    return Section(shown, reasons, source)


def _by_norm(record: Record) -> list[tuple[str, Result]]:
    """The tables with their norms, these in the order of the page."""
    tables = [(str(table.tags.get("norm")), table) for table in pieces.of_kind(record, "references", "table")]
    order = pieces.norms(record)
    return sorted(tables, key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order))


def _figure(found: Result, index: int) -> Figure | None:
    lines: list[Line] = []
    roles = [str(curve.tags.get("role")) for curve in found.curves]
    known = [curve.label for curve, role in zip(found.curves, roles, strict=True) if role == "reference"]
    shades = {name: TINTS[index % len(TINTS)] for index, name in enumerate(known)}
    for curve, role in list(zip(found.curves, roles, strict=True))[:MAX_LINES]:
        if not curve.points or role == "same":
            continue  # the very file that was evaluated: its line would lie under this model's
        if role == "this":
            lines.append(_line(curve, lines, WORST, 3.6, (1, 0), band=True))
        elif role == "exact":
            lines.append(replace(_line(curve, lines, BESIDE, 1.4, (1, 3)), label=False))
        else:
            lines.append(_line(curve, lines, shades.get(curve.label, TINTS[0]), 1.9, (7, 3)))
    if not lines:
        return None
    norm = norm_title(found.tags.get("norm"))
    caption = (
        "Thick: this model. Dashed: known models, under the same attacks on the same "
        f"{scalar(found.tags.get('images'))} images; one behind a defence is attacked by someone who knows it."
    )
    if "exact" in roles:
        caption += (
            " Dotted: what attacks with the exact gradient report of a model whose gradients are masked; it is false, "
            "and shown to be recognised."
        )
    if found.tags.get("missing"):
        caption += (
            f" On this model these attacks did not run: {found.tags.get('missing')}. Its line may lie too high "
            "for that."
        )
    limit = _limit(found.curves)
    # room for the rightmost name, on a phone too
    room = 1.5 * max((float(label["end"]) for label in labels(lines, limit or 1.0)), default=0.0)
    axes = Axes(found.x_title, "Accuracy", max(limit or 0.0, room) or None, labels=True)
    key = f"references-{index}"
    chart = Chart(key, f"Accuracy against {norm}, among known models", caption, line_chart(key, lines, axes),
                  f"Step curves of accuracy against {norm} distance, one a model")  # fmt: skip
    return pieces.figure(chart)


def _line(
    curve: Curve, lines: Sequence[Line], colour: str, width: float, dash: tuple[int, ...], band: bool = False
) -> Line:
    name = unique(curve.label, lines)
    return Line(curve, name, name, colour, width, dash, band)


def _limit(curves: Sequence[Curve]) -> float | None:
    """As far as something true happens: a little beyond where the last honest curve is below 2 %."""
    honest = [curve for curve in curves if curve.tags.get("role") != "exact" and curve.points]
    whole = max((point.x for curve in honest for point in curve.points), default=0.0)
    ends = [next((point.x for point in curve.points if point.y < 0.02), whole) for curve in honest]
    return min(whole, 1.1 * max(ends, default=whole)) or None


def _table(record: Record, found: Result, norm: str) -> Table:
    """A row a model; under each accuracy its interval."""
    own = record.verdict.grade if record.verdict is not None else None
    rows = [
        _row(found, row, Value(str(row.get("model")), str(row.get("about") or MISSING)),
             own if row.get("role") == "this" else row.get("trust-grade"))
        for row in pieces.named_rows(found)
    ]  # fmt: skip
    return replace(_titled(found, rows, norm, pieces.width(record), NOTE), summary=_outcome(record, found, norm))


def _outcome(record: Record, found: Result, norm: str) -> str:
    """What each model keeps at the budget that is quoted first, the weakest first; figures that are false on purpose
    have no place here."""
    eps = found.tags.get("eps")
    key = at_budget("accuracy", norm, f"{eps:.10g}") if isinstance(eps, float) else ""
    kept = [
        (float(share), "this model" if row.get("role") == "this" else str(row.get("model")))
        for row in pieces.named_rows(found)
        if row.get("role") != "exact" and isinstance(share := row.get(key), int | float)
    ]
    line = f"Among known models, {norm_title(norm)}"
    if not kept:
        return line
    where = budget(eps, norm, pieces.width(record))
    return f"{line} {where}: {', '.join(f'{name} {percent(share)}' for share, name in sorted(kept))}"


def known_table(found: Result, links: dict[str, str]) -> Table:
    """Several models of a comparison among known ones; budgets are shares of the pixel range. links: by a model's
    key."""
    rows = []
    for row in pieces.named_rows(found):
        name, about = str(row.get("model")), str(row.get("about") or MISSING)
        href = links.get(name, "") if row.get("role") == "this" else ""
        rows.append(_row(found, row, Value(name, about, href=href), row.get("trust-grade")))
    note = f"{NOTE} Budgets and distances are shares of each model's pixel range (L0: pixels)."
    source = f" Known models: {found.tags.get('file')}." if found.tags.get("file") else ""
    return _titled(found, rows, str(found.tags.get("norm")), 1.0, note + source)


def _budgets(found: Result) -> list[str]:
    """As the keys of their columns have them."""
    return budgets_of("accuracy", found.keys())


def _row(found: Result, row: dict[str, Scalar], name: Value, grade: Scalar) -> list[Text]:
    clean = Value(percent(row.get("clean-accuracy")), interval(row.get("clean-low"), row.get("clean-high")))
    cells: list[Text] = [name, scalar(row.get("images")), clean]
    norm = str(found.tags.get("norm"))
    for eps in _budgets(found):
        kept, low, high = (row.get(at_budget(name, norm, eps)) for name in ("accuracy", "low", "high"))
        cells.append(Value(percent(kept), interval(low, high)))
    return [*cells, number(row.get("median-distance")), str(grade or MISSING)]


def _titled(found: Result, rows: list[list[Text]], norm: str, width: float, note: str) -> Table:
    heads = [f"Accuracy at {norm_title(norm)} \u2264 {budget(float(eps), norm, width)}" for eps in _budgets(found)]
    columns = ["Model, and how it was made", "Images", "Clean accuracy", *heads, "Median distance", "Grade"]
    return Table(f"Among known models, {norm_title(norm)}", columns, rows, words=(len(columns) - 1,), note=note)
