"""Building a reference set: each known model under the attacks of one suite, as a run of its own that can be
re-checked."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

import robusteval
from robusteval.assessment.evidence.worst_case import envelope
from robusteval.contracts.classifier import Classifier, ModelInfo
from robusteval.contracts.guard import lending
from robusteval.contracts.params import make
from robusteval.engine.catalogue.catalogue import Catalogue
from robusteval.engine.plan.job import Job
from robusteval.engine.seeding import generator
from robusteval.engine.source import Source
from robusteval.engine.state import guest
from robusteval.engine.suite.suite import DefenseSpec, Suite
from robusteval.errors import PluginError, RecordError
from robusteval.record.reference_set import ReferenceSet
from robusteval.record.run import Cell, Record, Reference, ReferenceColumn
from robusteval.record.units import norm_width

_SHARE_DIGITS = 9  # of distances; float32 has no more


@dataclass(frozen=True)
class Wanted:
    """One model of the set to be. defense: a plugin around it, attacked by those who know it, with these parameters;
    exact: parameters under which its attackers are given the exact, useless gradient; draws: of a random defence at
    each query of an attack; limit: so many images."""

    name: str
    path: str
    about: str = ""
    defense: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    exact: dict[str, Any] = field(default_factory=dict)
    draws: int = 1
    limit: int | None = None


def attacks_only(suite: Suite) -> Suite:
    """The suite without its defences, which say nothing about the bare model, and without its probes, which change no
    distance."""
    summary = f"The attacks of suite {suite.name}, without its defences and probes."
    return replace(suite, defenses=(), probe_samples=0, summary=summary)


def defended(suite: Suite, request: Wanted) -> Suite:
    """The suite with all its attacks on this one defence, by those who know it."""
    names = (*(spec.name for spec in suite.attacks), *(spec.name for spec in suite.cascades))
    spec = DefenseSpec(
        plugin=request.defense,
        name=request.name,
        params=request.params,
        oblivious=(),
        adaptive=names,
        draws=request.draws,
    )
    return replace(attacks_only(suite), defenses=(spec,), summary=f"The attacks of suite {suite.name} on one defence.")


@dataclass(frozen=True)
class Masked:
    """A defended model as a model of its own; its name keeps its units apart from those of other parameters."""

    inner: Classifier
    info: ModelInfo

    def logits(self, x: Tensor) -> Tensor:
        return self.inner.logits(x)

    def twin(self, x: Tensor) -> Tensor:
        return self.inner.twin(x)


def jobs(request: Wanted, job: Job, root: Path) -> tuple[Job, Job | None]:
    """(the run that tells the truth, the one with exact gradients or None), each in a folder of its own under root.

    job: of the bare model with the whole suite. Raises PluginError.
    """
    suite = defended(job.suite, request) if request.defense else attacks_only(job.suite)
    true = replace(job, suite=suite, folder=root / request.name)
    if not request.exact:
        return true, None
    blind = masked(job.model, job.fit, request, job.catalogue, job.seed)
    return true, replace(
        job, model=blind, suite=attacks_only(job.suite), folder=root / f"{request.name}-exact", preflight=()
    )


def masked(model: Classifier, fit: Source | None, request: Wanted, catalogue: Catalogue, seed: int) -> Classifier:
    """The defended model as a model of its own, with the gradient that it has under the parameters of `exact`.

    Raises PluginError where the defence is random or has a detector, which a bare model cannot be.
    """
    plugin = make(catalogue.get("defense", request.defense), request.params | request.exact, request.defense)
    if plugin.info.needs_data and fit is None:
        raise PluginError(f"{request.defense} learns from samples, and none were given.", "Give --fit-data.")
    with guest(f"the fitting of the defence {request.defense}"):
        defended = lending(plugin.fit(model, None if fit is None else fit.copy(), generator(seed, "fit", request.name)))
    if defended.detector is not None or defended.draw is not None:
        raise PluginError(
            f"{request.defense} is random or has a detector, so there is no exact gradient to ask it for.",
            "Leave --exact out for it.",
        )
    words = json.dumps(request.params | request.exact, sort_keys=True)
    return Masked(
        defended.model, replace(defended.model.info, name=f"{model.info.name} behind {request.defense} {words}")
    )


def reference(request: Wanted, record: Record, catalogue: Catalogue, false: Record | None = None) -> Reference:
    """The row of one model, from the record of its run; false: that of the run with exact gradients.

    rows are samples of the record, until `assemble` puts them into the set. Raises RecordError where nothing was
    measured.
    """
    name = request.name if request.defense else "none"
    pipeline = next(
        (pipeline for pipeline in record.pipelines if pipeline.defense == name and pipeline.status == "done"), None
    )
    if pipeline is None:
        reason = next(
            (pipeline.reason for pipeline in record.pipelines if pipeline.defense == name), "it is not in the record"
        )
        raise RecordError(f"The reference model {request.name} could not be measured: {reason}.")
    right = [answer == label for answer, label in zip(pipeline.prediction, record.data.labels, strict=True)]
    knowledge = "adaptive" if request.defense else "none"
    cells = record.done(knowledge=knowledge, defense=name)
    worst = _columns(cells, right, record)
    if not worst:
        raise RecordError(f"No attack on the reference model {request.name} finished.", "See its run's errors.log.")
    entry = Reference(
        name=request.name,
        about=request.about or _about(request, catalogue),
        file=record.model.file,
        sha256=record.model.sha256,
        defense=request.defense or "none",
        version=pipeline.version,
        params=pipeline.params,
        grade=record.verdict.grade if record.verdict is not None else "",
        rows=list(range(record.data.samples)),
        right=right,
        worst=worst,
    )
    if false is None:
        return entry
    white = [cell for cell in false.done(knowledge="none") if cell.needs == "gradient"]
    fails = [check.id for check in false.checks if check.outcome == "fail"]
    grade = false.verdict.grade if false.verdict is not None else ""
    return replace(entry, exact=_columns(white, right, false), exact_grade=grade, exact_fails=fails)


def _about(request: Wanted, catalogue: Catalogue) -> str:
    if not request.defense:
        return "as it was given"
    return str(catalogue.get("defense", request.defense).info.summary)[:300]


def _columns(cells: Sequence[Cell], right: list[bool], record: Record) -> dict[str, ReferenceColumn]:
    """The worst case in each norm, as shares of the pixel range."""
    columns = {}
    for norm in sorted({cell.norm for cell in cells}):
        mine = [cell for cell in cells if cell.norm == norm]
        width = norm_width(norm, record.model.bounds)
        steered = [cell for cell in mine if cell.needs == "gradient"] or mine  # a black box hardly looks so far
        limits = [cell.eps for cell in steered]
        searched = None if None in limits else max(limit for limit in limits if limit is not None) / width
        distances = [_short(value / width) if ok else 0.0 for value, ok in zip(envelope(mine), right, strict=True)]
        columns[norm] = ReferenceColumn(distances, searched, [cell.attack for cell in mine])
    return columns


def _short(value: float) -> float | None:
    return None if math.isinf(value) else float(f"{value:.{_SHARE_DIGITS}g}")


def assemble(measured: Sequence[tuple[Reference, Record]], command: str, seed: int) -> ReferenceSet:
    """The set of these models; images are those of all of them, in order of appearance.

    Raises RecordError where two were not attacked alike.
    """
    first = measured[0][1]
    images: dict[str, int] = {}
    models = []
    for model, record in measured:
        if record.suite.attacks_sha256 != first.suite.attacks_sha256:
            raise RecordError(
                f"{model.name} was attacked with {record.suite.name} {record.suite.version}, and not as "
                f"{measured[0][0].name} was.",
                "Give runs of one suite, or the model files themselves.",
            )
        for key in record.data.hashes:
            images.setdefault(key, len(images))
        kept = {images[key]: row for row, key in enumerate(record.data.hashes)}  # the same image twice counts once
        models.append(_pick(model, kept))
    return ReferenceSet(
        tool={"name": "robusteval", "version": robusteval.__version__},
        command=command,
        seed=seed,
        data=first.data.name,
        suite=replace(first.suite, summary=""),
        images=list(images),
        models=models,
    )


def _pick(model: Reference, kept: dict[int, int]) -> Reference:
    """kept: image of the set -> sample of the model's own run."""

    def part(column: ReferenceColumn) -> ReferenceColumn:
        return replace(column, distance=[column.distance[row] for row in kept.values()])

    return replace(
        model,
        rows=list(kept),
        right=[model.right[row] for row in kept.values()],
        worst={norm: part(column) for norm, column in model.worst.items()},
        exact={norm: part(column) for norm, column in model.exact.items()},
    )
