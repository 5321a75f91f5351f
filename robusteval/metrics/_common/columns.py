"""Cells as arrays: distances, who was right when clean, the worst case over attacks, reference budgets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.record.measured.per_sample import numbers
from robusteval.record.run import Cell, Pipeline, Record
from robusteval.record.units import NORM_TITLES, norm_width

NORMS = ("l2", "linf", "l1", "l0")
BARE = "none"

# Budgets at which robust accuracy is quoted, in units of the input's range (l0: pixels).
BUDGETS: dict[str, tuple[float, ...]] = {
    "linf": (1 / 255, 2 / 255, 4 / 255, 8 / 255, 0.05, 0.1, 0.2, 0.3),
    "l2": (0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
    "l1": (1.0, 2.0, 5.0, 10.0, 20.0),
    "l0": (1.0, 2.0, 5.0, 10.0, 20.0, 50.0),
}
# The one that is quoted first: the literature's usual budgets for small images.
REFERENCE = {"linf": 8 / 255, "l2": 0.5, "l1": 10.0, "l0": 10.0}


@dataclass(frozen=True)
class Worst:
    """The per-sample minimum over attacks."""

    distance: NDArray[np.float64]  # [N]; inf: never lost; 0: wrong when clean
    cell: NDArray[np.int64]  # [N] index of the cell that reached it; -1: none
    cells: tuple[Cell, ...]


def title(norm: str) -> str:
    return NORM_TITLES.get(norm, norm)


def labels(record: Record) -> NDArray[np.int64]:
    return np.asarray(record.data.labels, dtype=np.int64)


def span(record: Record) -> float:
    """Width of the input's range; 1 when the record has none."""
    return norm_width("", record.model.bounds)


def pipelines(record: Record) -> list[Pipeline]:
    """The fitted pipelines with one clean answer a sample; the bare model first."""
    fit = [
        pipeline
        for pipeline in record.pipelines
        if pipeline.status == "done" and len(pipeline.prediction) == record.data.samples
    ]
    return sorted(fit, key=lambda pipeline: pipeline.defense != BARE)


def right_when_clean(record: Record, pipeline: Pipeline) -> NDArray[np.bool_]:
    """[N]; a false alarm of a detector and an answer that is not finite are wrong."""
    right: NDArray[np.bool_] = np.asarray(pipeline.prediction, dtype=np.int64) == labels(record)
    return right


def own_class_right(record: Record, pipeline: Pipeline) -> NDArray[np.bool_]:
    """[N]; the same with the detector set aside."""
    own = pipeline.label if len(pipeline.label) == record.data.samples else pipeline.prediction
    right: NDArray[np.bool_] = np.asarray(own, dtype=np.int64) == labels(record)
    return right


def measured(record: Record, cells: Iterable[Cell]) -> list[Cell]:
    """The finished cells that hold one distance a sample; a cell that crashed says nothing about robustness."""
    return [cell for cell in cells if cell.status == "done" and len(cell.distance) == record.data.samples > 0]


def distances(cell: Cell, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """[N] distance at which each sample is lost: inf never, 0 wrong when clean."""
    column = numbers(cell.distance)
    column[np.isnan(column)] = np.inf
    return np.where(right, column, 0.0)


def attack_cells(record: Record, norm: str, defense: str) -> list[Cell]:
    """The cells that attacked that pipeline itself: directly on the bare model, adaptively on a defended one."""
    knowledge = "none" if defense == BARE else "adaptive"
    return measured(record, record.done(norm=norm, knowledge=knowledge, defense=defense))


def worst_case(cells: Sequence[Cell], right: NDArray[np.bool_]) -> Worst | None:
    """The smallest distance of each sample over the cells; None without cells."""
    if not cells:
        return None
    stacked = np.stack([distances(cell, right) for cell in cells])
    smallest = stacked.min(axis=0)
    first = stacked.argmin(axis=0)
    return Worst(smallest, np.where(np.isfinite(smallest) & (smallest > 0), first, -1), tuple(cells))


def broken_obliviously(record: Record, pipeline: Pipeline, norm: str) -> NDArray[np.float64] | None:
    """[N] smallest tested distance at which an adversarial made on the bare model fools the defended pipeline.

    A fixed attack's strength is its budget; a minimal attack's is a multiple of the bare model's own smallest distance.
    inf: none of the tested ones; 0: wrong when clean. None when no oblivious cell in this norm was judged.
    """
    truth, right = labels(record), right_when_clean(record, pipeline)
    broken_at = np.where(right, np.inf, 0.0)
    judged = False
    for cell in record.done(norm=norm, knowledge="oblivious", defense=pipeline.defense):
        base = _bare_distances(record, cell)
        for strength in cell.strengths:
            if len(strength.prediction) != truth.size:
                continue
            if cell.family == "minimal" and base is None:
                continue
            judged = True
            answer = np.asarray(strength.prediction, dtype=np.int64)
            fooled = right & (answer != truth) & (answer != record.model.classes)
            reach = base * strength.strength if cell.family == "minimal" and base is not None else strength.strength
            broken_at = np.where(fooled, np.minimum(broken_at, reach), broken_at)
    return broken_at if judged else None


def _bare_distances(record: Record, cell: Cell) -> NDArray[np.float64] | None:
    """Smallest distances of the same attack on the bare model; a sample without one has no candidate to judge."""
    for bare in attack_cells(record, cell.norm, BARE):
        if bare.attack == cell.attack:
            return distances(bare, np.ones(record.data.samples, dtype=bool))
    return None


def asked_at(cell: Cell, eps: float) -> bool:
    """Whether the cell says what it leaves at this budget."""
    if cell.threat == "budget":
        return cell.eps is not None and abs(cell.eps - eps) <= 1e-6 * eps
    return cell.eps is None or cell.eps >= eps * (1 - 1e-6)


def has_curve(cells: Iterable[Cell]) -> bool:
    """Whether any cell looked for smallest distances, so that a curve and a median say something."""
    return any(cell.threat == "curve" for cell in cells)


def searched(cells: Iterable[Cell]) -> float | None:
    """The largest distance up to which smallest ones were looked for; None: without end, 0: not at all."""
    limits = [cell.eps for cell in _steered(cells) if cell.threat == "curve"]
    return None if None in limits else max((limit for limit in limits if limit is not None), default=0.0)


def _steered(cells: Iterable[Cell]) -> list[Cell]:
    """Those that say how far anybody looked: the attacks with gradients, where there are any. What only a black box
    looked for is hardly looked for, and a figure there would be far too good."""
    every = list(cells)
    return [cell for cell in every if cell.needs == "gradient"] or every


def run_at(cells: Iterable[Cell]) -> list[float]:
    """The budgets that cells were run at, where one of those looked that say how far anybody did."""
    every = list(cells)
    looked = _steered(every)
    found = [cell.eps for cell in every if cell.threat == "budget" and cell.eps is not None]
    return [eps for eps in found if any(asked_at(cell, eps) for cell in looked)]


def beyond(distance: NDArray[np.float64], eps: float) -> NDArray[np.bool_]:
    """[N] whether each sample holds out within the budget: it was never lost, or farther away. A millionth is for
    rounding."""
    return distance > eps * (1 + 1e-6)


def budgets(record: Record, norm: str, cells: Sequence[Cell]) -> list[float]:
    """The reference budgets that at least one cell searched, and every budget that a cell was run at.

    A cell that was run at one budget asked nothing about smaller ones, so it lists its own only.
    """
    width = norm_width(norm, record.model.bounds)
    reach = searched(cells)
    limit = np.inf if reach is None else reach
    listed = [budget * width for budget in BUDGETS.get(norm, ()) if budget * width <= limit * (1 + 1e-9)]
    kept: list[float] = []
    for eps in sorted([*run_at(cells), *listed]):
        if not kept or eps - kept[-1] > 1e-6 * max(eps, 1e-12):
            kept.append(eps)
    return kept


def reference_budget(record: Record, norm: str, available: Sequence[float], cells: Sequence[Cell]) -> float | None:
    """The budget quoted first: what the run was asked for, else the literature's, or the nearest one below it."""
    asked = run_at(cells)
    usual = REFERENCE.get(norm)
    if asked:
        aim = (usual or 0.0) * norm_width(norm, record.model.bounds)
        return min(asked, key=lambda eps: (abs(eps - aim) > 1e-6 * aim, -eps))
    if usual is None or not available:
        return available[len(available) // 2] if available else None
    budget = usual * norm_width(norm, record.model.bounds)
    below = [eps for eps in available if eps <= budget * (1 + 1e-6)]
    return max(below) if below else min(available)
