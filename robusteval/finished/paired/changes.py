"""What changed between two runs on the same images: by class, image by image, and among findings and checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from robusteval.finished.paired.document import ChangedImage, ClassChange, FindingChange
from robusteval.finished.paired.runs import Finished
from robusteval.metrics._common import columns
from robusteval.metrics.per_class import class_name
from robusteval.record.derived import Finding
from robusteval.record.run import Record

MOST_IMAGES = 200  # that are listed, of each norm and direction
Distances = NDArray[np.float64]


def classes(first: Finished, norm: str, eps: float, before: Distances, after: Distances) -> list[ClassChange]:
    """Accuracy within eps by class, the largest fall first. before, after: [n] distances as shares of the range."""
    labels = columns.labels(first.record)[first.rows]
    rows = []
    for label in np.unique(labels).tolist():
        mine = labels == label
        one, two = (float(columns.beyond(column[mine], eps).mean()) for column in (before, after))
        rows.append(ClassChange(norm, eps, label, class_name(first.record, label), int(mine.sum()), one, two))
    return sorted(rows, key=lambda row: (row.second - row.first, row.label))


def images(
    first: Finished, norm: str, eps: float, before: Distances, after: Distances
) -> tuple[list[ChangedImage], int]:
    """(the images that are lost within eps in one of the two only, the nearest losses first, how many more there
    are)."""
    held, holds = columns.beyond(before, eps), columns.beyond(after, eps)
    listed: list[ChangedImage] = []
    left = 0
    for lost, mask in ((True, held & ~holds), (False, ~held & holds)):
        places = np.flatnonzero(mask)
        near = np.minimum(before[places], after[places])
        places = places[np.argsort(near, kind="stable")]
        left += max(places.size - MOST_IMAGES, 0)
        for place in places[:MOST_IMAGES].tolist():
            sample = int(first.rows[place])
            names = first.record.data.names
            listed.append(
                ChangedImage(
                    norm, "lost" if lost else "won", sample, names[sample] if sample < len(names) else "",
                    class_name(first.record, first.record.data.labels[sample]), _finite(before[place]),
                    _finite(after[place]),
                )
            )  # fmt: skip
    return listed, left


def _finite(distance: float) -> float | None:
    return float(distance) if np.isfinite(distance) else None


def findings(first: Record, second: Record) -> list[FindingChange]:
    """Findings that only one of the two has, by code and norm, and checks that came out otherwise."""
    before, after = _by_kind(first), _by_kind(second)
    rows = []
    for key in sorted(before.keys() ^ after.keys()):
        gone, came = before.get(key), after.get(key)
        said = gone or came
        if said is not None and said.severity != "info":
            rows.append(
                FindingChange(
                    "finding", said.code, gone.severity if gone else "", came.severity if came else "", said.sentence
                )
            )
    outcomes = {check.id: check for check in first.checks}
    for check in second.checks:
        earlier = outcomes.get(check.id)
        if earlier is not None and earlier.outcome != check.outcome:
            rows.append(FindingChange("check", check.id, earlier.outcome, check.outcome, check.title))
    return rows


def _by_kind(record: Record) -> dict[tuple[str, str], Finding]:
    return {(finding.code, str(finding.evidence.get("norm", ""))): finding for finding in record.findings}
