"""The verdict's sentence about known models: what this model and each of them keep at the same budget."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.record.column import at_budget
from robusteval.record.run import Record, Scalar
from robusteval.record.units import budget_text


def known_models(record: Record) -> list[str]:
    """One sentence: what this model and each known one keep at the budget that is quoted first; Linf where there is
    one.

    From the table of the metric `references`; empty where there is none.
    """
    tables = [result for result in record.results if result.metric == "references" and result.kind == "table"]
    tables = [table for table in tables if isinstance(table.tags.get("eps"), float) and table.rows]
    if not tables:
        return []
    table = min(tables, key=lambda result: (result.tags.get("norm") != "linf", result.tags.get("set")))
    norm, eps, images = str(table.tags.get("norm")), table.tags["eps"], table.tags.get("images")
    rows = table.named()
    at, where = f"{eps:.10g}", budget_text(float(eps or 0), norm, record.model.bounds[1] - record.model.bounds[0])
    mine, others = rows[0], [row for row in rows if row["role"] in ("reference", "same")]
    accuracy = at_budget("accuracy", norm, at)
    said = [_said(row, rows, images, accuracy) for row in others if row.get(accuracy) is not None]
    if mine.get(accuracy) is None or not said:
        return []
    kept, low, high = (_percent(mine[at_budget(name, norm, at)]) for name in ("accuracy", "low", "high"))
    return [
        (
            f"Within {norm.capitalize()} {where} it keeps {kept} (95 %: {low.removesuffix(' %')} to {high}); of the "
            f"reference models on the same {images} images, under the same attacks, {', '.join(said)}."
        )
    ]


def _said(row: dict[str, Scalar], rows: Sequence[dict[str, Scalar]], images: Scalar, accuracy: str) -> str:
    """'pgd-trained 85.0 %', and what has to be known about it."""
    notes = ["this very file"] if row["role"] == "same" else []
    if row["images"] != images:
        notes.append(f"on {row['images']} of them")
    notes += [
        f"though its own gradient would say {_percent(false[accuracy])}"
        for false in rows
        if false["role"] == "exact"
        and str(false["model"]).startswith(f"{row['model']},")
        and false.get(accuracy) is not None
    ]
    return f"{row['model']} {_percent(row[accuracy])}" + (f" ({'; '.join(notes)})" if notes else "")


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "nothing"
