"""The record of a run before anything was attacked: model, data, suite, plugins, pipelines."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import robusteval
from robusteval.contracts.classifier import ModelInfo
from robusteval.engine.catalogue.catalogue import file_sha256
from robusteval.engine.fit.pipelines import Fitted
from robusteval.engine.plan.fingerprint import attacks_sha256, surrogates
from robusteval.engine.plan.job import Job
from robusteval.engine.plan.plan import Plan
from robusteval.engine.schedule.environment import environment
from robusteval.engine.source import l2_of
from robusteval.record import run
from robusteval.text import as_name, as_sentence, line


def record_of(job: Job, plan: Plan, fitted: Fitted) -> run.Record:
    """The record of a run before anything was attacked: who, what, with what."""
    info = job.model.info
    used = {("attack", name) for planned in plan.planned for name in planned.plugins()}
    used |= {("defense", spec.plugin) for spec in job.suite.defenses}
    used |= {("certifier", name) for name in (job.suite.certify.certifiers if job.suite.certify.samples else ())}
    asked = job.suite.metrics
    used |= {("metric", entry.name) for entry in job.catalogue.of("metric") if not asked or entry.name in asked}
    return run.Record(
        tool={"name": "robusteval", "version": robusteval.__version__},
        command=line(job.command),
        seed=job.seed,
        environment=environment(info.provider) | ({"settings": line(job.settings)} if job.settings else {}),
        model=model_of(info, job.model_file),
        data=run.Data(
            name=job.samples.name,
            source=line(job.data_source),
            sha256=job.samples.sha256(),
            samples=len(job.samples),
            labels=job.samples.y.tolist(),
            l2=l2_of(job.samples),
            range_note=line(job.range_note),
            fit_name=job.fit.name if job.fit is not None else "",
            fit_sha256=job.fit.sha256() if job.fit is not None else "",
            fit_samples=len(job.fit) if job.fit is not None else 0,
            available=job.available,
            hashes=job.samples.contents(),
            names=list(job.samples.names),
        ),
        suite=run.Suite(
            job.suite.name,
            as_name(job.suite.version),
            job.suite.sha256,
            as_sentence(job.suite.summary),
            list(job.suite.norms),
            job.suite.levels,
            attacks_sha256(job.suite, job.catalogue, job.target, job.model.info.input_shape),
            list(job.suite.metrics),
            surrogates(job.suite, job.catalogue),
        ),
        plan_sha256=plan.sha256,
        pipelines=fitted.rows,
        cells=[],
        plugins=[
            {"kind": entry.kind, "name": entry.name, "version": entry.version, "distribution": entry.distribution}
            | {"sha256": file_sha256(entry.plugin)}
            for entry in job.catalogue.entries
            if (entry.kind, entry.name) in used and not entry.broken
        ],
    )


def model_of(info: ModelInfo, file: str) -> run.Model:
    """The model's row, as the loader understood it. file: as the user gave it."""
    facts = {
        field.name: getattr(info, field.name) for field in dataclasses.fields(run.Model) if hasattr(info, field.name)
    }
    facts = {name: list(value) if isinstance(value, tuple) else value for name, value in facts.items()}
    return run.Model(**facts, file=as_name(Path(file).name), path=line(file))
