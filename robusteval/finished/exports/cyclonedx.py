"""CycloneDX 1.6 (ECMA-424): the model as a component with its model card, for a supply chain's bill of materials."""

from __future__ import annotations

import json
import uuid
from typing import Any

from robusteval.assessment.standards.figures import Figure, figures
from robusteval.record.run import Record
from robusteval.text import as_name, as_sentence, line

_SPACE = uuid.UUID(
    "8c6d2f0e-3f0b-5f0a-9a53-4f6c1c7a5d10"
)  # of serial numbers, so that the same record has the same one


def cyclonedx(record: Record) -> str:
    """The document as JSON. Figures that were not measured stand among the limitations, and nowhere as a number."""
    model, known = record.model, figures(record)
    component: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": f"model:{model.sha256}",
        "name": as_name(model.name),
        "modelCard": {
            "modelParameters": {
                "task": "image classification",
                "datasets": [{"type": "dataset", "name": as_name(record.data.name)}],
                "inputs": [{"format": f"image {'x'.join(map(str, model.input_shape))}"}],
                "outputs": [{"format": f"scores of {model.classes} classes"}],
            },
            "quantitativeAnalysis": {
                "performanceMetrics": [_metric(figure, record) for figure in known if figure.value is not None]
            },
            "considerations": {"technicalLimitations": _limits(record, known)},
        },
    }
    if model.sha256:
        component["hashes"] = [{"alg": "SHA-256", "content": model.sha256}]
    tool = {"type": "application", "name": "robusteval", "version": line(record.tool.get("version", ""))}
    document: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_SPACE, record.plan_sha256 + model.sha256)}",
        "version": 1,
        "metadata": {"tools": {"components": [tool]}},
        "components": [component],
    }
    if record.times.finished:
        document["metadata"]["timestamp"] = line(record.times.finished)
    return json.dumps(document, indent=1) + "\n"


def _metric(figure: Figure, record: Record) -> dict[str, Any]:
    metric: dict[str, Any] = {
        "type": figure.title,
        "value": f"{figure.value:.6g}",
        "slice": as_name(f"{record.data.samples} images of {record.data.name}, suite {record.suite.name}"),
    }
    if figure.low is not None and figure.high is not None:
        metric["confidenceInterval"] = {"lowerBound": f"{figure.low:.6g}", "upperBound": f"{figure.high:.6g}"}
    return metric


def _limits(record: Record, known: list[Figure]) -> list[str]:
    """Why a figure may be wrong, and what there is none of."""
    missing = [f"{figure.title}: not measured, {figure.reason}." for figure in known if figure.value is None]
    doubts = [finding.sentence for finding in record.findings if finding.severity != "info"]
    empirical = "Accuracy under attack is what the attacks of this suite left; a stronger attack may lower it."
    return [as_sentence(said) for said in (empirical, *missing, *doubts)]
