"""The longer tables: detection, cost, classes, and tables of unknown metrics."""

from __future__ import annotations

from robusteval.record.document import Record, Result
from robusteval.report import parts
from robusteval.report.numbers import MISSING, interval, norm_title, number, percent, scalar, seconds
from robusteval.report.parts import Table, Text, Value

CLASS_ROWS = 40


def detector(record: Record, defense: str) -> Table | None:
    found = parts.first(parts.of_kind(record, "detector-roc", "table", {"defense": defense}))
    if found is None:
        return None
    rows = []
    for row in parts.named_rows(found):
        strength = row.get("Strength")
        figures: list[Text] = []
        for name in ("AUC", "TPR at 1 %", "TPR at 5 %"):
            value, bounds = (
                row.get(name),
                interval(row.get(f"{name} low"), row.get(f"{name} high"), share=name != "AUC"),
            )
            text = number(value) if name == "AUC" else percent(value)
            figures.append(Value(text, bounds))
        head: list[Text] = [str(row.get("Attack")), norm_title(row.get("Norm")), str(row.get("Knowledge"))]
        tail = [scalar(row.get("Positives")), scalar(row.get("Negatives"))]
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
    found = parts.first(parts.of_kind(record, "cost", "table"))
    if found is None:
        return None
    rows = []
    for row in parts.named_rows(found):
        took = record.times.cells_s.get(str(row.get("Cell")))
        head = [
            str(row.get("Attack")),
            norm_title(row.get("Norm")),
            parts.display(str(row.get("Pipeline"))),
            str(row.get("Knowledge")),
        ]
        spent = [number(row.get("Forward / sample"), 4), number(row.get("Backward / sample"), 4), seconds(took)]
        won = [percent(row.get("Success")), number(row.get("Median distance")), number(row.get("Mean distance"))]
        rows.append([*head, *won, *spent])
    columns = [
        "Attack",
        "Norm",
        "Pipeline",
        "Attacker",
        "Success",
        "Median distance",
        "Mean distance",
        "Forward / image",
        "Backward / image",
        "Time",
    ]
    return Table("What the attacks cost", columns, rows, words=(1, 2, 3), note=found.description)


def classes(record: Record) -> list[Table]:
    """Per class, the weakest first; long lists are cut, with a word about it."""
    made = []
    for found in parts.of_kind(record, "per-class", "table"):
        listed = parts.named_rows(found)
        listed.sort(key=lambda row: _weak(row.get("Robust accuracy"), row.get("Median distance")))
        rows = []
        for row in listed[:CLASS_ROWS]:
            flips = (
                MISSING
                if row.get("Flips most to") is None
                else f"{row.get('Flips to name')} ({percent(row.get('Share of its flips'), 0)})"
            )
            name = f"{row.get('Name')}"
            rows.append(
                [
                    name,
                    scalar(row.get("Samples")),
                    percent(row.get("Clean accuracy")),
                    percent(row.get("Robust accuracy")),
                    number(row.get("Median distance")),
                    flips,
                ]
            )
        note = found.description
        if len(listed) > CLASS_ROWS:
            note += f" The {CLASS_ROWS} weakest of {len(listed)} classes are shown; the rest is in record.json."
        caption = f"{parts.display(str(found.tags.get('defense')))}, {norm_title(found.tags.get('norm'))}: per class, weakest first"
        columns = ["Class", "Images", "Clean accuracy", "Accuracy under attack", "Median distance", "Flips most to"]
        made.append(Table(caption, columns, rows, words=(5,), note=note))
    return made


def _weak(*values: object) -> tuple[float, ...]:
    return tuple(float(one) if isinstance(one, int | float) else float("inf") for one in values)


def generic(result: Result) -> Table:
    """A table of an unknown metric, as it came."""
    rows = [[scalar(value) for value in row] for row in result.rows]
    return Table(result.title, list(result.columns), rows)
