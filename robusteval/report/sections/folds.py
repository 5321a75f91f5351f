"""What a folded part of the page says in its one line, so that nobody has to open it to learn the outcome."""

from __future__ import annotations

from robusteval.record.run import Record
from robusteval.report.charts import pieces
from robusteval.report.formats.numbers import budget, norm_title, number, percent


def defense(record: Record, name: str) -> str:
    """What the defence keeps against an attacker who knows it, in each norm, beside the bare model."""
    parts = []
    for norm in pieces.norms(record):
        kept, bare = (
            pieces.first(pieces.matching(record, "robust-accuracy", {
                "norm": norm, "defense": defended, "knowledge": knowledge, "reference": True}))
            for defended, knowledge in ((name, "adaptive"), ("none", "none"))
        )  # fmt: skip
        if kept is None:
            parts.append(f"{norm_title(norm)} not attacked by anyone who knows it")
            continue
        at = budget(kept.tags.get("eps"), norm, pieces.width(record))
        beside = f" (bare {percent(bare.value)})" if bare is not None else ""
        parts.append(f"{norm_title(norm)} {at}: {percent(kept.value)}{beside}")
    return f"{name}, attacked by someone who knows it: {'; '.join(parts)}"


def detector(record: Record, name: str) -> str:
    """The worst row of the detector's table."""
    found = pieces.first(pieces.of_kind(record, "detector-roc", "table", {"defense": name}))
    rows = pieces.named_rows(found) if found is not None else []
    areas = [(row["auc"], row) for row in rows if isinstance(row.get("auc"), int | float)]
    if not areas:
        return f"{name}: no figure"
    area, row = min(areas, key=lambda pair: float(str(pair[0])))
    rate = percent(row.get("tpr-at-1"))
    return f"{name}: in the worst of {len(rows)} cases AUC {number(area)}, found at 1 % false alarms {rate}"
