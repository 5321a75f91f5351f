"""Which adversarials a run must keep as proof of its columns: what the run stores, and what `verify` therefore asks
for."""

from __future__ import annotations

import math
from collections.abc import Iterator

from robusteval.record.run import Cell, Record

LIMIT = 512 << 20  # bytes of all wins that are kept beside the nearest ones
ROUNDED_LIMIT = 256 << 20  # bytes of all 8-bit images
Place = tuple[int, Cell]  # a sample and the cell that won on it


def tensor_name(defense: str, norm: str) -> str:
    """Of the nearest adversarials of a pipeline in a norm, in the witness file."""
    return f"{defense}.{norm}"


def attacked(record: Record) -> Iterator[Cell]:
    """The finished cells and probes with distances of their own; oblivious ones only judge those of others."""
    for cell in (*record.cells, *record.probes):
        if cell.status == "done" and cell.knowledge != "oblivious":
            yield cell


def nearest(record: Record) -> dict[str, list[Place]]:
    """By tensor, the nearest win of each sample that was right when clean and lost, in the order of the data; of
    several as near the first cell's. Probes have no part in it."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in record.done():
        if cell.knowledge != "oblivious":
            groups.setdefault((cell.defense, cell.norm), []).append(cell)
    tensors: dict[str, list[Place]] = {}
    for (defense, norm), cells in sorted(groups.items()):
        rows = []
        for sample in range(record.data.samples):
            found = [(cell.distance[sample], cell) for cell in cells]
            broken = [(distance, cell) for distance, cell in found if distance is not None]
            best, winner = min(broken, key=lambda pair: pair[0], default=(0.0, None))
            if winner is not None and best > 0:
                rows.append((sample, winner))
        if rows:
            tensors[tensor_name(defense, norm)] = rows
    return tensors


def wins(record: Record, limit: int) -> tuple[dict[str, list[int]], dict[str, int]]:
    """(by cell, the samples whose wins are kept in full beside the nearest ones; by cell, how many are not for want of
    room). Cells of the bare model come first, and each is kept whole or not at all."""
    there = {(cell.id, sample) for rows in nearest(record).values() for sample, cell in rows}
    size, room = 4 * math.prod(record.model.input_shape), limit
    kept: dict[str, list[int]] = {}
    left: dict[str, int] = {}
    for cell in sorted(attacked(record), key=lambda cell: cell.defense != "none"):
        rows = [
            sample
            for sample, distance in enumerate(cell.distance)
            if distance is not None and distance > 0 and (cell.id, sample) not in there
        ]
        if not rows:
            continue
        if len(rows) * size <= room:
            room -= len(rows) * size
            kept[cell.id] = rows
        else:
            left[cell.id] = len(rows)
    return kept, left


def rounded(record: Record) -> list[tuple[Cell, list[int]]]:
    """The bare model's cells in L2 and Linf whose wins are kept as 8-bit images too, with the samples; each whole or
    not at all."""
    size, room = math.prod(record.model.input_shape), ROUNDED_LIMIT
    cells = []
    for cell in record.done(knowledge="none", defense="none"):
        samples = [sample for sample, value in enumerate(cell.survives_8bit) if value is not None]
        if cell.norm not in ("l2", "linf") or cell.threat != "curve" or not samples:
            continue
        if len(samples) * size <= room:
            room -= len(samples) * size
            cells.append((cell, samples))
    return cells
