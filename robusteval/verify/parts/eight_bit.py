"""Re-checking what is left of the wins when they are saved as 8-bit images: ONNX Runtime and numpy alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.assessment.evidence import proof
from robusteval.record.run import Cell, Record
from robusteval.verify.parts.measures import pixels_of

Array = NDArray[Any]


def check_rounded(
    record: Record, tensors: dict[str, Array], clean: Array, answer: Callable[[Array], Array]
) -> tuple[int, list[str], list[str]]:
    """Asks about every stored 8-bit image whether it still wins, as the record says, no further from its clean sample
    than rounding explains. answer: [B, *shape] -> labels [B].

    Returns (images asked about, failures, one note for each attack).
    """
    asked, failures, notes = 0, [], []
    cells = {cell.id: cell for cell, _ in proof.rounded(record)}
    entries = record.witnesses.rounded if record.witnesses else []
    if [entry.cell for entry in entries] != list(cells):
        asked += 1
        failures.append("witnesses.rounded: the 8-bit images kept are not those that the columns need.")
    for entry in entries:
        cell, levels = cells.get(entry.cell), tensors.get(entry.tensor)
        survivors = [] if cell is None else [n for n, value in enumerate(cell.survives_8bit) if value is not None]
        asked += len(survivors)
        if cell is None or levels is None or levels.dtype != np.uint8 or len(levels) != len(survivors):
            failures.append(f"{entry.cell}: its 8-bit images are not in the witness file.")
            continue
        images = pixels_of(levels, record.model.bounds)
        wins = _wins(cell, survivors, record.data.labels, answer(images))
        before = len(failures)
        for row, sample in enumerate(survivors):
            faults = []
            if bool(wins[row]) != cell.survives_8bit[sample]:
                faults.append(
                    "it fools the model no more" if cell.survives_8bit[sample] else "it fools the model after all"
                )
            if not _near(images[row], clean[sample], cell, sample, record.model.bounds):
                faults.append("it lies further from the clean sample than rounding explains")
            if faults:
                failures.append(f"{cell.id}, sample {sample}, rounded to 8 bits: {' and '.join(faults)}.")
        if len(failures) == before and len(survivors):  # noqa: PLC1802 - an array
            share = 100 * sum(wins) / len(survivors)
            notes.append(
                f"{cell.attack}, {cell.norm}: {share:.1f} % of {len(survivors)} wins survive rounding to 8 bits, as "
                "said."
            )
    return asked, failures, notes


def _wins(cell: Cell, samples: list[int], labels: list[int], found: Array) -> Array:
    """bool [B]: the target where one class alone counts, else anything but the label."""
    if cell.target in ("untargeted", "all"):
        return np.asarray((found >= 0) & (found != np.asarray([labels[n] for n in samples])))
    return np.asarray(found == np.asarray([cell.prediction[n] for n in samples], dtype=np.float64))


def _near(image: Array, clean: Array, cell: Cell, sample: int, bounds: list[float]) -> bool:
    delta = np.abs(image.astype(np.float64) - clean.astype(np.float64)).ravel()
    step = 0.5 / 255 * (bounds[1] - bounds[0])
    found, room = (
        (delta.max(), step) if cell.norm == "linf" else (np.sqrt((delta**2).sum()), step * np.sqrt(delta.size))
    )
    return bool(found <= (cell.distance[sample] or 0.0) + room * (1 + 1e-4) + 1e-6)
