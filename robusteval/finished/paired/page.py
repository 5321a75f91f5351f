"""The page of finished runs that are held against each other: a pure function of the document."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.finished.paired.document import ChangedImage, Pair, Paired, PairedTest, RunFacts
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Figure, Table, Text, Value
from robusteval.report.charts.vega import Axes, Chart, Line, colours, line_chart
from robusteval.report.environment import template
from robusteval.report.formats.numbers import MISSING, budget, interval, norm_title, number, percent
from robusteval.report.formats.png import png_uri

_P = (
    "How often chance alone would move at least as many images to one side (McNemar's exact test, two-sided). Tests "
    "that decide are adjusted together by Holm's method; a difference counts below 5 %."
)
_DECIDES = (
    "Clean accuracy, and in each norm one budget: the usual one, or where nearly all images hold or are lost there, "
    "the one at which both models together are right most nearly half of the time."
)
_NONE = "The data do not tell the two apart. How large a difference may be all the same is what the interval says."
DEFINITIONS = [
    ("Paired", "Each image is looked at under both models, so what is hard in the data falls out of the comparison."),
    ("p", _P),
    ("Decides", _DECIDES),
    ("No difference found", _NONE),
    ("Worst case", "Each image counts with the attack that needs least, of those that finished in both runs."),
]


def render(paired: Paired) -> str:
    """One HTML file that works offline and links to nothing."""
    return template("paired.html.j2").render(
        paired=paired,
        figures=figures(paired),
        pairs=[
            (pair, tests(pair), proved(pair), medians(pair), classes(pair), findings(pair), *pictures(pair))
            for pair in paired.pairs
        ],
        provenance=[(run.key, facts(run)) for run in paired.runs],
        definitions=DEFINITIONS,
    )


def figures(paired: Paired) -> list[Figure]:
    """For each norm the worst case of every run, one over the other."""
    shades = colours([run.key for run in paired.runs])
    drawn = []
    for norm in dict.fromkeys(curve.group for curve in paired.curves):
        lines = [
            Line(curve, curve.label, curve.label, *_shade(shades, curve.label), band=True)
            for curve in paired.curves
            if curve.group == norm and curve.points
        ]
        if not lines:
            continue
        unit = "pixels changed" if norm == "l0" else "share of the pixel range"
        axes = Axes(f"{norm_title(norm)} distance ({unit})", "Accuracy", _end(lines))
        key = f"paired-{norm}"
        caption = (
            "Worst case over attacks; bands are 95 % confidence intervals of each run alone, and overlap more than "
        )
        caption += "what the paired tests can tell apart."
        title = f"All runs, {norm_title(norm)}"
        alt = f"Accuracy against {norm_title(norm)} distance, a line for each run"
        drawn.append(pieces.figure(Chart(key, title, caption, line_chart(key, lines, axes), alt)))
    return drawn


def _shade(shades: dict[str, tuple[str, tuple[int, ...]]], key: str) -> tuple[str, float, tuple[int, ...]]:
    colour, dash = shades[key]
    return colour, 2.4, dash


def _end(lines: Sequence[Line]) -> float | None:
    """A fifth further than where the last line falls below 2 %, or the end of all."""
    ends = [next((point.x for point in line.curve.points if point.y < 0.02), line.curve.points[-1].x) for line in lines]
    return min(max(line.curve.points[-1].x for line in lines), 1.2 * max(ends)) or None


def tests(pair: Pair) -> Table | None:
    """A row a test."""
    if not pair.tests:
        return None
    rows = [[_where(test), *_figures(test)] for test in pair.tests]
    return Table(
        f"{pair.second} against {pair.first}: {pair.images} images under both",
        ["At", pair.first, pair.second, "Change, points", "Lost", "Won", "p", "Decides"],
        rows,
        words=(7,),
        note="Lost: right under the first run's model and not under the second's. Budgets are shares of the pixel "
        "range (L0: pixels). p of tests that decide is adjusted for their number.",
    )


def _where(test: PairedTest) -> str:
    return "Clean" if test.what == "clean" else f"{norm_title(test.norm)} {budget(test.eps, test.norm)}"


def _figures(test: PairedTest) -> list[Text]:
    p = test.p if test.p_adjusted is None else test.p_adjusted
    change = Value(f"{100 * test.difference:+.1f}", f"{100 * test.low:+.1f} to {100 * test.high:+.1f}")
    decides = "yes" if test.decides else ""
    return [percent(test.first), percent(test.second), change, str(test.lost), str(test.won), f"{p:.2g}", decides]


def proved(pair: Pair) -> Table | None:
    """A row a norm and budget at which either run proves something."""
    if not pair.proved:
        return None
    rows: list[list[Text]] = []
    for row in pair.proved:
        change = Value(f"{100 * row.difference:+.1f}", f"{100 * row.low:+.1f} to {100 * row.high:+.1f}")
        at = f"{norm_title(row.norm)} {budget(row.eps, row.norm)}"
        shares = [percent(row.first), percent(row.second)]
        rows.append([at, *shares, change, str(row.lost), str(row.won), f"{row.p:.2g}", str(row.images)])
    return Table(
        f"Proved to be right, {pair.second} against {pair.first}",
        ["At", pair.first, pair.second, "Change, points", "Lost", "Won", "p", "Images"],
        rows,
        note="Of the images that both runs have certificates of, by the same certifiers. What is not proved is broken "
        "or unknown: a proof that is lost is no adversarial, and decides nothing here.",
    )


def medians(pair: Pair) -> Table | None:
    """A row a norm."""
    if not pair.medians:
        return None
    rows: list[list[Text]] = []
    for row in pair.medians:
        change = MISSING if row.first is None or row.second is None else f"{row.second - row.first:+.3g}"
        between = interval(row.low, row.high, share=False)
        rows.append(
            [norm_title(row.norm), number(row.first), number(row.second), Value(change, between), str(row.images)]
        )
    return Table(
        f"Median distances, {pair.second} against {pair.first}",
        ["Norm", pair.first, pair.second, "Change", "Images"],
        rows,
        note="Over the images that both get right when clean, as shares of the pixel range (L0: pixels); 95 % interval "
        "of the change by a paired bootstrap. A dash: half of them were never lost.",
    )


def classes(pair: Pair) -> list[Table]:
    """A table a norm, the largest fall first."""
    tables = []
    for norm, eps in dict.fromkeys((row.norm, row.eps) for row in pair.classes):
        rows = [
            [
                row.name,
                str(row.images),
                percent(row.first),
                percent(row.second),
                f"{100 * (row.second - row.first):+.1f}",
            ]
            for row in pair.classes
            if row.norm == norm
        ]
        heads = ["Class", "Images", pair.first, pair.second, "Change, points"]
        caption = f"{pair.second} by class, {norm_title(norm)} {budget(eps, norm)}"
        tables.append(Table(caption, heads, rows, note="Few images a class: a lead, and no test."))
    return tables


def findings(pair: Pair) -> Table | None:
    """What only one of the two evaluations found, and checks that came out otherwise."""
    rows = [[row.name, row.first or MISSING, row.second or MISSING, row.sentence] for row in pair.findings]
    if not rows:
        return None
    return Table(
        f"Findings that came or went, {pair.second}", ["What", pair.first, pair.second, ""], rows, words=(1, 2, 3)
    )


def pictures(pair: Pair) -> tuple[list[tuple[str, list[tuple[ChangedImage, str, str, str]]]], list[Table]]:
    """(images lost and won with their pictures, in groups; tables of all that are listed)."""
    groups, tables = [], []
    for norm, went in dict.fromkeys((image.norm, image.went) for image in pair.changed):
        images = [image for image in pair.changed if (image.norm, image.went) == (norm, went)]
        title = f"{went.capitalize()} by {pair.second} in {norm_title(norm)}"
        shown = [(image, png_uri(image.clean_png), png_uri(image.adversarial_png)) for image in images]
        drawn = [(image, clean, broken or "", _caption(image)) for image, clean, broken in shown if clean]
        if drawn:
            groups.append((title, drawn))
        rows = [[_place(image), image.label, _distance(image.first), _distance(image.second)] for image in images]
        heads = ["Image", "Class", f"Lost at, {pair.first}", f"Lost at, {pair.second}"]
        tables.append(Table(title, heads, rows, words=(1,)))
    return groups, tables


def _caption(image: ChangedImage) -> str:
    return f"Image {_place(image)}, {image.label}: lost at {_distance(image.first)}, then at {_distance(image.second)}."


def _place(image: ChangedImage) -> str:
    return f"{image.sample} ({image.name})" if image.name else str(image.sample)


def _distance(distance: float | None) -> str:
    return "never" if distance is None else "clean" if distance == 0 else number(distance)


def facts(run: RunFacts) -> list[tuple[str, str]]:
    """What is said of a run at the end of the page."""
    listed = [
        ("Folder", run.folder), ("Model", run.model), ("File", run.file), ("SHA-256", run.model_sha256),
        ("Suite", run.suite), ("Seed", str(run.seed)), ("Evaluation", f"{run.status}, grade {run.grade}"),
        ("Record", run.record_sha256),
    ]  # fmt: skip
    return [(name, value) for name, value in listed if value]
