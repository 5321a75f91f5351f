"""What was asked for, and what the rows of a comparison say: the short table at the top of the results."""

from __future__ import annotations

import math

from match import SAME, WORST
from tables import Row, against_peers, by_name, correct_peers

_SLACK = 0.005  # of optimality; in robust accuracy one image counts
# The most CPU time wanted, as a share of that of the fastest correct peer.
_COST = {"pgd": 0.7, "bim": 0.7, "mim": 0.7, "apgd-ce": 0.7, "apgd-dlr": 0.7, "deepfool": 0.7, "ddn": 0.7, "fmn": 0.7}
_COST |= {"fab": 0.7, "carlini-wagner": 0.5}
_WIDE = 0.2  # for pgd at a budget where most samples fall
_SINGLE = {"lenet": 0.985, "robust": 0.97}  # optimality of our best single attack


def acceptance(rows: list[Row]) -> list[str]:
    """The lines of the table, out of rows with their strengths."""
    lines = ["| point | target | reached | where |", "|---|---|---|---|"]
    return [
        *lines,
        *_strength(rows),
        *_cost(rows),
        *_same(rows),
        *_reduced(rows),
        *_sparse(rows),
        *_single(rows),
        *_worst(rows),
        *_cascade(rows),
    ]


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
            sentence = f"{mine['robust accuracy']:.2f} against {best:.2f}"
        else:
            best = max(row["optimality"] for row in peers)
            behind = mine["optimality"] < best - _SLACK
            sentence = f"{mine['optimality']:.3f} against {best:.3f}"
        if behind:
            weaker.append(f"{_name(mine)} {sentence}")
    reached = f"{len(pairs) - len(weaker)} of {len(pairs)}"
    where = "all" if not weaker else "weaker: " + "; ".join(weaker)
    return [f"| a. strength | each attack as strong as the best correct peer of its name | {reached} | {where} |"]


def _cost(rows: list[Row]) -> list[str]:
    pairs = [(mine, peers) for mine, peers in _pairs(rows) if mine["attack"] in _COST]
    ratios = {_name(mine): mine["seconds"] / min(row["seconds"] for row in peers) for mine, peers in pairs}
    if not ratios:
        return []
    requested = {_name(mine): _wanted(mine) for mine, _ in pairs}
    slower = {name: ratio for name, ratio in ratios.items() if ratio > requested[name] + 0.005}
    mean = math.exp(sum(math.log(ratio) for ratio in ratios.values()) / len(ratios))
    reached = f"{len(ratios) - len(slower)} of {len(ratios)}; geometric mean {mean:.2f} x"
    where = "slower: " + ", ".join(f"{name} {ratio:.2f} x" for name, ratio in slower.items()) if slower else "all"
    target = "at most 0.7 x the CPU time of the fastest correct peer (C&W 0.5 x, pgd where most fall 0.2 x)"
    return [f"| a. cost | {target} | {reached} | {where} |"]


def _same(rows: list[Row]) -> list[str]:
    """Ours with the peers' number of steps, where ours takes fewer by default."""
    sentences = []
    for group in by_name(rows):
        peers, mine = correct_peers(group), [row for row in group if row["by"] == SAME]
        if mine and peers:
            least = min(row["seconds"] for row in peers)
            sentences.append((mine[0]["seconds"] / least, _name(mine[0])))
    if not sentences:
        return []
    mean = math.exp(sum(math.log(ratio) for ratio, _ in sentences) / len(sentences))
    where = ", ".join(f"{name} {ratio:.2f} x" for ratio, name in sentences)
    target = "the same with the peers' number of steps, where ours takes fewer by default"
    return [f"| a. cost, same steps | {target} | geometric mean {mean:.2f} x | {where} |"]


def _reduced(rows: list[Row]) -> list[str]:
    """The peers with as few steps as ours by default: how strong they are then, and what they cost."""
    sentences = []
    for group in by_name(rows):
        mine, peers = [row for row in group if row["by"] == "ours"], [row for row in group if "reduced" in row]
        for row in peers:
            if not mine or "failed" in row:
                continue
            key = "robust accuracy" if row["budget"] else "optimality"
            ratio = mine[0]["seconds"] / row["seconds"]
            sentences.append(
                f"{_name(row)} {row['by']}: {row[key]:.3f}, ours {mine[0][key]:.3f} at {ratio:.2f} x its time"
            )
    if not sentences:
        return []
    target = "peers with as few steps as ours by default (not among the fastest correct ones above)"
    return [f"| a. cost, fewer steps | {target} | for comparison | {'; '.join(sentences)} |"]


def _wanted(mine: Row) -> float:
    wide = mine["attack"] == "pgd" and mine["budget"] and mine["robust accuracy"] < 0.3
    return _WIDE if wide else _COST[mine["attack"]]


def _single(rows: list[Row]) -> list[str]:
    """The best of our single minimal attacks on each model and norm, in the pool of all rows."""
    lines = []
    for norm in ("l2", "linf"):
        sentences, met = [], 0
        for model, least in _SINGLE.items():
            mine = [
                row
                for row in rows
                if row["ours"]
                and not row["budget"]
                and (row["model"], row["norm"]) == (model, norm)
                and row["attack"] != WORST
            ]
            if mine:
                best = max(mine, key=lambda row: row["optimality"])
                met += best["optimality"] >= least
                sentences.append(f"{model} {best['attack']} {best['optimality']:.3f}")
        if sentences:
            target = f"our best single attack in {norm}: optimality 0.985 on the plain, 0.97 on the robust model"
            lines.append(f"| b. single | {target} | {met} of {len(sentences)} | {', '.join(sentences)} |")
    return lines


def _sparse(rows: list[Row]) -> list[str]:
    """JSMA: time over that of the fastest peer, correct or not, as its success and L0 are told beside."""
    sentences, met = [], True
    for group in by_name([row for row in rows if row["attack"] == "jsma" and "failed" not in row]):
        mine, peers = [row for row in group if row["by"] == "ours"], [row for row in group if not row["ours"]]
        if not mine or not peers:
            continue
        fastest = min(peers, key=lambda row: row["seconds"])
        ratio = mine[0]["seconds"] / fastest["seconds"]
        met &= ratio <= 0.1 and mine[0]["success"] >= max(row["success"] for row in peers)
        sentences.append(
            f"{mine[0]['model']} {ratio:.2f} x of {fastest['by']}'s time, success {mine[0]['success']:.2f} against "
            f"{fastest['success']:.2f}, median L0 {mine[0]['median']:g} against {fastest['median']:g}"
        )
    target = "JSMA in at most 0.1 x the peers' time at equal or better success and L0"
    return (
        [f"| a. JSMA | {target} | {'yes' if met else 'not on every model'} | {'; '.join(sentences)} |"]
        if sentences
        else []
    )


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
            sentence = (
                f"{mine['robust accuracy']:.3f} against {theirs['robust accuracy']:.3f} in {ratio:.2f} x the CPU time"
            )
            where = f"{mine['model']} {mine['norm']} {mine['eps']:g}, {mine['images']} images"
            target = f"{what}: the robust accuracy of pyautoattack's standard version, in a quarter of its time"
            lines.append(f"| d. budget | {target} | {sentence} | {where} |")
    return lines
