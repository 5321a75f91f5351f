"""Several models on the same data: whether they may be compared, and what their records say together."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import robusteval
from robusteval.assessment.references.several import derive
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.comparison.transfer_matrix import Fighter, moved, transfer
from robusteval.engine.plan.job import Job, plan_of
from robusteval.engine.source import blocks
from robusteval.engine.threads import one_thread
from robusteval.errors import DataError, ModelError
from robusteval.plain import read_plain
from robusteval.record.comparison import Comparison, Entry, keys, save
from robusteval.record.run import Record
from robusteval.record.store import RECORD_FILE

__all__ = ["Contender", "check_comparable", "compare", "default_folder", "keys", "mark_of_all", "plan_of_all"]


@dataclass(frozen=True)
class Contender:
    """A model's job and, once it has run, its record."""

    key: str
    job: Job
    record: Record


def check_comparable(jobs: Sequence[Job]) -> None:
    """Raises ModelError where models take other inputs or know other classes, DataError where they see other
    samples."""
    first = jobs[0]
    for job in jobs[1:]:
        one, two = first.model.info, job.model.info
        if one.input_shape != two.input_shape or one.classes != two.classes:
            shapes = [
                f"{Path(j.model_file).name} takes {_shape(j)} and knows {j.model.info.classes} classes"
                for j in (first, job)
            ]
            raise ModelError(
                f"These models cannot be compared: {', '.join(shapes)}.",
                "Give models of one input shape and one number of classes, or run them one by one.",
            )
        if first.labels_from_model or job.labels_from_model:
            raise DataError(
                "With --labels model every model has labels of its own, so several cannot be compared.",
                "Give true labels.",
            )
        same = len(first.samples) == len(job.samples) and bool((first.samples.y == job.samples.y).all())
        if not same or not _same_pixels(first, job):
            raise DataError(
                f"{Path(first.model_file).name} and {Path(job.model_file).name} would be evaluated on different "
                "samples.",
                "Give --data for all of them and, where their pixel ranges differ and the data are floats, "
                "--data-range.",
            )


def _shape(job: Job) -> str:
    return "x".join(map(str, job.model.info.input_shape))


def _same_pixels(first: Job, other: Job) -> bool:
    """Whether the samples are the same but for the range that each model wants."""
    low, high = first.samples.bounds
    for rows in blocks(len(first.samples)):
        carried = moved(other.samples.x[rows], other.samples.bounds, first.samples.bounds)
        if not bool(torch.isclose(first.samples.x[rows], carried, rtol=0, atol=1e-5 * (high - low)).all()):
            return False
    return True


def default_folder(root: Path, jobs: Sequence[Job]) -> Path:
    """Where several models' runs go unless told; the same plans in the same order give the same folder."""
    return root / f"{len(jobs)}-models-{jobs[0].suite.name}-{plan_of_all(jobs)[:8]}"


def mark_of_all(jobs: Sequence[Job]) -> str:
    """The hash that a folder of these models carries: the same in whatever order they are given."""
    return hashlib.sha256("".join(sorted(plan_of(job).sha256 for job in jobs)).encode()).hexdigest()


def plan_of_all(jobs: Sequence[Job]) -> str:
    """The hash of several models' plans, in order."""
    return hashlib.sha256("".join(plan_of(job).sha256 for job in jobs).encode()).hexdigest()


def compare(contenders: Sequence[Contender], catalogue: Catalogue, folder: Path) -> Comparison:
    """Carries adversarials from model to model, derives what the records say together, and saves the document."""
    job = contenders[0].job
    with one_thread():
        fighters = [Fighter(contender.key, contender.job.model, contender.job.samples) for contender in contenders]
        matrix = transfer(fighters, job.suite, catalogue, job.seed, folder)
    record = contenders[0].record
    comparison = Comparison(
        tool={"name": "robusteval", "version": robusteval.__version__},
        command=job.command,
        seed=job.seed,
        suite=record.suite,
        data=record.data,
        models=[_entry(contender, folder) for contender in contenders],
        transfer=matrix,
    )
    comparison.results = derive([(contender.key, contender.record) for contender in contenders])
    save(comparison, folder)
    return comparison


def _entry(one: Contender, folder: Path) -> Entry:
    model = one.record.model
    digest = hashlib.sha256(read_plain(folder / one.key / RECORD_FILE)).hexdigest()
    failed = sum(cell.status == "failed" for cell in one.record.cells)
    grade = one.record.verdict.grade if one.record.verdict is not None else ""
    return Entry(one.key, model.name, model.file, model.sha256, list(model.bounds), digest, grade, failed)
