"""Could it be the labels? The usual ways in which they are numbered differently from the model's outputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

ENOUGH = 5  # samples a class, below which a renumbering fits noise

Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Relabelling:
    """One way of numbering the labels, and the accuracy (a share) that it would give."""

    setting: str
    by_hand: str
    accuracy: float
    changes: int


def relabelled(answers: Labels, labels: Labels, classes: int) -> Iterator[Relabelling]:
    """Tries labels shifted by one, sorted as text, and any renumbering; answers and labels: [N], answers may hold
    -1."""
    for shift, text in ((1, "adding 1 to"), (-1, "subtracting 1 from")):
        accuracy = float((answers == (labels + shift) % classes).mean())
        yield Relabelling(f"labels shifted by {shift:+d}", f"{text} every label", accuracy, 1)
    if classes > 10:
        order = np.argsort(np.array([str(index) for index in range(classes)]), kind="stable")
        position = np.argsort(order)
        accuracy = float((answers == position[labels]).mean())
        yield Relabelling(
            "classes in text order", "numbering the labels in text order (0, 1, 10, 11, ...)", accuracy, 1
        )
    if len(labels) >= ENOUGH * classes:
        yield _renumbered(answers, labels, classes)


def _renumbered(answers: Labels, labels: Labels, classes: int) -> Relabelling:
    """The best renumbering; its accuracy is measured on samples that it was not fitted to, or it would flatter
    itself."""
    order = np.argsort(labels, kind="stable")
    fold = np.empty(len(labels), np.int64)
    fold[order] = np.arange(len(labels)) % 2
    hits = 0
    for part in (0, 1):
        mapping = _matching(answers[fold != part], labels[fold != part], classes)
        hits += int((answers[fold == part] == mapping[labels[fold == part]]).sum())
    mapping = _matching(answers, labels, classes)
    moved = [f"{old}>{new}" for old, new in enumerate(mapping.tolist()) if old != new]
    shown = ", ".join(moved[:10]) + (", ..." if len(moved) > 10 else "")
    # Counts as two changes, so that a plain shift, which is a renumbering too, is named as what it is.
    return Relabelling("labels renumbered", f"renumbering the labels ({shown})", hits / len(labels), 2)


def _matching(answers: Labels, labels: Labels, classes: int) -> Labels:
    """For each label the output that answers it: the assignment with the most agreement, [K]."""
    from scipy.optimize import linear_sum_assignment  # slow to import, and most runs do without

    valid = answers >= 0
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels[valid], answers[valid]), 1)
    _, columns = linear_sum_assignment(confusion, maximize=True)
    mapping: Labels = columns.astype(np.int64)
    return mapping
