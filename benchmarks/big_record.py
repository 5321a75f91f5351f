"""How large a run's documents become, and how long they take, at 50,000 samples, 60 cells and 500 classes.

The record is made up, seeded, with distances as real runs have them; nothing is attacked. It is derived from as a run's
is (checks, metrics, verdict), saved, read and rendered, each in turn in this process.

    python benchmarks/big_record.py [--samples 50000] [--cells 60] [--classes 500] [--out benchmarks/out/big]
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robusteval.assessment.derive import derive
from robusteval.assessment.evidence.shown import shown
from robusteval.record import store
from robusteval.record.measured import Knowledge
from robusteval.record.measured.layout import SAMPLES_FILE
from robusteval.record.measured.per_sample import PerSample, numbers
from robusteval.record.measured.witness_rows import WitnessRows
from robusteval.record.run import (
    Cell,
    Data,
    Finding,
    Model,
    Picture,
    Pipeline,
    Record,
    Result,
    Strength,
    Suite,
    Witnesses,
)
from robusteval.report.write import REPORT_FILE, write_report, write_tables
from robusteval.verify.parts.derived import built_in

T = TypeVar("T")
Floats = NDArray[np.float64]
NORMS = {"l2": (1.2, 6.0), "linf": (0.01, 0.06)}  # median of the nearest adversarials, and as far as attacks look
DEFENSES = ("none", "bit-depth", "logit-odds", "smoothing")
STRENGTHS = 4


def column(values: NDArray[Any], known: NDArray[np.bool_] | None = None) -> list[Any]:
    """As the record of a run that was read has it."""
    return cast("list[Any]", PerSample(values, known))


def words(texts: list[str]) -> list[Any]:
    return cast("list[Any]", PerSample(np.arange(len(texts)), None, tuple(texts)))


class Maker:
    """Draws everything from one generator."""

    def __init__(self, samples: int, classes: int, seed: int) -> None:
        self.rng, self.samples, self.classes, self.seed = np.random.default_rng(seed), samples, classes, seed
        self.labels = self.rng.integers(classes, size=samples)
        self.margin = self.rng.lognormal(0.0, 0.6, samples)

    def record(self, cells: int) -> Record:
        digests = [hashlib.sha256(b"%d" % place).hexdigest()[:32] for place in range(self.samples)]
        data = Data(
            "made up", "benchmarks/big_record.py", "ab" * 32, self.samples, column(self.labels),
            column(self.rng.normal(120.0, 20.0, self.samples).clip(10)),
            names=words([f"val/{label:03d}/{place:05d}.png" for place, label in enumerate(self.labels.tolist())]),
            hashes=words(digests),
        )  # fmt: skip
        model = Model("big", "big.onnx", "onnx", "cd" * 32, [3, 224, 224], self.classes, [0.0, 1.0],
                      class_names=[f"class {number}" for number in range(self.classes)])  # fmt: skip
        pipelines = [self._pipeline(name) for name in DEFENSES]
        made = [self._cell(number, pipelines) for number in range(cells)]
        record = Record(
            {"name": "robusteval", "version": "0"}, "made up", self.seed, {"python": "3"}, model, data,
            Suite("made-up", "1", "", norms=list(NORMS)), "ef" * 32, pipelines, made,
            plugins=[{"distribution": "robusteval", "name": name, "kind": "metric", "version": metric.info.version}
                     for name, metric in built_in().items()],
        )  # fmt: skip
        record.witnesses = self._witnesses(record)
        record.gallery = [self._picture(sample, cell) for sample, cell in shown(record)]
        return record

    def _picture(self, sample: int, cell: Cell) -> Picture:
        """Noise, which is what a picture takes most room for."""
        label = int(self.labels[sample])
        clean, delta, adversarial = (self._noise() for _ in range(3))
        return Picture(
            sample, cell.id, cell.attack, "none", cell.norm, 1.0, label, label, 0.9, 0, 0.5, clean, delta, adversarial
        )

    def _noise(self) -> str:
        buffer = io.BytesIO()
        pixels = self.rng.integers(256, size=(224, 224, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
        return base64.b64encode(buffer.getvalue()).decode()

    def _pipeline(self, name: str) -> Pipeline:
        right = self.rng.random(self.samples) < 0.78
        answer = np.where(right, self.labels, (self.labels + 1) % self.classes)
        row = Pipeline(name, "" if name == "none" else name, "1", "preprocessor", {}, "done", "", column(answer),
                       column(answer), column(self.rng.beta(5, 1.5, self.samples)))  # fmt: skip
        if name == "logit-odds":
            row.kind, row.threshold, row.suspicion = "detector", 2.3, column(self.rng.normal(size=self.samples))
        if name == "smoothing":
            row.certified = column(np.where(right, 0.3 * self.margin, 0.0))
        return row

    def _cell(self, number: int, pipelines: list[Pipeline]) -> Cell:
        """Half of the cells attack the bare model; of the others every third is oblivious."""
        place = number // len(NORMS)
        norm = list(NORMS)[number % len(NORMS)]
        pipeline = pipelines[0 if place % 2 == 0 else 1 + (place // 2) % (len(DEFENSES) - 1)]
        knowledge: Knowledge = "none" if pipeline.defense == "none" else "oblivious" if place % 6 == 1 else "adaptive"
        family = "fixed" if place % 4 < 2 else "minimal"
        attack = f"attack-{place // 2 if knowledge == 'oblivious' else place}"
        half, eps = NORMS[norm]
        cell = Cell(f"{pipeline.defense}/{knowledge}/{attack}/{norm}", attack, f"attack-{place}", "1", {"steps": 100},
                    family, "gradient", pipeline.defense, knowledge, norm, "curve", eps, status="done")  # fmt: skip
        cell.forwards = column(self.rng.integers(90, 110, self.samples))
        cell.backwards = column(self.rng.integers(90, 110, self.samples))
        cell.blind = column(np.zeros(self.samples, np.int64))
        if knowledge == "oblivious":
            cell.strengths = [self._strength(pipeline, half * step) for step in range(1, STRENGTHS + 1)]
            return cell
        right = numbers(pipeline.prediction) == self.labels
        distance = np.where(right, half * self.margin * self.rng.lognormal(0.2, 0.15, self.samples), 0.0)
        lost = distance <= eps
        known = lost & right
        l2 = distance * (1.0 if norm == "l2" else 300.0)
        cell.distance, cell.l2 = column(distance * lost, lost), column(l2 * lost, lost)
        flip = (self.labels + self.rng.integers(1, self.classes, self.samples)) % self.classes
        cell.prediction = column(np.where(known, flip, 0), known)
        cell.survives_8bit = column(known & (self.rng.random(self.samples) < 0.9), known)
        if pipeline.kind == "detector":
            cell.suspicion = column(np.where(known, self.rng.normal(1.4, 0.6, self.samples), 0.0), known)
        return cell

    def _strength(self, pipeline: Pipeline, strength: float) -> Strength:
        fools = self.rng.random(self.samples) < 0.8
        hit = fools & (self.rng.random(self.samples) < 0.4)
        answer = np.where(hit, (self.labels + 1) % self.classes, numbers(pipeline.prediction).astype(np.int64))
        score = self.rng.normal(1.0, 1.0, self.samples) if pipeline.kind == "detector" else np.zeros(0)
        return Strength(strength, strength, strength, column(fools), column(answer), column(score))

    def _witnesses(self, record: Record) -> Witnesses:
        """The nearest adversarial of every pipeline and norm, as a run stores them."""
        from robusteval.assessment.evidence import proof

        rows: list[tuple[Any, ...]] = []
        for tensor, places in proof.nearest(record).items():
            for row, (sample, cell) in enumerate(places):
                digest = hashlib.sha256(f"{tensor} {row}".encode()).hexdigest()
                rows.append((cell.id, cell.defense, cell.norm, sample, self.labels[sample], cell.distance[sample],
                             cell.prediction[sample], tensor, row, digest))  # fmt: skip
        names = ("cell", "defense", "norm", "sample", "label", "distance", "prediction", "tensor", "row", "sha256")
        columns = {name: _packed(list(values)) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
        return Witnesses("witnesses.safetensors", "12" * 32, cast("list[Any]", WitnessRows(columns)))


def _packed(values: list[Any]) -> PerSample:
    if not isinstance(values[0], str):
        return PerSample(np.asarray(values, np.float64 if isinstance(values[0], float) else np.int64))
    known = {text: place for place, text in enumerate(dict.fromkeys(values))}
    return PerSample(np.asarray([known[text] for text in values]), None, tuple(known))


def derived(record: Record) -> None:
    """What follows from the columns, as in a run."""

    def figures(partial: Record) -> tuple[list[Result], list[Finding]]:
        return [result for metric in built_in().values() for result in metric().compute(partial)], []

    derive(record, figures, [], labels_from_model=False, looked=[])


def timed(what: str, call: Callable[[], T]) -> T:
    since, spent = time.perf_counter(), time.process_time()
    made = call()
    wall, cpu = time.perf_counter() - since, time.process_time() - spent
    sys.stdout.write(f"{what:24} {wall:8.2f} s {cpu:8.2f} s of the processor\n")
    sys.stdout.flush()
    return made


def main() -> None:
    """Prints seconds and sizes."""
    parser = argparse.ArgumentParser(description="Sizes and seconds of a large run's documents.")
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--classes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/big"))
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    record = timed("made up", lambda: Maker(given.samples, given.classes, given.seed).record(given.cells))
    timed("derived", lambda: derived(record))
    timed("saved", lambda: store.save(record, given.out))
    timed("tables as CSV", lambda: write_tables(record, given.out))
    loaded = timed("read", lambda: store.load(given.out))
    timed("rendered", lambda: write_report(loaded, given.out / REPORT_FILE))
    if store.digest(loaded) != store.digest(record):
        raise SystemExit("what was read is not what was saved")
    for name in (store.RECORD_FILE, SAMPLES_FILE, REPORT_FILE):
        sys.stdout.write(f"{name:24} {(given.out / name).stat().st_size / 1e6:8.2f} MB\n")


if __name__ == "__main__":
    main()
