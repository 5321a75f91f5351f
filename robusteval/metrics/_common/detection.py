"""What a detector is asked to tell from clean samples: the adversarials of each attack, at each strength, by
knowledge."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robusteval.metrics._common import columns
from robusteval.record.measured.per_sample import numbers
from robusteval.record.run import Cell, Pipeline, Record


@dataclass(frozen=True)
class Case:
    """One set of positives: the scores [P] of what one attack made at one strength."""

    cell: Cell
    strength: float | None
    scores: NDArray[np.float64]

    def label(self) -> str:
        strength = "smallest" if self.strength is None else f"{self.strength:.4g}"
        return f"{self.cell.attack}, {columns.title(self.cell.norm)}, {strength}, {self.cell.knowledge}"


def cases(record: Record, pipeline: Pipeline, right: NDArray[np.bool_]) -> Iterator[Case]:
    """The oblivious strengths from weak to strong, and the adaptive candidates."""
    for cell in record.done(defense=pipeline.defense, knowledge="oblivious"):
        for entry in sorted(cell.strengths, key=lambda strength: strength.strength):
            if len(entry.suspicion) == len(entry.fools_model) == right.size:
                scores = np.asarray(entry.suspicion, dtype=np.float64)
                fools = np.asarray(entry.fools_model, dtype=bool)
                yield Case(cell, entry.strength, scores[right & fools & np.isfinite(scores)])
    for cell in columns.measured(record, record.done(defense=pipeline.defense, knowledge="adaptive")):
        if len(cell.suspicion) == right.size:
            scores = numbers(cell.suspicion, np.nan)
            distance = columns.distances(cell, right)
            broken = np.isfinite(distance) & (distance > 0)
            yield Case(cell, None, scores[right & broken & np.isfinite(scores)])
