"""A tiny run with its proof, made up: six samples of four pixels, a model that counts bright ones, five cells."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from robusteval.assessment.evidence import proof
from robusteval.record.measured import Knowledge
from robusteval.record.run import Cell, Data, Model, Pipeline, Record, Rounded, Suite, Wins, Witness, Witnesses
from robusteval.verify.parts.clean import contents
from robusteval.verify.parts.evidence import Array, Evidence
from tests.sure import sure

SHAPE = (1, 2, 2)
LABELS = [0, 0, 1, 2, 0, 1]
BRIGHT = [0, 0, 1, 2, 0, 2]  # how many pixels are bright: the last sample is answered wrong
RIGHT = range(5)


def counted(x: Array) -> Array:
    """The class: how many pixels are above .5, two at most; -1 where a pixel is above .99."""
    flat = x.reshape(len(x), -1)
    return np.where((flat > 0.99).any(axis=1), -1, np.minimum((flat > 0.5).sum(axis=1), 2)).astype(np.int64)


@dataclass
class Counting:
    """The model, and how often it was asked."""

    asked: list[int] = field(default_factory=list)

    def labels(self, x: Array) -> Array:
        self.asked.append(len(x))
        return counted(x)

    def scores(self, x: Array) -> Array:
        """ln 2 on top of the others, so that its confidence is one half; NaN where it has no answer."""
        found = counted(x)
        scores = np.zeros((len(x), 3), np.float32)
        scores[np.arange(len(x)), np.maximum(found, 0)] = np.log(2)
        return np.where((found < 0)[:, None], np.float32(np.nan), scores)


def clean() -> Array:
    x: Array = np.full((6, *SHAPE), 0.25, np.float32)
    for sample, bright in enumerate(BRIGHT):
        x[sample].reshape(-1)[:bright] = 0.75
    return x


def adversarial(sample: int, step: float) -> Array:
    """The first dark pixel as bright as .25 + step; of a sample with two bright ones the first as dark as .75 -
    step."""
    x: Array = clean()[sample].copy()
    flat = x.reshape(-1)
    if BRIGHT[sample] == 2:
        flat[0] -= np.float32(step)
    else:
        flat[BRIGHT[sample]] += np.float32(step)
    return x


def cell(name: str, steps: list[float | None], norm: str = "l2", **more: Any) -> tuple[Cell, dict[int, Array]]:
    """A cell whose wins change one pixel by so much, and its images; never where the step is None."""
    defense = str(more.get("defense", "none"))
    knowledge: Knowledge = "none" if defense == "none" else "adaptive"
    images = {n: adversarial(n, step) for n, step in enumerate(steps) if step is not None}
    x = clean()
    made = Cell(
        f"{defense}/{name}/{norm}", name, name, "1", {}, "fixed", "gradient", defense, knowledge, norm, "curve", 0.75,
        status="done",
    )  # fmt: skip
    delta = {n: np.abs(image.astype(np.float64) - x[n].astype(np.float64)).ravel() for n, image in images.items()}
    l2 = {n: float(np.sqrt((d**2).sum())) for n, d in delta.items()}
    made.l2 = [l2.get(n) for n in RIGHT] + [0.0]
    size = {
        "l2": l2,
        "linf": {n: float(d.max()) for n, d in delta.items()},
        "l1": {n: float(d.sum()) for n, d in delta.items()},
    }
    made.distance = [size[norm].get(n) for n in RIGHT] + [0.0]
    made.prediction = [int(counted(images[n][None])[0]) if n in images else None for n in RIGHT] + [None]
    made.survives_8bit = [*(True if n in images else None for n in RIGHT), None]
    for field_name, value in more.items():
        setattr(made, field_name, value)
    return made, images


def tiny() -> tuple[Record, Evidence, dict[str, dict[int, Array]]]:
    """(the record, its evidence, the images by cell and sample)."""
    rows = [
        cell("pgd", [0.5, 0.5, 0.5, 0.5, None]),
        cell("ddn", [0.375, 0.625, 0.375, None, None]),
        cell("pgd", [0.5, 0.5, None, 0.5, 0.5], "linf"),
        cell("pgd", [0.5, 0.5, 0.5, 0.5, 0.5], "l1"),
        cell("pgd", [0.5, None, 0.5, 0.5, 0.5], defense="d"),
    ]
    x = clean()
    answers = counted(x).tolist()
    data = Data("d", "d", "", 6, list(LABELS), [float(np.sqrt((image.astype(np.float64) ** 2).sum())) for image in x])
    bounds = [0.0, 1.0]
    digest = hashlib.sha256(repr((tuple(x.shape), (0.0, 1.0))).encode())
    digest.update(x.tobytes() + np.asarray(LABELS, np.int64).tobytes())
    data.sha256, data.hashes = digest.hexdigest(), contents(x, np.asarray(LABELS), bounds)
    bare = Pipeline("none", "", "", "model", {}, "done", "", answers, list(answers), [0.5] * 6)
    behind = Pipeline("d", "d", "1", "preprocessor", {}, "done", "", list(answers))
    record = Record(
        {"name": "robusteval"}, "", 0, {}, Model("m", "m.onnx", "onnx", "0" * 64, list(SHAPE), 3, bounds), data,
        Suite("s", "1", ""), "", [bare, behind], [cell for cell, _ in rows],
    )  # fmt: skip
    images = {cell.id: kept for cell, kept in rows}
    return record, stored_for(record, images), images


def stored_for(record: Record, images: dict[str, dict[int, Array]]) -> Evidence:
    """What the run writes for these columns, and the record's account of it."""
    tensors: dict[str, Array] = {"clean": clean(), "labels": np.asarray(LABELS, np.int64)}
    entries = []
    for name, places in proof.nearest(record).items():
        tensors[name] = np.stack([images[cell.id][sample] for sample, cell in places])
        for row, (sample, pipeline) in enumerate(places):
            digest = hashlib.sha256(np.ascontiguousarray(tensors[name][row]).tobytes()).hexdigest()
            entries.append(
                Witness(name, row, sample, pipeline.id, pipeline.defense, pipeline.norm,
                        sure(pipeline.distance[sample]), LABELS[sample], sure(pipeline.prediction[sample]), digest)
            )  # fmt: skip
    wins = []
    for place, (key, samples) in enumerate(proof.wins(record, proof.LIMIT)[0].items()):
        tensors[f"wins.{place}"] = np.stack([images[key][sample] for sample in samples])
        wins.append(Wins(key, f"wins.{place}"))
    rounded = []
    for pipeline, samples in proof.rounded(record):
        name = f"rounded.{pipeline.id}"
        tensors[name] = np.stack([np.round(images[pipeline.id][n] * 255).astype(np.uint8) for n in samples])
        rounded.append(Rounded(pipeline.id, name))
    record.witnesses = Witnesses("w.safetensors", "ab" * 32, entries, rounded, wins, proof.LIMIT)
    return Evidence(Path(), tensors, "ab" * 32, Counting())
