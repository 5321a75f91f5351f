"""On which samples an attack with working gradients was made; elsewhere a figure is an upper bound from black-box
attacks only.

No gradient attack, one that crashed or was left out, and one whose gradients were zero or not finite are the same thing
here.
"""

from __future__ import annotations

from collections import Counter

from robusteval.record.run import Cell, Record

USELESS = 0.5  # share of a sample's gradients that may be zero or not finite
ENOUGH = 0.8  # share of the attacked samples on which gradients must have worked


def steered(cell: Cell) -> list[bool]:
    """For each sample whether this finished cell asked for gradients and at least half of the answers were of use.

    Older records, which do not count useless answers by sample, have every sample share the cell's own.
    """
    if cell.status != "done" or cell.needs != "gradient":
        return [False] * len(cell.distance)
    useless: list[float] = [float(count) for count in cell.blind]
    if len(useless) != len(cell.backwards):
        share = (cell.zero_gradients + cell.bad_gradients) / max(sum(cell.backwards), 1)
        useless = [share * asked for asked in cell.backwards]
    return [asked > 0 and wasted <= USELESS * asked for asked, wasted in zip(cell.backwards, useless, strict=True)]


def white_share(cells: list[Cell]) -> float:
    """Of the attacked samples of these cells (one pipeline, one norm), the share on which gradients worked in one of
    them.

    A sample that a cascade lost within its budget is settled, whoever took it, once gradients worked anywhere. 0 where
    no sample was attacked, and where the columns are not of the same samples.
    """
    done = [cell for cell in cells if cell.status == "done" and cell.distance]
    lengths = {len(cell.distance) for cell in done} | {len(cell.backwards) for cell in done if cell.needs == "gradient"}
    if len(lengths) != 1:
        return 0.0
    attacked = [all(value != 0 for value in row) for row in zip(*(cell.distance for cell in done), strict=True)]
    worked = [any(row) for row in zip(*(steered(cell) for cell in done), strict=True)]
    if not any(worked) or not any(attacked):
        return 0.0
    settled = [cell.distance for cell in done if cell.threat == "budget" and cell.needs == "gradient"]
    broken = [any(value is not None for value in row) for row in zip(*settled, strict=True)] or [False] * len(worked)
    return sum(a and (w or d) for a, w, d in zip(attacked, worked, broken, strict=True)) / sum(attacked)


def bare_share(record: Record, norm: str) -> float:
    """`white_share` of the bare model in a norm."""
    return white_share(record.done(norm=norm, knowledge="none", defense="none"))


def adaptive_share(record: Record, norm: str, defense: str) -> float:
    """`white_share` of a defended pipeline in a norm, from the attacks that know the defence."""
    return white_share(record.done(norm=norm, knowledge="adaptive", defense=defense))


def asked(record: Record) -> list[str]:
    """The norms that the suite or a cell asks about."""
    return sorted({*record.suite.norms, *(cell.norm for cell in record.cells)})


def blind_norms(record: Record) -> list[str]:
    """The norms in which too few samples of the bare model met an attack with working gradients."""
    return [norm for norm in asked(record) if record.model.gradients == "none" or bare_share(record, norm) < ENOUGH]


def why_blind(record: Record, norms: list[str]) -> str:
    """Why no gradient attack worked in these norms: the words after "because"."""
    if record.model.gradients == "none":
        return "the model gives no useful gradient"
    cells = [cell for cell in record.cells if cell.knowledge == "none" and cell.norm in norms]
    states = Counter(cell.status for cell in cells if cell.needs == "gradient")
    if states["done"]:
        return "the gradients that its attacks were given were zero, not finite, or not asked for on most samples"
    if states["skipped"]:
        return "the time budget left those attacks out"
    if states["failed"]:
        return "those attacks failed"
    return "those attacks were left out" if states["excluded"] else "the suite has none"
