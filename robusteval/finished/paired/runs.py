"""Finished runs on the same images: reading them, and whether they may be held against each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError
from robusteval.finished.images import Images
from robusteval.finished.paired.document import RunFacts
from robusteval.metrics._common import columns
from robusteval.metrics._common.statistics import share
from robusteval.record.comparison import is_comparison, keys
from robusteval.record.run import Cell, Pipeline, Record
from robusteval.record.store import digest, load
from robusteval.record.units import budget_text, norm_width

Places = NDArray[np.int64]


@dataclass(frozen=True)
class Finished:
    """A run as it was read. rows [n]: the places in it of the images that are compared; all of them at first."""

    key: str
    folder: Path
    record: Record
    rows: Places

    @property
    def bare(self) -> Pipeline:
        """The bare model's clean answers."""
        return self.record.pipeline(columns.BARE)

    @property
    def right(self) -> NDArray[np.bool_]:
        """[n] whether each image is right when clean."""
        found: NDArray[np.bool_] = columns.right_when_clean(self.record, self.bare)[self.rows]
        return found

    def cells(self, norm: str) -> list[Cell]:
        """The finished attacks on the bare model in a norm."""
        return columns.attack_cells(self.record, norm, columns.BARE)

    def distances(self, norm: str, attacks: set[str]) -> NDArray[np.float64]:
        """[n] the worst case over these attacks, as shares of the pixel range (l0: pixels); inf: never lost, 0: wrong
        when clean."""
        right = columns.right_when_clean(self.record, self.bare)
        worst = columns.worst_case([cell for cell in self.cells(norm) if cell.attack in attacks], right)
        if worst is None:
            raise RecordError(f"The run {self.key} finished no attack in {norm}.")
        return worst.distance[self.rows] / norm_width(norm, self.record.model.bounds)

    @property
    def images(self) -> Images:
        """Its stored images."""
        return Images(self.record, self.folder)

    @property
    def facts(self) -> RunFacts:
        """What is said of it."""
        record = self.record
        suite = f"{record.suite.name} {record.suite.version}"
        verdict, model = record.verdict, record.model
        return RunFacts(
            self.key, str(self.folder), model.name, model.file, model.sha256, digest(record), suite, record.seed,
            verdict.status if verdict is not None else "", verdict.grade if verdict is not None else "",
        )  # fmt: skip


def read(paths: Sequence[Path]) -> list[Finished]:
    """The runs in these folders, each with a name of its own. Raises RecordError."""
    opened = []
    for path in paths:
        if is_comparison(path):
            raise RecordError(f"{path} is a run of several models.", "Give the folders of single models inside it.")
        opened.append(of("", path, load(path)))
    return named(opened)


def named(runs: Sequence[Finished]) -> list[Finished]:
    """The runs with keys that differ: the names of their folders, numbered where two are the same."""
    names = keys([f"{run.folder.resolve().name}.run" for run in runs])  # a name's own dots stay
    return [replace(run, key=key) for run, key in zip(runs, names, strict=True)]


def folder_of(path: Path) -> Path:
    """The folder of a run that is named by its folder or by its record.json."""
    return path if path.is_dir() else path.parent


def of(key: str, path: Path, record: Record) -> Finished:
    """A run that was read already. Raises RecordError where there is nothing to compare."""
    bare = next((pipeline for pipeline in record.pipelines if pipeline.defense == columns.BARE), None)
    if bare is None or bare.status != "done" or len(bare.prediction) != record.data.samples or not bare.prediction:
        raise RecordError(f"The run {path} has no clean answers of the bare model, so it cannot be compared.")
    return Finished(key, folder_of(path), record, np.arange(record.data.samples))


def apart(first: Record, second: Record) -> list[str]:
    """Why two runs are not of the same question, a sentence each; empty where they are."""
    reasons = []
    if first.model.input_shape != second.model.input_shape or first.model.classes != second.model.classes:
        shapes = [f"{'x'.join(map(str, r.model.input_shape))} and {r.model.classes} classes" for r in (first, second)]
        reasons.append(f"The models take other inputs or know other classes: {shapes[0]}, and {shapes[1]}.")
    if not same_images(first, second):
        common = len(set(first.data.hashes) & set(second.data.hashes))
        told = f"; {common} images are in both" if first.data.hashes and second.data.hashes else ""
        reasons.append(
            f"They saw other images or labels: {first.data.samples} of {first.data.name}, and {second.data.samples} of "
            f"{second.data.name}{told}."
        )
    suites = [record.suite for record in (first, second)]
    hashes = (suites[0].attacks_sha256, suites[1].attacks_sha256)
    return reasons + attacks_apart(hashes, [f"{suite.name} {suite.version}" for suite in suites])


def attacks_apart(hashes: tuple[str, str], suites: Sequence[str]) -> list[str]:
    """Why what was asked of the bare models differs: by the hash of all that decides their distances. suites: name and
    version of each."""
    one, two = hashes
    if one == two and one:
        return []
    if not one or not two:
        return ["A run does not say by a hash which attacks it made, as the oldest records do not."]
    if suites[0] == suites[1]:
        return [f"Both ran the suite {suites[0]}, with other attacks, parameters, budgets or targets."]
    return [f"They were attacked otherwise: by the suite {suites[0]}, and by {suites[1]}."]


def same_images(first: Record, second: Record) -> bool:
    """Whether both saw the same images with the same labels, in any order."""
    if first.data.hashes and second.data.hashes:
        return sorted(first.data.hashes) == sorted(second.data.hashes)
    same = list(first.data.labels) == list(second.data.labels)
    return same and bool(first.data.sha256) and first.data.sha256 == second.data.sha256


def aligned(first: Finished, second: Finished) -> Finished:
    """The second run in the order of the first one's images. Both saw the same ones."""
    one, two = first.record.data.hashes, second.record.data.hashes
    if not one or not two or list(one) == list(two):
        return second
    here = np.argsort(np.asarray(one, dtype=str), kind="stable")
    there = np.argsort(np.asarray(two, dtype=str), kind="stable")
    rows = np.empty(len(here), dtype=np.int64)
    rows[here] = there
    return replace(second, rows=rows)


def nearest_said(first: Finished, second: Finished) -> list[str]:
    """What can be said of two runs that are not comparable: each one's own figures, side by side and unpaired."""
    said = []
    for run in (first, second):
        clean = share(int(run.right.sum()), run.right.size)
        lines = [f"{run.key}: clean accuracy {_share(clean.value, clean.low, clean.high)}"]
        for norm in columns.NORMS:
            cells = run.cells(norm)
            eps = columns.reference_budget(run.record, norm, columns.budgets(run.record, norm, cells), cells)
            worst = columns.worst_case(cells, columns.right_when_clean(run.record, run.bare))
            if worst is None or eps is None:
                continue
            left = share(int(columns.beyond(worst.distance, eps).sum()), worst.distance.size)
            at = budget_text(eps, norm, columns.span(run.record))
            lines.append(f"at {norm} {at} {_share(left.value, left.low, left.high)}")
        said.append("; ".join(lines) + ".")
    if same_images(first.record, second.record):
        said.append("Both saw the same images, so clean accuracies are compared image by image.")
    twins = sorted(_twins(first.record) & _twins(second.record))
    if twins and same_images(first.record, second.record):
        listed = ", ".join(f"{name} in {norm}" for name, norm, _ in twins)
        said.append(
            f"Attacks of the same version and parameters in both, whose budgets and search may differ: {listed}."
        )
    return said


def _twins(record: Record) -> set[tuple[str, str, str]]:
    """Finished attacks on the bare model by name, norm and hash of their parameters."""
    done = record.done(knowledge="none", defense=columns.BARE)
    return {(cell.attack, cell.norm, cell.sha256) for cell in done if cell.sha256}


def _share(value: float | None, low: float | None, high: float | None) -> str:
    if value is None or low is None or high is None:
        return "not measured"
    return f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
