"""What surrounds the figures: coverage of threats, provenance, gallery, definitions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from robusteval.record.document import Record
from robusteval.report import images, parts
from robusteval.report.numbers import MISSING, norm_title, number, percent, seconds
from robusteval.report.parts import Table

PICTURES = 48
SEVERITY = {"alarm": 0, "warning": 1, "info": 2}

DEFINITIONS: Sequence[tuple[str, str]] = (
    ("Accuracy under attack", "Share of all images that are right when clean and are not lost at a distance up to the budget. Images wrong when clean count as lost at distance 0."),
    ("Worst case", "Every image is judged by the attack that needed the smallest distance for it. No attack proves that there is no smaller one, so this is an upper bound on the true accuracy."),
    ("L2, L\u221e, L1, L0", "Size of the change: root of the summed squares, largest change of any value, summed absolute changes, number of pixels changed. In units of the stated input range, before any normalisation."),
    ("\u03c1 adv", "Mean of the perturbation's L2 size divided by the image's L2 size, over the images for which an adversarial was found, always with that coverage."),
    ("Bare, oblivious, adaptive", "Bare: the attack faces the model alone. Oblivious: the attack was made on the bare model and then shown to the defended one. Adaptive: the attack goes through the defence."),
    ("Detector ROC", "Negatives are clean images that the model gets right; positives are adversarials that fool it. AUC: chance that a positive looks more suspicious than a negative, ties count half. A detection rate without its false alarms says nothing."),
    ("Success, median and mean distance", "Success: share of the images right when clean that were lost. The median counts an image never lost as infinite; the mean is over the lost ones only."),
    ("Intervals", "95 %: Clopper-Pearson for shares, bootstrap over images for the rest. They cover the choice of images, not attacks that were never tried."),
    ("Trust grade", "How far the evaluation itself can be relied on, A to F, from the findings. It is not a grade for the model."),
)  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One sample of the gallery, its images checked; None where one was not a PNG."""

    caption: str
    images: Sequence[tuple[str, str | None, str]]  # heading, data URI, line below


@dataclass(frozen=True)
class FindingView:
    severity: str
    code: str
    sentence: str
    evidence: str
    advice: str
    cells: str


def findings(record: Record) -> list[FindingView]:
    """The most serious first."""
    made = []
    for one in sorted(record.findings, key=lambda one: SEVERITY.get(one.severity, 0)):
        evidence = ", ".join(f"{key} = {_value(value)}" for key, value in one.evidence.items())
        cells = ", ".join(one.cells[:6]) + (f" and {len(one.cells) - 6} more" if len(one.cells) > 6 else "")
        made.append(FindingView(one.severity, one.code, one.sentence, evidence, one.advice, cells))
    return made


def _value(value: object) -> str:
    return number(value, 4) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def class_name(record: Record, index: int) -> str:
    names = record.model.class_names
    if index == record.model.classes:
        return "rejected"
    return names[index] if 0 <= index < len(names) else str(index)


def gallery(record: Record) -> list[Shot]:
    shots = []
    for one in record.gallery[:PICTURES]:
        caption = f"{one.attack}, {norm_title(one.norm)} {number(one.distance)}, image {one.sample}"
        if one.defense != "none":
            caption += f", behind {one.defense}"
        truth = class_name(record, one.label)
        clean = f"{class_name(record, one.clean_prediction)}, {percent(one.clean_confidence, 0)}"
        fooled = f"{class_name(record, one.prediction)}, {percent(one.confidence, 0)}"
        gain = "as it is" if one.perturbation_gain == 1 else f"\u00d7 {number(one.perturbation_gain)}"
        shots.append(
            Shot(
                f"{caption}. True class: {truth}.",
                (
                    ("Clean", images.png_uri(one.clean_png), clean),
                    ("Perturbation", images.png_uri(one.perturbation_png), gain),
                    ("Adversarial", images.png_uri(one.adversarial_png), fooled),
                ),
            )
        )
    return shots


def covered(record: Record) -> Table | None:
    """What was tried and finished, a row for each attack."""
    rows = []
    for name in dict.fromkeys(cell.attack for cell in record.done()):
        cells = [cell for cell in record.done() if cell.attack == name]
        tried = ", ".join(dict.fromkeys(norm_title(cell.norm) for cell in cells))
        where = ", ".join(dict.fromkeys(f"{parts.display(cell.defense)} ({cell.knowledge})" if cell.defense != "none" else "No defence" for cell in cells))
        target = ", ".join(dict.fromkeys(cell.target for cell in cells))
        needs = "/".join(dict.fromkeys(cell.needs for cell in cells))
        params = json.dumps(cells[0].params, sort_keys=True) if cells[0].params else ""
        rows.append([name, f"{cells[0].plugin} {cells[0].version}", needs, tried, target, where, params])
    if not rows:
        return None
    columns = ["Attack", "Plugin", "Needs", "Norms", "Target", "Against", "Parameters"]
    return Table("Covered", columns, rows, words=range(1, 7))


def uncovered(record: Record) -> Table | None:
    """What was planned or wanted and did not run, with the reason."""
    order = {"failed": 0, "pending": 1, "excluded": 2}
    cells = sorted((cell for cell in record.cells if cell.status != "done"), key=lambda cell: (order.get(cell.status, 3), cell.id))
    rows = [[cell.attack, cell.status, norm_title(cell.norm), parts.display(cell.defense), cell.knowledge, cell.reason or MISSING] for cell in cells]
    rows += [[f"Defence {one.defense}", one.status, "", "", "", one.reason or MISSING] for one in record.pipelines if one.status != "done"]
    if not rows:
        return None
    columns = ["Attack", "Status", "Norm", "Pipeline", "Attacker", "Reason"]
    return Table("Not covered", columns, rows, words=range(1, 6), note="What did not run is not robustness: it says nothing either way.")


def missing_norms(record: Record) -> list[str]:
    done = {cell.norm for cell in record.done()}
    return [norm_title(norm) for norm in ("l2", "linf", "l1", "l0") if norm not in done]


def provenance(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of (name, value)."""
    model, data, suite = record.model, record.data, record.suite
    parity = ", ".join(f"{key} {number(value) if isinstance(value, int | float) else value}" for key, value in model.parity.items())
    seen = f"bounds {_list(model.bounds)}, mean {_list(model.mean)}, std {_list(model.std)}, layout {model.layout or MISSING}"
    gradients = f"{model.gradients} (rung {model.rung})" + (f": {model.gradients_reason}" if model.gradients_reason else "")
    groups = [
        ("Model", [("Name", model.name), ("File", model.file), ("SHA-256", model.sha256), ("Format", f"{model.format}, opset {model.opset or MISSING}"), ("Input, classes", f"{_list(model.input_shape)}, {model.classes} classes, output {model.output}"), ("Preprocessing", seen), ("Gradients", gradients), ("Parity of the twin", parity or MISSING), ("Ran on", f"{model.provider or MISSING}, {model.precision}, batch {model.batch or 'free'}"), ("Notes", " ".join(model.notes))]),
        ("Data", [("Name", f"{data.name}, {data.samples} images"), ("Source", data.source), ("SHA-256", data.sha256), ("Range", data.range_note), ("Learnt from", f"{data.fit_name}, {data.fit_samples} images" if data.fit_samples else ""), ("SHA-256 of those", data.fit_sha256)]),
        ("Plan", [("Suite", f"{suite.name} {suite.version}"), ("SHA-256 of the suite", suite.sha256), ("SHA-256 of the plan", record.plan_sha256), ("Seed", str(record.seed)), ("Command", record.command)]),
        ("Run", [("Tool", " ".join(record.tool.get(key, "") for key in ("name", "version")).strip()), ("Started", record.times.started), ("Finished", record.times.finished), ("Took", seconds(record.times.wall_s) if record.times.wall_s else ""), ("Adversarials kept", f"{len(record.witnesses.entries)} in {record.witnesses.file}, SHA-256 {record.witnesses.sha256}" if record.witnesses else "none"), ("Schema", record.schema)]),
        ("Environment", list(record.environment.items())),
    ]  # fmt: skip
    return [(name, [(key, value) for key, value in listed if value]) for name, listed in groups]


def _list(values: Sequence[float]) -> str:
    return "[" + ", ".join(f"{value:g}" for value in values) + "]" if values else "none"


def plugins(record: Record) -> Table | None:
    if not record.plugins:
        return None
    keys = ("kind", "name", "version", "distribution")
    rows = [[str(one.get(key, "")) for key in keys] for one in record.plugins]
    return Table("Plugins that ran", ["Kind", "Name", "Version", "Distribution"], rows, words=(1, 2, 3))
