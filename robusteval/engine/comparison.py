"""Several models on the same data: whether they may be compared, and what their records say together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

import robusteval
from robusteval.engine.catalogue import Catalogue
from robusteval.engine.executors import one_thread
from robusteval.engine.job import Job, plan_of
from robusteval.engine.known import known
from robusteval.engine.transfer import Fighter, moved, transfer
from robusteval.errors import DataError, ModelError
from robusteval.record.comparison import Comparison, Entry, save
from robusteval.record.document import Curve, Point, Record, Result, Scalar
from robusteval.record.store import RECORD_FILE

NAME = "comparison"


@dataclass(frozen=True)
class Contender:
    """A model's job and, once it has run, its record."""

    key: str
    job: Job
    record: Record


def keys(files: Sequence[str]) -> list[str]:
    """A short, safe and unique name for each file, in order: its stem, numbered where two are the same."""
    made: list[str] = []
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(file).stem).lstrip(".-")[:60] or "model"
        key, count = stem, 2
        while key.lower() in {one.lower() for one in made}:
            key, count = f"{stem}-{count}", count + 1
        made.append(key)
    return made


def check_comparable(jobs: Sequence[Job]) -> None:
    """Raises ModelError where models take other inputs or know other classes, DataError where they see other samples."""
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
                f"{Path(first.model_file).name} and {Path(job.model_file).name} would be evaluated on different samples.",
                "Give --data for all of them and, where their pixel ranges differ and the data are floats, --data-range.",
            )


def _shape(job: Job) -> str:
    return "x".join(map(str, job.model.info.input_shape))


def _same_pixels(first: Job, other: Job) -> bool:
    """Whether the samples are the same but for the range that each model wants."""
    low, high = first.samples.bounds
    carried = moved(other.samples.x, other.samples.bounds, first.samples.bounds)
    return bool(torch.isclose(first.samples.x, carried, rtol=0, atol=1e-5 * (high - low)).all())


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
        fighters = [Fighter(one.key, one.job.model, one.job.samples) for one in contenders]
        matrix = transfer(fighters, job.suite, catalogue, job.seed, folder)
    record = contenders[0].record
    made = Comparison(
        tool={"name": "robusteval", "version": robusteval.__version__},
        command=job.command,
        seed=job.seed,
        suite=record.suite,
        data=record.data,
        models=[_entry(one, folder) for one in contenders],
        transfer=matrix,
    )
    made.results = derive([(one.key, one.record) for one in contenders])
    save(made, folder)
    return made


def _entry(one: Contender, folder: Path) -> Entry:
    model = one.record.model
    digest = hashlib.sha256((folder / one.key / RECORD_FILE).read_bytes()).hexdigest()
    failed = sum(cell.status == "failed" for cell in one.record.cells)
    grade = one.record.verdict.grade if one.record.verdict is not None else ""
    return Entry(one.key, model.name, model.file, model.sha256, list(model.bounds), digest, grade, failed)


def derive(records: Sequence[tuple[str, Record]]) -> list[Result]:
    """The table of models, for each norm the worst case and each attack with one line a model, and the models among known
    ones. Distances are shares of each model's pixel range (l0: pixels), as ranges may differ."""
    pairs: dict[tuple[str, str, str], list[Curve]] = {}
    for key, record in records:
        for result in record.results:
            if result.metric != "accuracy-curve" or result.kind != "curves" or result.tags.get("defense") != "none":
                continue
            for curve in result.curves:
                role = str(curve.tags.get("role"))
                if role in ("attack", "worst"):
                    attack = str(curve.tags.get("attack", "")) if role == "attack" else ""
                    at = (str(result.tags.get("norm")), role, attack)
                    pairs.setdefault(at, []).append(_scaled(key, record, curve, at))
    order = {"l2": 0, "linf": 1, "l1": 2, "l0": 3}
    listed = sorted(pairs.items(), key=lambda item: (item[0][1] != "worst", order.get(item[0][0], 9)))
    curves = [_one_attack(norm, role, attack, lines) for (norm, role, attack), lines in listed]
    return [_models(records), *curves, *known(records, NAME)]


def _one_attack(norm: str, role: str, attack: str, lines: list[Curve]) -> Result:
    who = "Worst case over attacks" if role == "worst" else attack
    unit = "pixels changed" if norm == "l0" else "share of the pixel range"
    return Result(
        NAME, f"models/{norm}/{role}/{attack}", "curves", f"{who}, {norm}",
        "One line a model, on the same samples.", tags={"norm": norm, "role": role, "attack": attack},
        x_title=f"Distance in {norm} ({unit})", y_title="Accuracy", curves=lines,
    )  # fmt: skip


def _width(record: Record, norm: str) -> float:
    low, high = record.model.bounds
    return 1.0 if norm == "l0" else high - low


def _scaled(key: str, record: Record, curve: Curve, at: tuple[str, str, str]) -> Curve:
    width = _width(record, at[0])
    points = [Point(point.x / width, point.y, point.low, point.high) for point in curve.points]
    return Curve(key, points, at[0], {"model": key, "attack": at[2], "norm": at[0], "role": at[1]})


def _models(records: Sequence[tuple[str, Record]]) -> Result:
    """One row a model: clean accuracy, accuracy at each reference budget, median distances, rho_adv."""
    columns = ["Model", "Clean accuracy", "Clean low", "Clean high"]
    norms = list(dict.fromkeys(cell.norm for _, record in records for cell in record.done(knowledge="none")))
    names = [(norm, f"Accuracy at {norm}") for norm in norms]
    rows: list[list[Scalar]] = []
    for key, record in records:
        clean = _scalar(record, "clean-accuracy", {})
        row: list[Scalar] = [key]
        row += [clean.value, clean.low, clean.high] if clean is not None else [None, None, None]
        for norm, _ in names:
            width = _width(record, norm)
            robust = _scalar(record, "robust-accuracy", {"norm": norm, "reference": True})
            eps = robust.tags.get("eps") if robust is not None else None
            row += [eps / width if isinstance(eps, int | float) else None, robust.value if robust is not None else None]
            median = _scalar(record, "median-distance", {"norm": norm, "attack": "worst case"})
            row.append(median.value / width if median is not None and median.value is not None else None)
        rho = _scalar(record, "rho-adv", {"key": "worst"})
        row += [rho.value if rho is not None else None, record.verdict.grade if record.verdict is not None else None]
        rows.append(row)
    for norm, name in names:
        columns += [f"Budget {norm}", name, f"Median {norm}"]
    return Result(
        NAME, "models", "table", "The models side by side",
        "Worst case over attacks on the bare model. Budgets and distances are shares of each model's pixel range (l0: pixels). "
        "rho_adv: mean of ||delta||_2 / ||x||_2, which depends on where the range starts.",
        columns=[*columns, "rho_adv", "Trust grade"], rows=rows,
    )  # fmt: skip


def _scalar(record: Record, measure: str, tags: dict[str, Scalar]) -> Result | None:
    wanted = tags | {"measure": measure, "defense": "none"}
    return next(
        (
            one
            for one in record.results
            if one.kind == "scalar" and all(one.tags.get(name) == value for name, value in wanted.items())
        ),
        None,
    )
