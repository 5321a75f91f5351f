"""Which samples the gallery shows, under which attack: the rule of the engine, and of `verify`."""

from __future__ import annotations

from robusteval.record.run import Cell, Record

PER_NORM = 6


def pictured(shape: list[int] | tuple[int, ...]) -> bool:
    """Whether samples of this shape are pictures: one or three planes, or flat ones that fill a square."""
    if len(shape) == 3:
        return shape[0] in (1, 3)
    side = round(shape[0] ** 0.5) if len(shape) == 1 else 0
    return side >= 8 and side * side == shape[0]


def shown(record: Record) -> list[tuple[int, Cell]]:
    """Up to six samples a norm, of different classes, each at its median difficulty, under its worst attack."""
    pairs = []
    for norm in sorted({cell.norm for cell in record.cells}):
        cells = record.done(norm=norm, knowledge="none")
        for sample in _choose(cells, record.data.labels):
            broken_by = [cell for cell in cells if cell.distance[sample] is not None]
            pairs.append((sample, min(broken_by, key=lambda cell: cell.distance[sample] or 0.0)))
    return pairs


def _choose(cells: list[Cell], labels: list[int]) -> list[int]:
    """For each class the sample whose smallest distance is the class's median; the first six classes that have one."""
    by_class: dict[int, list[tuple[float, int]]] = {}
    for sample, label in enumerate(labels):
        distances = [cell.distance[sample] for cell in cells]
        found = [value for value in distances if value is not None and value > 0]
        if found and not any(value == 0 for value in distances):
            by_class.setdefault(label, []).append((min(found), sample))
    return [sorted(group)[len(group) // 2][1] for _, group in sorted(by_class.items())][:PER_NORM]
