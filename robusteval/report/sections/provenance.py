"""Where the figures come from: model, data, plan, run, environment, plugins."""

from __future__ import annotations

from collections.abc import Sequence

from robusteval.record.run import Record
from robusteval.report.charts.pieces import Table
from robusteval.report.formats.numbers import MISSING, number, seconds

Facts = list[tuple[str, str]]


def groups(record: Record) -> list[tuple[str, Facts]]:
    """Groups of (name, value); what is empty is left out."""
    listed = [
        ("Model", _model(record)),
        ("Data", _data(record)),
        ("Plan", _plan(record)),
        ("Reference models", _references(record)),
        ("Run", _run(record)),
        ("Environment", list(record.environment.items())),
    ]
    return [(name, [(key, value) for key, value in facts if value]) for name, facts in listed]


def _model(record: Record) -> Facts:
    model = record.model
    parity = ", ".join(
        f"{key} {number(value) if isinstance(value, int | float) else value}" for key, value in model.parity.items()
    )
    reason = f": {model.gradients_reason}" if model.gradients_reason else ""
    return [
        ("Name", model.name),
        ("File", model.file),
        ("SHA-256", model.sha256),
        ("Format", f"{model.format}, opset {model.opset or MISSING}"),
        ("Input, classes", f"{_list(model.input_shape)}, {model.classes} classes, output {model.output}"),
        ("Input range", _list(model.bounds)),
        ("Preprocessing", f"mean {_list(model.mean)}, std {_list(model.std)}, layout {model.layout or MISSING}"),
        ("Gradients", f"{model.gradients} (rung {model.rung}){reason}"),
        ("Parity of the twin", parity or MISSING),
        ("Ran on", f"{model.provider or MISSING}, {model.precision}, batch {model.batch or 'free'}"),
        ("Notes", " ".join(model.notes)),
    ]


def _data(record: Record) -> Facts:
    data = record.data
    return [
        ("Name", f"{data.name}, {data.samples} images"),
        ("Source", data.source),
        ("SHA-256", data.sha256),
        ("Range", data.range_note),
        ("Learnt from", f"{data.fit_name}, {data.fit_samples} images" if data.fit_samples else ""),
        ("SHA-256 of those", data.fit_sha256),
    ]


def _plan(record: Record) -> Facts:
    return [
        ("Suite", f"{record.suite.name} {record.suite.version}"),
        ("SHA-256 of the suite", record.suite.sha256),
        ("SHA-256 of its attacks", record.suite.attacks_sha256),
        ("SHA-256 of the plan", record.plan_sha256),
        ("Seed", str(record.seed)),
        ("Command", record.command),
    ]


def _references(record: Record) -> Facts:
    """The sets that the run was compared with, and their models."""
    facts: Facts = []
    for reference in record.references:
        if reference.status == "done":
            facts += [
                ("File", f"{reference.file}{', shipped with robusteval' if reference.shipped else ''}"),
                ("SHA-256", reference.sha256),
            ]
            facts += [(model.name, f"{model.file}, SHA-256 {model.sha256}") for model in reference.models]
    return facts


def _run(record: Record) -> Facts:
    kept = "none"
    if record.witnesses is not None:
        kept = f"{len(record.witnesses.entries)} in {record.witnesses.file}, SHA-256 {record.witnesses.sha256}"
    return [
        ("Tool", " ".join(record.tool.get(key, "") for key in ("name", "version")).strip()),
        ("Started", record.times.started),
        ("Finished", record.times.finished),
        ("Took", seconds(record.times.wall_s) if record.times.wall_s else ""),
        ("Adversarials kept", kept),
        ("Schema", record.schema),
    ]


def _list(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]" if values else "none"


def plugins(record: Record) -> Table | None:
    """What ran, by kind and version, with the hash of its file where the record has it."""
    if not record.plugins:
        return None
    keys = ("kind", "name", "version", "distribution")
    rows = [[str(plugin.get(key, "")) for key in keys] for plugin in record.plugins]
    heads = ["Kind", "Name", "Version", "Distribution"]
    if not any("sha256" in plugin for plugin in record.plugins):
        return Table("Plugins that ran", heads, rows, words=(1, 2, 3))
    rows = [[*row, plugin.get("sha256", "")[:16]] for row, plugin in zip(rows, record.plugins, strict=True)]
    return Table("Plugins that ran", [*heads, "SHA-256 of its file"], rows, words=(1, 2, 3, 4))
