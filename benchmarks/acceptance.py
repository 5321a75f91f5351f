"""What was asked for, and what the rows of a comparison say: the short table at the top of the results."""

from __future__ import annotations

import math

from match import WORST
from tables import Row, against_peers, by_name, correct_peers

_SLACK = 0.01  # of optimality; in robust accuracy one image counts
_EVEN = 1.05  # a ratio of times up to here is called even


def acceptance(rows: list[Row]) -> list[str]:
    """The lines of the table, out of rows with their strengths."""
    lines = ["| point | target | reached | where |", "|---|---|---|---|"]
    return [*lines, *_strength(rows), *_cost(rows), *_sparse(rows), *_worst(rows), *_cascade(rows)]


def _pairs(rows: list[Row]) -> list[tuple[Row, list[Row]]]:
    """Ours as it comes, and the correct peers of its name, where there are any."""
    found = []
    for group in by_name(rows):
        peers = correct_peers(group)
        mine = [row for row in group if row["ours"] and row["by"] == "ours"]
        if mine and peers:
            found.append((mine[0], peers))
    return found


def _name(row: Row) -> str:
    return f"{row['attack']} {row['norm']}" + (f" {row['eps']:g}" if row["budget"] else "") + f" ({row['model']})"


def _strength(rows: list[Row]) -> list[str]:
    weaker, pairs = [], _pairs(rows)
    for mine, peers in pairs:
        if mine["budget"]:
            best = min(row["robust accuracy"] for row in peers)
            behind = mine["robust accuracy"] - best > 0.5 / mine["images"]
            said = f"{mine['robust accuracy']:.2f} against {best:.2f}"
        else:
            best = max(row["optimality"] for row in peers)
            behind = mine["optimality"] < best - _SLACK
            said = f"{mine['optimality']:.3f} against {best:.3f}"
        if behind:
            weaker.append(f"{_name(mine)} {said}")
    reached = f"{len(pairs) - len(weaker)} of {len(pairs)}"
    where = "all" if not weaker else "weaker: " + "; ".join(weaker)
    return [f"| a. strength | each attack as strong as the best correct peer of its name | {reached} | {where} |"]


def _cost(rows: list[Row]) -> list[str]:
    pairs = [(mine, peers) for mine, peers in _pairs(rows) if "calibrated" in mine]
    ratios = {_name(mine): mine["seconds"] / min(row["seconds"] for row in peers) for mine, peers in pairs}
    if not ratios:
        return []
    dearer = {name: ratio for name, ratio in ratios.items() if ratio > _EVEN}
    mean = math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios))
    least = min(ratios, key=lambda name: ratios[name])
    reached = f"{len(ratios) - len(dearer)} of {len(ratios)}; geometric mean {mean:.2f} x"
    where = f"least: {least} {ratios[least]:.2f} x"
    if dearer:
        where += "; dearer: " + ", ".join(f"{name} {ratio:.2f} x" for name, ratio in dearer.items())
    return [
        f"| b. cost | each attack in at most {_EVEN} x the CPU time of the fastest correct peer | {reached} | {where} |"
    ]


def _sparse(rows: list[Row]) -> list[str]:
    """JSMA: time over that of the fastest peer, correct or not, as its success and L0 are told beside."""
    said, met = [], True
    for group in by_name([row for row in rows if row["attack"] == "jsma" and "failed" not in row]):
        mine, peers = [row for row in group if row["by"] == "ours"], [row for row in group if not row["ours"]]
        if not mine or not peers:
            continue
        fastest = min(peers, key=lambda row: row["seconds"])
        ratio = mine[0]["seconds"] / fastest["seconds"]
        met &= ratio <= 0.1 and mine[0]["success"] >= max(row["success"] for row in peers)
        said.append(
            f"{mine[0]['model']} {ratio:.2f} x of {fastest['by']}'s time, success {mine[0]['success']:.2f} against "
            f"{fastest['success']:.2f}, median L0 {mine[0]['median']:g} against {fastest['median']:g}"
        )
    target = "JSMA in at most 0.1 x the peers' time at equal or better success and L0"
    return [f"| b. JSMA | {target} | {'yes' if met else 'not on every model'} | {'; '.join(said)} |"] if said else []


def _worst(rows: list[Row]) -> list[str]:
    found = [(row, against_peers(row, rows)) for row in rows if row["attack"] == WORST]
    if not found:
        return []
    reached = f"{sum(value >= 0.99 for _, value in found)} of {len(found)}"
    where = ", ".join(f"{row['model']} {row['norm']} {value:.3f}" for row, value in found)
    target = "the worst case of suite `standard` at 0.99 of optimality or more, against all peers' attacks"
    return [f"| c. worst case | {target} | {reached} | {where} |"]


def _cascade(rows: list[Row]) -> list[str]:
    group = {row["by"]: row for row in rows if row["attack"] == "autoattack" and "failed" not in row}
    theirs = group.get("pyautoattack")
    if theirs is None:
        return []
    lines = []
    for by, mine in group.items():
        if mine["ours"]:
            ratio = mine["seconds"] / theirs["seconds"]
            what = "our AutoAttack" if by == "ours" else "suite `standard`'s cascade"
            said = (
                f"{mine['robust accuracy']:.3f} against {theirs['robust accuracy']:.3f} in {ratio:.2f} x the CPU time"
            )
            where = f"{mine['model']} {mine['norm']} {mine['eps']:g}, {mine['images']} images"
            target = f"{what}: the robust accuracy of pyautoattack's standard version, in less time"
            lines.append(f"| d. budget | {target} | {said} | {where} |")
    return lines
