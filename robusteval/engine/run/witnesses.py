"""The adversarials behind the worst case, stored so that anybody can check them again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robusteval import ops
from robusteval.assessment.evidence import proof
from robusteval.engine.run.tensors import Part, write_tensors
from robusteval.engine.source import Source, blocks
from robusteval.engine.units.store import UnitStore
from robusteval.errors import RecordError
from robusteval.record.run import Cell, Record, Rounded, Wins, Witness, Witnesses

FILE = "witnesses.safetensors"


def write(record: Record, units: UnitStore, samples: Source, folder: Path, size: int) -> Witnesses:
    """Writes folder/witnesses.safetensors: the clean samples, their labels, for each pipeline and norm the nearest
    adversarial of every sample that was lost, every other win as far as `proof.LIMIT` goes, and each attack's wins on
    the bare model, rounded to 8 bits. Images are read a chunk at a time. size: samples a
    unit."""
    shape = tuple(samples.x.shape[1:])
    found = _Found(units, size)
    nearest = proof.nearest(record)
    hashes: dict[str, list[str]] = {name: [] for name in nearest}
    parts = [
        Part(name, "float32", (len(places), *shape), partial(found.hashed, places, hashes[name]))
        for name, places in nearest.items()
    ]
    kept, _ = proof.wins(record, proof.LIMIT)
    cells = {cell.id: cell for cell in proof.attacked(record)}
    wins: list[Wins] = []
    for cell_id, chosen in kept.items():
        wins.append(Wins(cell_id, f"wins.{len(wins)}"))
        places = [(sample, cells[cell_id]) for sample in chosen]
        parts.append(Part(wins[-1].tensor, "float32", (len(places), *shape), partial(found.rows, places)))
    rounded: list[Rounded] = []
    for cell, chosen in proof.rounded(record):
        rounded.append(Rounded(cell.id, f"8bit.{len(rounded)}"))
        places = [(sample, cell) for sample in chosen]
        levels = partial(found.levels, places, samples.bounds)
        parts.append(Part(rounded[-1].tensor, "uint8", (len(places), *shape), levels))
    parts.append(Part("clean", "float32", (len(samples), *shape), partial(_clean, samples, size)))
    parts.append(Part("labels", "int64", (len(samples),), lambda: iter([samples.y.cpu().numpy()])))
    digest = write_tensors(folder / FILE, parts)
    entries = [
        _entry(record, name, number, sample, cell, hashes[name][number])
        for name, places in nearest.items()
        for number, (sample, cell) in enumerate(places)
    ]
    return Witnesses(FILE, digest, entries, rounded, wins, proof.LIMIT)


def _clean(samples: Source, size: int) -> Iterator[NDArray[Any]]:
    return (samples.x[rows].cpu().numpy() for rows in blocks(len(samples), size))


@dataclass(frozen=True)
class _Found:
    """The adversarials in finished units. size: samples a unit. What is asked for goes through the data in order, so
    only units of one chunk are held at once."""

    units: UnitStore
    size: int

    def rows(self, places: list[proof.Place]) -> Iterator[NDArray[Any]]:
        """The adversarials of these samples and cells, [n, *shape], a chunk at a time."""
        for chunk, some in groupby(places, key=lambda place: place[0] // self.size):
            held: dict[str, Tensor] = {}
            found = []
            for sample, cell in some:
                if cell.id not in held:
                    unit = self.units.load(cell.id, chunk)
                    if unit is None:
                        raise gone(cell, chunk)
                    held[cell.id] = unit.x
                found.append(held[cell.id][sample - chunk * self.size].numpy())
            yield np.stack(found)

    def hashed(self, places: list[proof.Place], hashes: list[str]) -> Iterator[NDArray[Any]]:
        """The same; notes the hash of each."""
        for rows in self.rows(places):
            hashes += [row_hash(row) for row in rows]
            yield rows

    def levels(self, places: list[proof.Place], bounds: tuple[float, float]) -> Iterator[NDArray[Any]]:
        """The same as images of levels 0 to 255."""
        for rows in self.rows(places):
            yield ops.to_levels(torch.from_numpy(rows), bounds, 255).numpy().astype(np.uint8)


def gone(cell: Cell, chunk: int) -> RecordError:
    """What to say of a unit that was there when its cell was put together."""
    return RecordError(
        f"Unit {chunk} of {cell.id} was removed or damaged while the run was at work.",
        "The same command makes it again and goes on.",
    )


def row_hash(row: NDArray[np.generic]) -> str:
    """sha256 of one stored sample's bytes."""
    return hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest()


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
