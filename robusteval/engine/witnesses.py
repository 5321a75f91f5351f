"""The adversarials behind the worst case, stored so that anybody can check them again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from robusteval import ops
from robusteval.contracts.samples import Samples
from robusteval.engine.plan import CHUNK
from robusteval.engine.unit_store import UnitStore
from robusteval.errors import RecordError
from robusteval.record.document import Cell, Record, Rounded, Witness, Witnesses
from robusteval.record.store import write_atomically

FILE = "witnesses.safetensors"
_ROUNDED_BYTES = 256 * 2**20  # of all 8-bit images together; what is beyond is not kept


def write(record: Record, units: UnitStore, samples: Samples, folder: Path) -> Witnesses | None:
    """Writes folder/witnesses.safetensors: the clean samples, their labels, and for each pipeline and norm the nearest
    adversarial of every sample that was lost; and each attack's wins on the bare model, rounded to 8 bits. None where
    nothing was lost."""
    tensors: dict[str, NDArray[np.generic]] = {}
    entries: list[Witness] = []
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in record.done():
        if cell.knowledge != "oblivious":
            groups.setdefault((cell.defense, cell.norm), []).append(cell)
    for (defense, norm), cells in sorted(groups.items()):
        rows, found = _nearest(cells, units, record)
        if rows:
            name = f"{defense}.{norm}"
            tensors[name] = np.stack(rows)
            for number, entry in enumerate(found):
                entry.tensor, entry.row = name, number
                entry.sha256 = row_hash(tensors[name][number])
            entries += found
    if not entries:
        return None
    rounded = _rounded(record, units, samples.bounds)
    tensors |= {entry.tensor: images for entry, images in rounded}
    tensors["clean"] = np.ascontiguousarray(samples.x.cpu().numpy())
    tensors["labels"] = np.ascontiguousarray(samples.y.cpu().numpy())
    content = safetensors.numpy.save(tensors)
    write_atomically(folder / FILE, content)
    return Witnesses(FILE, hashlib.sha256(content).hexdigest(), entries, [entry for entry, _ in rounded])


def gone(cell: Cell, chunk: int) -> RecordError:
    """What to say of a unit that was there when its cell was put together."""
    return RecordError(
        f"Unit {chunk} of {cell.id} was removed or damaged while the run was at work.",
        "The same command makes it again and goes on.",
    )


def row_hash(row: NDArray[np.generic]) -> str:
    """sha256 of one stored sample's bytes."""
    return hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()


def _nearest(cells: list[Cell], units: UnitStore, record: Record) -> tuple[list[NDArray[np.generic]], list[Witness]]:
    """The nearest adversarial of each lost sample over these cells, with what it proves."""
    rows: list[NDArray[np.generic]] = []
    entries: list[Witness] = []
    for start in range(0, record.data.samples, CHUNK):
        loaded = {cell.id: units.load(cell.id, start // CHUNK) for cell in cells}
        for sample in range(start, min(start + CHUNK, record.data.samples)):
            best, cell = min(
                ((cell.distance[sample] or 0.0, cell) for cell in cells if cell.distance[sample] is not None),
                key=lambda pair: pair[0],
                default=(0.0, None),
            )
            if cell is None or best == 0:
                continue
            unit = loaded[cell.id]
            if unit is None:
                raise gone(cell, start // CHUNK)
            rows.append(unit.x[sample - start].numpy())
            entries.append(
                Witness(
                    tensor="",
                    row=0,
                    sample=sample,
                    cell=cell.id,
                    defense=cell.defense,
                    norm=cell.norm,
                    distance=best,
                    label=record.data.labels[sample],
                    prediction=cell.prediction[sample] if cell.prediction[sample] is not None else -1,  # type: ignore[arg-type]
                )
            )
    return rows, entries


def _rounded(
    record: Record, units: UnitStore, bounds: tuple[float, float]
) -> list[tuple[Rounded, NDArray[np.generic]]]:
    """The wins of every attack on the bare model in L2 and Linf as images [wins, *shape] of levels 0 to 255."""
    kept: list[tuple[Rounded, NDArray[np.generic]]] = []
    room = _ROUNDED_BYTES
    for cell in record.done(knowledge="none", defense="none"):
        won = np.array([value is not None for value in cell.survives_8bit], dtype=bool)
        if cell.norm not in ("l2", "linf") or cell.threat != "curve" or not won.any():
            continue
        images = []
        for chunk in range(-(-record.data.samples // CHUNK)):
            unit = units.load(cell.id, chunk)
            if unit is None:
                raise gone(cell, chunk)
            levels = ops.to_levels(unit.x, bounds, 255).numpy().astype(np.uint8)
            images.append(levels[won[chunk * CHUNK : chunk * CHUNK + len(levels)]])
        whole = np.concatenate(images)
        if whole.nbytes <= room:
            room -= whole.nbytes
            kept.append((Rounded(cell.id, f"8bit.{len(kept)}"), whole))
    return kept
