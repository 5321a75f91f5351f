"""What in a record is the core's own figure, and what is the model's own answer in the place of a label."""

from __future__ import annotations

from robusteval.record.run import Record, Result

METRIC = "accuracy-curve"  # the core's metric that the answers and the verdict quote
FROM_MODEL = "labels-from-model"  # code of the finding that tells of it
UNLABELLED = "the labels are the model's own answers, so nothing tells which are right"


def own_figures(record: Record) -> list[Result]:
    """The core's own figures. A plugin's metric may tag its own as it likes, and puts none into a verdict."""
    return [result for result in record.results if result.metric == METRIC]


def labels_are_own(record: Record) -> bool:
    """Whether the labels are the model's own answers, so that all are right by construction."""
    return any(finding.code == FROM_MODEL for finding in record.findings)
