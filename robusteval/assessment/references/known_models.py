"""The verdict's sentence about known models: what this model and each of them keep at the same budget."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.record.run import Record, Scalar
from robusteval.record.units import budget_text


def known_models(record: Record) -> list[str]:
    """One sentence: what this model and each known one keep at the budget that is quoted first; Linf where there is one.

    From the table of the metric `references`; empty where there is none.
    """
    tables = [result for result in record.results if result.metric == "references" and result.kind == "table"]
    tables = [table for table in tables if isinstance(table.tags.get("eps"), float) and table.rows]
    if not tables:
        return []
    table = min(tables, key=lambda result: (result.tags.get("norm") != "linf", result.tags.get("set")))
    norm, eps, images = str(table.tags.get("norm")), table.tags["eps"], table.tags.get("images")
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    at, where = f"{eps:.10g}", budget_text(float(eps or 0), norm, record.model.bounds[1] - record.model.bounds[0])
    mine, others = rows[0], [row for row in rows if row["Role"] in ("reference", "same")]
    said = [_said(row, rows, images, f"Accuracy at {at}") for row in others if row.get(f"Accuracy at {at}") is not None]
    if mine.get(f"Accuracy at {at}") is None or not said:
        return []
    kept, low, high = (_percent(mine[f"{name} at {at}"]) for name in ("Accuracy", "Low", "High"))
    return [
        f"Within {norm.capitalize()} {where} it keeps {kept} (95 %: {low.removesuffix(' %')} to {high}); of the reference "
        f"models on the same {images} images, under the same attacks, {', '.join(said)}."
    ]


def _said(row: dict[str, Scalar], rows: Sequence[dict[str, Scalar]], images: Scalar, at: str) -> str:
    """'pgd-trained 85.0 %', and what has to be known about it."""
    notes = ["this very file"] if row["Role"] == "same" else []
    if row["Images"] != images:
        notes.append(f"on {row['Images']} of them")
    for false in rows:
        if (
            false["Role"] == "exact"
            and str(false["Model"]).startswith(f"{row['Model']},")
            and false.get(at) is not None
        ):
            notes.append(f"though its own gradient would say {_percent(false[at])}")
    return f"{row['Model']} {_percent(row[at])}" + (f" ({'; '.join(notes)})" if notes else "")


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "nothing"
