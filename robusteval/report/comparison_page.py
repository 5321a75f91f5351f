"""The page of several models: a pure function of the comparison. Each model's own report is linked, not copied."""

from __future__ import annotations

import re
from collections.abc import Sequence

from robusteval.record.column import at_budget, norms_of
from robusteval.record.comparison import Comparison, Entry, fooled
from robusteval.record.run import Result, Scalar
from robusteval.report.charts import pieces
from robusteval.report.charts.figures import MAX_LINES
from robusteval.report.charts.pieces import Figure, Table, Text, Value
from robusteval.report.charts.vega import Axes, Chart, Line, colours, line_chart
from robusteval.report.environment import template
from robusteval.report.formats.numbers import MISSING, budget, interval, norm_title, number, percent
from robusteval.report.sections import glossary, known_models

DOUBTFUL = ("D", "F", "")
WORDS = ("Accuracy under attack", "Worst case", "Intervals", "Evaluation quality")  # what is defined here again
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


def render_comparison(comparison: Comparison) -> str:
    """One HTML file that works offline; its only links lead to the models' reports beside it."""
    drawn = [
        (curve, figure)
        for index, curve in enumerate(_curves(comparison))
        if (figure := _figure(comparison, curve, index))
    ]
    transfer = comparison.transfer
    return template("comparison.html.j2").render(
        comparison=comparison,
        sentences=sentences(comparison),
        doubtful=[model.key for model in comparison.models if model.grade in DOUBTFUL],
        models=models(comparison),
        matrix=matrix(comparison),
        gaps=[source for source in transfer.sources if source.status != "done"] if transfer else [],
        known=known(comparison),
        worst=[figure for result, figure in drawn if result.tags.get("role") == "worst"],
        attacks=[figure for result, figure in drawn if result.tags.get("role") != "worst"],
        provenance=[(model.key, href(model), _facts(model)) for model in comparison.models],
        definitions=[pair for pair in glossary.DEFINITIONS if pair[0] in WORDS],
    )  # fmt: skip


def href(entry: Entry) -> str:
    """A relative link to a model's own report; empty where its key is no plain folder name."""
    return f"{entry.key}/report.html" if _SAFE.fullmatch(entry.key) else ""


def _rows(comparison: Comparison) -> dict[str, dict[str, Scalar]]:
    """The row of each model by its key."""
    found = next((result for result in comparison.results if result.name == "models" and result.kind == "table"), None)
    return {} if found is None else {str(row.get("model")): row for row in pieces.named_rows(found)}


def _norms(rows: dict[str, dict[str, Scalar]]) -> list[str]:
    return norms_of("median", next(iter(rows.values()), {}))


def sentences(comparison: Comparison) -> list[str]:
    """Who withstands most and least in each norm, by the median distance, of the models whose evaluation can be relied
    on."""
    rows = _rows(comparison)
    trusted = [model.key for model in comparison.models if model.grade not in DOUBTFUL]
    lines = []
    for norm in _norms(rows):
        known = [(rows[key].get(at_budget("median", norm)), key) for key in trusted if key in rows]
        ranked = sorted((value, key) for value, key in known if isinstance(value, int | float))
        if len(ranked) > 1 and len(ranked) == len(known):
            (least, weak), (most, strong) = ranked[0], ranked[-1]
            lines.append(
                f"In {norm_title(norm)}, {strong} withstands most (half of what it gets right is lost at "
                f"{number(most)} or less) and {weak} least ({number(least)})."
            )
    return lines


def models(comparison: Comparison) -> Table | None:
    """A row a model, linked to its report."""
    rows = _rows(comparison)
    norms = _norms(rows)
    body: list[list[Text]] = []
    for model in comparison.models:
        row = rows.get(model.key)
        if row is None:
            continue
        clean = Value(percent(row.get("clean-accuracy")), interval(row.get("clean-low"), row.get("clean-high")))
        cells: list[Text] = [Value(model.key, "", href=href(model)), clean]
        for norm in norms:
            budget_, accuracy, median = (row.get(at_budget(name, norm)) for name in ("budget", "accuracy", "median"))
            cells += [Value(percent(accuracy), f"at {budget(budget_, norm)}"), number(median)]
        grade = model.grade or MISSING
        cells += [number(row.get("rho_adv")), Value(grade, "inconclusive") if model.grade in DOUBTFUL else grade]
        body.append(cells)
    if not body:
        return None
    heads = [
        text
        for norm in norms
        for text in (f"Accuracy under attack, {norm_title(norm)}", f"Median distance, {norm_title(norm)}")
    ]
    columns = ["Model", "Clean accuracy", *heads, "\u03c1 adv", "Evaluation quality"]
    note = (
        "Worst case over attacks on each model alone. Budgets and distances are shares of each model's pixel range "
        "(L0: pixels); \u03c1 adv is the mean of the perturbation's L2 size over the image's, and depends on where the "
        "range starts. A dash: more than half of the images were never lost, or it was not measured."
    )
    return Table("The models side by side", columns, body, note=note)


def known(comparison: Comparison) -> list[Table]:
    """The models among known ones: a table for each reference set and norm, the models of this run first."""
    return [
        known_models.known_table(result, {entry.key: href(entry) for entry in comparison.models})
        for result in comparison.results
        if result.kind == "table" and result.tags.get("role") == "known"
    ]


def matrix(comparison: Comparison) -> Table | None:
    """Source by target: the share fooled of the images that both get right when clean."""
    transfer = comparison.transfer
    if transfer is None:
        return None
    body: list[list[Text]] = []
    for source, model in enumerate(comparison.models):
        row: list[Text] = [model.key]
        for target in range(len(comparison.models)):
            found = fooled(comparison, source, target)
            row.append(
                MISSING if found is None else pieces.shade(found[0].value, f"{found[0].hits} of {found[0].counted}")
            )
        body.append(row)
    at = budget(transfer.eps, transfer.norm)
    infeasible = sum(source.unlawful for source in transfer.sources)
    note = (
        f"Made with {transfer.attack} on the model of the row, at {norm_title(transfer.norm)} {at} of the pixel range, "
        "spending the whole budget; shown to the model of the column. Only images that both get right when clean are "
        "counted. The diagonal is the attack's success on its own model."
    )
    if infeasible:
        note += f" {infeasible} candidates broke the budget or the range and were replaced by the clean image."
    return Table(
        "Fooled, by source (row) and target (column)",
        ["Made on", *[model.key for model in comparison.models]],
        body,
        note=note,
    )


def _curves(comparison: Comparison) -> list[Result]:
    return [result for result in comparison.results if result.kind == "curves" and result.name.startswith("models/")]


def _figure(comparison: Comparison, result: Result, index: int) -> Figure | None:
    """One attack, or the worst case, with one line a model."""
    shades = colours([model.key for model in comparison.models])
    lines: list[Line] = []
    for curve in result.curves[:MAX_LINES]:
        colour, dash = shades.get(curve.label, ("#808890", (1, 0)))
        if curve.points:
            lines.append(
                Line(curve, curve.label, curve.label, colour, 2.4, dash, band=result.tags.get("role") == "worst")
            )
    if not lines:
        return None
    norm = norm_title(result.tags.get("norm"))
    worst = result.tags.get("role") == "worst"
    who = "Worst case over attacks" if worst else str(result.tags.get("attack"))
    caption = (
        "Each image judged by the attack that needs least; bands are 95 % confidence intervals. The truth cannot lie "
        "above a line, and may lie below it."
        if worst
        else ""
    )
    unit = "pixels changed" if result.tags.get("norm") == "l0" else "share of the pixel range"
    axes = Axes(f"{norm} distance ({unit})", "Accuracy", _end(result), formats=("Distance", "Accuracy"))
    key = f"models-{index}"
    chart = Chart(
        key,
        f"{who}, {norm}",
        caption,
        line_chart(key, lines, axes),
        f"Accuracy against {norm} distance, a line for each model",
    )
    return pieces.figure(chart)


def _end(result: Result) -> float | None:
    """As far as something happens: a fifth further than where the last line is below 2 %, or ends."""
    ends = []
    for curve in result.curves:
        low = next((point.x for point in curve.points if point.y < 0.02), None)
        ends.append(low if low is not None else max((point.x for point in curve.points), default=0.0))
    whole = max((point.x for curve in result.curves for point in curve.points), default=0.0)
    return min(whole, 1.2 * max(ends, default=0.0)) or None


def _facts(entry: Entry) -> Sequence[tuple[str, str]]:
    listed = [
        ("Name", entry.name),
        ("File", entry.file),
        ("SHA-256", entry.sha256),
        ("Input range", "[" + ", ".join(f"{value:g}" for value in entry.bounds) + "]"),
        ("SHA-256 of its record", entry.record_sha256),
        ("Failed attacks", str(entry.failed) if entry.failed else ""),
    ]
    return [(name, value) for name, value in listed if value]
