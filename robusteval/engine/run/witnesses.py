"""The adversarials behind the worst case, stored so that anybody can check them again."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from robusteval import ops
from robusteval.assessment.evidence import proof
from robusteval.contracts.samples import Samples
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RecordError
from robusteval.record.run import Cell, Record, Rounded, Wins, Witness, Witnesses
from robusteval.record.store import write_atomically

FILE = "witnesses.safetensors"


def write(record: Record, units: UnitStore, samples: Samples, folder: Path, size: int) -> Witnesses:
    """Writes folder/witnesses.safetensors: the clean samples, their labels, for each pipeline and norm the nearest
    adversarial of every sample that was lost, every other win as far as `proof.LIMIT` goes, and each attack's wins on
    the bare model, rounded to 8 bits. size: samples a unit."""
    tensors: dict[str, NDArray[np.generic]] = {}
    entries: list[Witness] = []
    for name, places in proof.nearest(record).items():
        tensors[name] = np.stack(_rows(places, units, size))
        for number, (sample, cell) in enumerate(places):
            entries.append(_entry(record, name, number, sample, cell, row_hash(tensors[name][number])))
    kept, _ = proof.wins(record, proof.LIMIT)
    cells = {cell.id: cell for cell in proof.attacked(record)}
    wins: list[Wins] = []
    for cell_id, chosen in kept.items():
        wins.append(Wins(cell_id, f"wins.{len(wins)}"))
        tensors[wins[-1].tensor] = np.stack(_rows([(sample, cells[cell_id]) for sample in chosen], units, size))
    rounded = _rounded(record, units, samples.bounds, size)
    tensors |= {entry.tensor: images for entry, images in rounded}
    tensors["clean"] = np.ascontiguousarray(samples.x.cpu().numpy())
    tensors["labels"] = np.ascontiguousarray(samples.y.cpu().numpy())
    content = safetensors.numpy.save(tensors)
    write_atomically(folder / FILE, content)
    digest = hashlib.sha256(content).hexdigest()
    return Witnesses(FILE, digest, entries, [entry for entry, _ in rounded], wins, proof.LIMIT)


def gone(cell: Cell, chunk: int) -> RecordError:
    """What to say of a unit that was there when its cell was put together."""
    return RecordError(
        f"Unit {chunk} of {cell.id} was removed or damaged while the run was at work.",
        "The same command makes it again and goes on.",
    )


def row_hash(row: NDArray[np.generic]) -> str:
    """sha256 of one stored sample's bytes."""
    return hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()


def _rows(places: list[proof.Place], units: UnitStore, size: int) -> list[NDArray[np.generic]]:
    """The adversarials of these samples and cells. size: samples a unit. Each unit is read once."""
    by_unit: dict[tuple[int, str], list[int]] = {}
    for number, (sample, cell) in enumerate(places):
        by_unit.setdefault((sample // size, cell.id), []).append(number)
    rows: dict[int, NDArray[np.generic]] = {}
    for (chunk, cell_id), numbers in by_unit.items():
        unit = units.load(cell_id, chunk)
        if unit is None:
            raise gone(next(cell for _, cell in places if cell.id == cell_id), chunk)
        for number in numbers:
            rows[number] = unit.x[places[number][0] - chunk * size].numpy()
    return [rows[number] for number in range(len(places))]


def _entry(record: Record, tensor: str, row: int, sample: int, cell: Cell, sha256: str) -> Witness:
    answer = cell.prediction[sample]
    return Witness(
        tensor=tensor,
        row=row,
        sample=sample,
        cell=cell.id,
        defense=cell.defense,
        norm=cell.norm,
        distance=cell.distance[sample] or 0.0,
        label=record.data.labels[sample],
        prediction=answer if answer is not None else -1,
        sha256=sha256,
    )


def _rounded(
    record: Record, units: UnitStore, bounds: tuple[float, float], size: int
) -> list[tuple[Rounded, NDArray[np.generic]]]:
    """The wins of every attack on the bare model in L2 and Linf as images [wins, *shape] of levels 0 to 255."""
    kept: list[tuple[Rounded, NDArray[np.generic]]] = []
    for cell, samples in proof.rounded(record):
        x = torch.from_numpy(np.stack(_rows([(sample, cell) for sample in samples], units, size)))
        levels = ops.to_levels(x, bounds, 255).numpy().astype(np.uint8)
        kept.append((Rounded(cell.id, f"8bit.{len(kept)}"), levels))
    return kept
