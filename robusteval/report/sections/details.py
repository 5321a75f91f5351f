"""The longer tables: detection, cost, classes, and tables of unknown metrics."""

from __future__ import annotations

from robusteval.record.run import Record, Result, Scalar
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Table, Text, Value
from robusteval.report.formats.numbers import MISSING, interval, norm_title, number, percent, scalar, seconds
from robusteval.report.sections.coverage import image
from robusteval.report.sections.gallery import behind_sample

NEXT_ROWS = 20


def detector(record: Record, defense: str) -> Table | None:
    found = pieces.first(pieces.of_kind(record, "detector-roc", "table", {"defense": defense}))
    if found is None:
        return None
    rows = []
    for row in pieces.named_rows(found):
        strength = row.get("strength")
        figures: list[Text] = []
        for name in ("auc", "tpr-at-1", "tpr-at-5"):
            value, area = row.get(name), name == "auc"
            bounds = interval(row.get(f"{name}-low"), row.get(f"{name}-high"), share=not area)
            text = number(value) if area else percent(value)
            figures.append(Value(text, bounds))
        head: list[Text] = [str(row.get("attack")), norm_title(row.get("norm")), str(row.get("knowledge"))]
        tail = [scalar(row.get("positives")), scalar(row.get("negatives"))]
        rows.append([*head, "smallest" if strength is None else number(strength), *figures, *tail])
    columns = [
        "Attack",
        "Norm",
        "Attacker",
        "Strength",
        "AUC",
        "Found at 1 % false alarms",
        "Found at 5 %",
        "Adversarials",
        "Clean",
    ]
    return Table(f"{defense}: detection", columns, rows, words=(1, 2), note=found.description)


def cost(record: Record) -> Table | None:
    """Passes from the metric, seconds from the run's times."""
    found = pieces.first(pieces.of_kind(record, "cost", "table"))
    if found is None:
        return None
    rows = []
    for row in pieces.named_rows(found):
        if row.get("forward-per-sample") is None and row.get("median-distance") is None:
            continue  # an oblivious cell: what it judges was paid for by the attack on the bare model
        took = record.times.cells_s.get(str(row.get("cell")))
        head = [
            str(row.get("attack")),
            norm_title(row.get("norm")),
            pieces.display(str(row.get("pipeline"))),
            str(row.get("knowledge")),
        ]
        spent = [number(row.get("forward-per-sample"), 4), number(row.get("backward-per-sample"), 4), seconds(took)]
        spent.insert(2, number(row.get("foretold-per-sample"), 4))
        won = [percent(row.get("success")), number(row.get("median-distance")), number(row.get("mean-distance"))]
        won += [number(row.get("mean-l2")), percent(row.get("survive-8-bits"), 0)]
        rows.append([*head, *won, *spent])
    columns = [
        "Attack",
        "Norm",
        "Pipeline",
        "Attacker",
        "Success",
        "Median distance",
        "Mean distance",
        "Mean L2",
        "Survive 8 bits",
        "Forward / image",
        "Backward / image",
        "Foretold, both",
        "Time",
    ]
    note = f"{found.description} {_forecast(record)}".rstrip()
    line = f"Cost of {len(rows)} attacks"
    return Table("What the attacks cost", columns, rows, words=(1, 2, 3), note=note, summary=line)


def _forecast(record: Record) -> str:
    """What was said before the run against what came of it."""
    values = {
        result.name: result.value for result in record.results if result.metric == "cost" and pieces.is_known(result)
    }
    forecast, passes = values.get("passes/foretold"), values.get("passes/made")
    if not forecast or not passes:
        return ""
    sentence = (
        f"Foretold before the run: {forecast:,.0f} passes. Made: {passes:,.0f}, {passes / forecast:.2f} times as many; "
        "attacks stop early where samples fall."
    )
    if record.times.foretold_s and record.times.wall_s:
        sentence += f" Foretold time {seconds(record.times.foretold_s)}, taken {seconds(record.times.wall_s)}."
    return sentence


def _image(record: Record, norm: str, sample: Scalar) -> Text:
    if not isinstance(sample, int):
        return scalar(sample)
    return behind_sample(record, norm, sample, image(record, sample))


def label_next(record: Record) -> list[Table]:
    """The first samples to label next, a table for each norm."""
    views = []
    for found in pieces.of_kind(record, "label-next", "table"):
        listed = pieces.named_rows(found)
        rows: list[list[Text]] = [
            [
                scalar(row.get("rank")),
                _image(record, str(found.tags.get("norm")), row.get("sample")),
                f"{row.get('label-name')}",
                MISSING if row.get("flips-to-name") is None else f"{row.get('flips-to-name')}",
                number(row.get("distance")),
                f"{row.get('attack')}",
            ]
            for row in listed[:NEXT_ROWS]
        ]
        note = found.description
        if len(listed) > NEXT_ROWS:
            which = "these" if "samples.parquet" in note else "all"
            note += f" The first {NEXT_ROWS} of {len(listed)}; {which} are in tables/ beside record.json, as CSV."
        columns = ["Rank", "Image", "Class", "Flips to", "Distance", "Attack"]
        caption = f"Nearest to the boundary, {norm_title(found.tags.get('norm'))}"
        nearest = ", ".join(f"image {row.get('sample')} at {number(row.get('distance'))}" for row in listed[:3])
        views.append(Table(caption, columns, rows, words=(2, 3, 5), note=note, summary=f"{caption}: {nearest}"))
    return views


def clever(record: Record) -> list[Table]:
    """CLEVER beside the smallest distance found, and what was asked for but could not be estimated."""
    views = []
    for found in pieces.of_kind(record, "clever", "table"):
        rows: list[list[Text]] = []
        for row in pieces.named_rows(found):
            value: Text = number(row.get("clever"))
            if row.get("at-its-limit") is True:
                value = Value(f"\u2265 {number(row.get('clever'))}", "the radius")
            nearest = number(row.get("smallest-distance-found"))
            ratio = row.get("ratio")
            high = isinstance(ratio, int | float) and ratio > 1
            shown = Value(number(ratio), "refuted", 5) if high else number(ratio)
            attack = MISSING if row.get("attack") is None else f"{row.get('attack')}"
            rows.append(
                [
                    scalar(row.get("sample")),
                    f"{row.get('label-name')}",
                    value,
                    nearest,
                    attack,
                    shown,
                    number(row.get("fit-p"), 2),
                ]
            )
        medians = [
            f"{result.title.rpartition(': ')[2]} {number(result.value)}"
            for result in pieces.matching(record, "clever-median", {"norm": found.tags.get("norm")})
        ]
        note = (
            f"Medians: {', '.join(medians)}. {found.description} Fit: p-value of the extreme-value law; small ones "
            "are poor fits."
        )
        columns = ["Image", "Class", "CLEVER", "Smallest distance found", "By", "Ratio", "Fit"]
        caption = f"CLEVER, {norm_title(found.tags.get('norm'))}"
        views.append(Table(caption, columns, rows, words=(1, 4), note=note))
    return views


def generic(result: Result) -> Table:
    """A table of an unknown metric, as it came."""
    rows = [[scalar(value) for value in row] for row in result.rows]
    return Table(result.title, result.titles(), rows)
