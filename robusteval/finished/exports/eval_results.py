"""Hugging Face's `.eval_results/*.yaml`: the figures for a model's repository, one entry a figure."""

from __future__ import annotations

import json
import re
from typing import Any

from robusteval.assessment.standards.figures import Figure, figures
from robusteval.record.run import Record
from robusteval.text import as_name, line

ADDRESS = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)  # of a data set on the hub


def eval_results(record: Record) -> str:
    """YAML for a file in the folder `.eval_results` of a model's repository: JSON is YAML too. Only what was measured
    is in it; comments say what was not, and why."""
    known = figures(record)
    version, suite = line(record.tool.get("version", "")), line(record.suite.name)
    made = [f"# robusteval {version}, suite {suite}, plan {line(record.plan_sha256)}"]
    dataset = as_name(record.model.dataset or record.data.name)
    if not ADDRESS.fullmatch(dataset):
        made.append("# The hub reads this where each dataset id is that of a benchmark there, OWNER/NAME: put it in.")
    made += [f"# {line(figure.title)}: not measured, {line(figure.reason)}." for figure in known if figure.reason]
    entries = [_entry(record, dataset, figure) for figure in known if figure.value is not None]
    return "\n".join([*made, json.dumps(entries, indent=2)]) + "\n"


def _entry(record: Record, dataset: str, figure: Figure) -> dict[str, Any]:
    entry: dict[str, Any] = {"dataset": {"id": dataset, "task_id": task(figure)}, "value": figure.value}
    if record.times.finished:
        entry["date"] = line(record.times.finished)
    ends = [f"{end} {at}" for end, at in (("from", figure.low), ("to", figure.high)) if at is not None]
    interval = f", 95 % interval {' '.join(ends)}" if ends else ""
    entry["notes"] = (
        f"{figure.title}, {figure.method}{interval}, {record.data.samples} samples (sha256 {line(record.data.sha256)})"
    )
    return entry


def task(figure: Figure) -> str:
    """An id of the figure in letters, digits, hyphens and underscores, the same in every run."""
    return re.sub(r"[^a-z0-9]+", "_", figure.id.lower()).strip("_")
