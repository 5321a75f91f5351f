"""Made-up runs of versions of one model on the same 500 images: one latent difficulty, and noise of each training."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from robusteval.assessment import findings, verdict
from robusteval.finished.paired.runs import Finished, of
from robusteval.metrics.accuracy_curve import AccuracyCurve
from robusteval.record.run import Cell, Data, Model, Pipeline, Record, Suite

N = 500
EPS = 8 / 255
CLASSES = 10


def version(training: int, lost: int = 0, samples: int = N, noise: float = 0.1) -> Record:
    """A run of the model as this training made it. lost: of the images that hold at Linf 8/255, so many are lost at
    half of it, as a regression would have it."""
    latent = np.random.default_rng(11)
    labels = latent.integers(CLASSES, size=samples)
    margin = latent.lognormal(np.log(EPS), 0.6, samples)
    hard = latent.random(samples)
    rng = np.random.default_rng(1000 + training)
    distance = margin * np.exp(noise * rng.normal(size=samples))
    holding = np.flatnonzero(distance > EPS)
    distance[rng.permutation(holding)[:lost]] = EPS / 2
    right = hard + 0.01 * rng.normal(size=samples) < 0.95
    answers = np.where(right, labels, (labels + 1) % CLASSES)
    distance = np.where(right, distance, 0.0)
    model = Model("net", "net.onnx", "onnx", f"{training:064d}", [1, 4, 4], CLASSES, [0.0, 1.0])
    hashes = [hashlib.sha256(str(place).encode()).hexdigest()[:32] for place in range(samples)]
    names = [f"{place}.png" for place in range(samples)]
    data = Data("digits", "d.npz", "1" * 64, samples, labels.tolist(), [1.0] * samples, names=names, hashes=hashes)
    bare = Pipeline("none", "", "", "model", {}, "done", prediction=answers.tolist(), label=answers.tolist())
    suite = Suite("quick", "1", "ab" * 32, norms=["linf", "l2"], attacks_sha256="cd" * 32)
    cells = [
        _cell(name, norm, distance * scale * far)
        for norm, scale in (("linf", 1.0), ("l2", 12.0))
        for name, far in (("fgsm", 1.5), ("pgd", 1.1), ("apgd", 1.0))
    ]
    record = Record({"name": "robusteval"}, "", training, {}, model, data, suite, "12" * 32, [bare], cells)
    return derived(record)


def _cell(name: str, norm: str, distance: np.ndarray) -> Cell:
    column: list[float | None] = [float(value) for value in distance]
    ones = [10] * distance.size
    return Cell(
        f"none/{name}/{norm}", name, name, "1", {}, "fixed", "gradient", "none", "none", norm, "curve",
        {"linf": 0.5, "l2": 10.0}[norm], status="done", distance=column, l2=list(column), forwards=ones,
        backwards=ones, sha256="ef" * 32,
    )  # fmt: skip


def derived(record: Record) -> Record:
    """The record with what follows from its columns."""
    record.checks, record.findings = findings.examine(record, False)
    record.results = list(AccuracyCurve().compute(record))
    record.verdict = verdict.write(record)
    return record


def shuffled(record: Record, seed: int = 3) -> Record:
    """The same run with its images in another order."""
    order = np.random.default_rng(seed).permutation(record.data.samples)

    def moved(column: list) -> list:  # type: ignore[type-arg]  # of whatever it holds
        return [column[place] for place in order] if len(column) == order.size else column

    for row in (record.data, record.pipelines[0], *record.cells):
        for name, value in vars(row).items():
            if isinstance(value, list):
                setattr(row, name, moved(value))
    return derived(record)


def run(key: str, record: Record) -> Finished:
    return of(key, Path(key), record)
