"""From the rows of a comparison to strengths and a Markdown table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from strength import Distances, envelope, median, optimality, robust_accuracy

Row = dict[str, Any]


def distances(row: Row) -> Distances:
    """A row's distances, [N], inf where a sample was not lost."""
    return np.array([math.inf if d is None else d for d in row["distance"]], dtype=np.float64)


def pools(rows: list[Row]) -> dict[tuple[str, str], Distances]:
    """The envelope over everything that ran, ours and theirs, budgets too, for each (model, norm)."""
    found = {}
    for key in {(row["model"], row["norm"]) for row in rows}:
        mine = [distances(row) for row in rows if (row["model"], row["norm"]) == key and "failed" not in row]
        longest = max((len(d) for d in mine), default=0)
        padded = [np.concatenate([d, np.full(longest - len(d), math.inf)]) for d in mine]
        if padded:
            found[key] = envelope(padded)
    return found


def with_strength(rows: list[Row]) -> list[Row]:
    """The rows with success, median, and optimality or robust accuracy at the budget."""
    best = pools(rows)
    out = []
    for row in rows:
        if "failed" not in row:
            d = distances(row)
            if row["budget"]:
                figures = {"robust accuracy": robust_accuracy(d, row["eps"])}
            else:
                figures = {"optimality": optimality(d, best[row["model"], row["norm"]][: len(d)]), "median": median(d)}
            row = {**row, "success": float(np.isfinite(d).mean()), **figures}
        out.append(row)
    return out


def markdown(result: dict[str, Any]) -> str:
    """The whole comparison as Markdown, one table a model and kind."""
    rows, lines = result["rows"], ["# Side by side with peers", "", *_preface(result), ""]
    for model in dict.fromkeys(row["model"] for row in rows):
        for budget, title in ((False, "smallest distances"), (True, "budgets")):
            chosen = [row for row in rows if row["model"] == model and bool(row["budget"]) == budget]
            if chosen:
                lines += [f"## {model}: {title}", "", *_table(chosen, budget), ""]
    return "\n".join(lines)


def _preface(result: dict[str, Any]) -> list[str]:
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    peers = ", ".join(f"{key} {value}" for key, value in result["peers"].items())
    lines = [
        f"Machine: {machine}; load average at the end {result['load average at the end']}.",
        "",
        f"Peers: {peers}. Images: the first {result['images']} of MNIST's test set that the model gets right, "
        "fewer for dear attacks.",
        "",
    ]
    for model, cost in result["pass"].items():
        lines.append(
            f"Best cost of a pass, {model}: forward {1e3 * cost['forward']:.3f} ms, backward "
            f"{1e3 * cost['backward']:.3f} ms per image ({cost['how']})."
        )
    return lines


def _table(rows: list[Row], budget: bool) -> list[str]:
    strength = ["robust accuracy"] if budget else ["optimality", "median", "success"]
    lines = ["| attack | by | " + " | ".join(strength) + " | ms / image | of the fastest peer | passes | overhead |"]
    lines.append("|---|---|" + "---:|" * (len(strength) + 4))
    for _, group in itertools.groupby(rows, key=lambda row: (row["attack"], row["norm"], row["budget"])):
        members = list(group)
        fastest = min((r["seconds"] for r in members if not r["ours"] and _correct(r)), default=math.nan)
        for row in members:
            lines.append(_line(row, strength, fastest))
    return lines


def _correct(row: Row) -> bool:
    """Whether a peer's implementation does its job: it ran, and half of what it returns for smallest distances wins."""
    if "failed" in row:
        return False
    return bool(row["budget"]) or row["success"] >= 0.5


def _line(row: Row, strength: list[str], fastest: float) -> str:
    name = f"{row['attack']} {row['norm']}" + (f" {row['eps']:g}" if row["budget"] else "")
    by = f"**{row['by']}**" if row["ours"] else row["by"]
    if "failed" in row:
        return f"| {name} | {by} | {row['failed']} |"
    ratio = "" if math.isnan(fastest) else f"{row['seconds'] / fastest:.2f}"
    figures = " | ".join(f"{row[key]:.3f}" for key in strength)
    passes = f"{row['forwards']:.0f} + {row['backwards']:.0f}"
    overhead = "" if row["overhead"] is None else f"{row['overhead']:.2f}"
    return f"| {name} | {by} | {figures} | {1e3 * row['seconds']:.2f} | {ratio} | {passes} | {overhead} |"
