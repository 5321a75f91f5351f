"""From the rows of a comparison to strengths and a Markdown table."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from strength import Distances, envelope, median, optimality, robust_accuracy

Row = dict[str, Any]
_NEAR = 0.05  # of the best peer of the name: so near a peer counts as correct


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
        if "failed" in row:
            out.append(row)
            continue
        d = distances(row)
        if row["budget"]:
            figures = {"robust accuracy": robust_accuracy(d, row["eps"])}
        else:
            figures = {"optimality": optimality(d, best[row["model"], row["norm"]][: len(d)]), "median": median(d)}
        out.append({**row, "success": float(np.isfinite(d).mean()), **figures})
    return out


def by_name(rows: list[Row]) -> list[list[Row]]:
    """The rows in groups of one model, attack, norm and budget, in the order given."""
    groups = itertools.groupby(rows, key=lambda row: (row["model"], row["attack"], row["norm"], row["budget"]))
    return [list(group) for _, group in groups]


def correct_peers(group: list[Row]) -> list[Row]:
    """The peers' rows that count as doing the job of this name: success and optimality, or robust accuracy at a budget,
    within 0.05 of the best peer's in the group; without those of fewer steps than usual. None where no peer is near the
    best in both."""
    peers = [row for row in group if not row["ours"] and "failed" not in row and "reduced" not in row]
    if not peers:
        return []
    if peers[0]["budget"]:
        least = min(row["robust accuracy"] for row in peers)
        return [row for row in peers if row["robust accuracy"] <= least + _NEAR]
    success, nearest = max(row["success"] for row in peers), max(row["optimality"] for row in peers)
    return [row for row in peers if row["success"] >= success - _NEAR and row["optimality"] >= nearest - _NEAR]


def against_peers(row: Row, rows: list[Row]) -> float:
    """Optimality of a row in the pool of itself and all peers' rows of its model and norm, without our other
    attacks."""
    mine = distances(row)
    pool = [mine]
    for other in rows:
        if (
            "failed" not in other
            and not other["ours"]
            and (other["model"], other["norm"]) == (row["model"], row["norm"])
        ):
            d = distances(other)[: len(mine)]
            pool.append(np.concatenate([d, np.full(len(mine) - len(d), math.inf)]))
    return optimality(mine, envelope(pool))


def markdown(result: dict[str, Any], top: list[str]) -> str:
    """The whole comparison as Markdown, one table a model and kind, after the lines of `top`."""
    rows, lines = (
        result["rows"],
        ["# Side by side with peers", "", "## Acceptance", "", *top, "", "## Setting", "", *_preface(result), ""],
    )
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
        (
            f"Peers: {peers}. Images: of MNIST's {result['split']} set the first from {result['start']} on that the "
            "model gets right; how many, every row says."
        ),
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
    lines = [
        "| attack | by | images | "
        + " | ".join(strength)
        + " | ms / image | of the fastest correct peer | passes | overhead |"
    ]
    lines.append("|---|---|" + "---:|" * (len(strength) + 5))
    for members in by_name(rows):
        fastest = min((row["seconds"] for row in correct_peers(members)), default=math.nan)
        lines.extend(_line(row, strength, fastest) for row in members)
    return lines


def _line(row: Row, strength: list[str], fastest: float) -> str:
    name = f"{row['attack']} {row['norm']}" + (f" {row['eps']:g}" if row["budget"] else "")
    by = f"**{row['by']}**" if row["ours"] else row["by"]
    if row["ours"] and "calibrated" not in row:
        by += " (not calibrated)"
    if "failed" in row:
        return f"| {name} | {by} | {row['images']} | {row['failed']} |"
    ratio = "" if math.isnan(fastest) else f"{row['seconds'] / fastest:.2f}"
    figures = " | ".join(f"{row[key]:.3f}" for key in strength)
    passes = f"{row['forwards']:.0f} + {row['backwards']:.0f}"
    overhead = "" if row["overhead"] is None else f"{row['overhead']:.2f}"
    return (
        f"| {name} | {by} | {row['images']} | {figures} | {1e3 * row['seconds']:.2f} | {ratio} | {passes} | "
        f"{overhead} |"
    )
