"""The worst case over attacks: per-sample minima of distance columns."""

from __future__ import annotations

import math

from robusteval.record.document import Cell, Record


def envelope(cells: list[Cell]) -> list[float]:
    """Per-sample minimum over cells; inf where never lost, 0 where wrong when clean; empty without cells."""
    columns = [[math.inf if value is None else value for value in cell.distance] for cell in cells]
    return [min(values) for values in zip(*columns, strict=True)]


def envelope_of(record: Record, norm: str, defense: str) -> list[float]:
    """Worst case of a pipeline in a norm, over its finished cells; oblivious cells have no part in it."""
    return envelope([cell for cell in record.done(norm=norm, defense=defense) if cell.knowledge != "oblivious"])


def median_loss(distances: list[float]) -> float:
    """Median smallest distance over the samples that were right when clean; inf where most were never lost."""
    alive = sorted(value for value in distances if value > 0)
    return alive[(len(alive) - 1) // 2] if alive else 0.0
