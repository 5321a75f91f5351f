"""Hugging Face's `model-index`: the figures for the front matter of a model card."""

from __future__ import annotations

import json
from typing import Any

from robusteval.assessment.standards.figures import Figure, figures
from robusteval.record.run import Record
from robusteval.text import as_name, line

TASK = "image-classification"


def model_index(record: Record) -> str:
    """YAML to paste between the `---` lines of a card: JSON is YAML too. Only what was measured is in it; where nothing
    was, `model-index` is empty, and a comment says why."""
    known = figures(record)
    quotable = [figure for figure in known if figure.value is not None]
    version, suite = line(record.tool.get("version", "")), line(record.suite.name)
    made = f"# robusteval {version}, suite {suite}, plan {line(record.plan_sha256)}"
    told = [f"# {line(figure.title)}: not measured, {line(figure.reason)}." for figure in known if figure.reason]
    index = [_entry(record, quotable)] if quotable else []
    shown = json.dumps(index, indent=2)
    return "\n".join([made, *told, f"model-index: {shown}"]) + "\n"


def _entry(record: Record, quotable: list[Figure]) -> dict[str, Any]:
    dataset = {
        "type": as_name(record.model.dataset or record.data.name),
        "name": as_name(record.data.name),
        "args": {"samples": record.data.samples, "sha256": record.data.sha256},
    }
    metrics = [
        {
            "type": figure.kind,
            "name": figure.title,
            "value": figure.value,
            "args": {"norm": figure.norm, "eps": figure.eps, "low": figure.low, "high": figure.high},
        }
        for figure in quotable
    ]
    results = [{"task": {"type": TASK}, "dataset": dataset, "metrics": metrics}]
    return {"name": as_name(record.model.name), "results": results}
