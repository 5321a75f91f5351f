"""A reference set that fits the made-up record: its models are the record's own, made weaker and stronger."""

from __future__ import annotations

import hashlib

from robusteval.assessment.evidence.worst_case import envelope_of
from robusteval.record.reference_set import ReferenceSet
from robusteval.record.run import Compared, Record, Reference, ReferenceColumn, Suite

ATTACKS = "ab" * 32


def keyed(record: Record) -> Record:
    """The record with contents of its samples and a hash of its attacks, as a run writes them."""
    record.data.hashes = [hashlib.sha256(str(place).encode()).hexdigest()[:32] for place in range(record.data.samples)]
    record.suite.attacks_sha256 = ATTACKS
    return record


def column(record: Record, norm: str, factor: float, rows: list[int], searched: float | None = None) -> ReferenceColumn:
    """The record's worst case, so many times as far; attacks as in the record."""
    far = envelope_of(record, norm, "none")
    attacks = [cell.attack for cell in record.done(norm=norm, knowledge="none")]
    distance = [None if far[row] == float("inf") else factor * far[row] for row in rows]
    return ReferenceColumn(distance, searched, attacks)


def model(record: Record, name: str, factor: float, rows: list[int] | None = None) -> Reference:
    """A reference that is right where the record's model is, and lost at so many times its distances."""
    rows = list(range(record.data.samples)) if rows is None else rows
    bare = record.pipeline("none").prediction
    right = [bare[row] == record.data.labels[row] for row in rows]
    worst = {norm: column(record, norm, factor, rows) for norm in ("l2", "linf")}
    return Reference(name, f"made as {name} is", f"{name}.onnx", "cd" * 32, "none", "", {}, "A", rows, right, worst)


def beside(record: Record) -> Record:
    """The record, compared with the set below."""
    keyed(record)
    models = make(record).models
    record.references = [
        Compared("set.json", "12" * 32, False, "done", "", "standard 1", "data", "robusteval 0.1.0", models)
    ]
    return record


def make(record: Record) -> ReferenceSet:
    """Three models: half, twice and ten times as robust, the last one behind a mask and on the first 60 images only."""
    masked = model(record, "masked", 0.5, list(range(min(60, record.data.samples))))
    masked.defense, masked.version = "gradient-masking", "1"
    masked.exact = {norm: column(record, norm, 10.0, masked.rows) for norm in ("l2", "linf")}
    masked.exact_grade, masked.exact_fails = "F", ["gradients-zero", "planted"]
    return ReferenceSet(
        tool={"name": "robusteval", "version": "0.1.0"},
        command="robusteval references build",
        seed=7,
        data=record.data.name,
        suite=Suite("standard", "1", "ef" * 32, attacks_sha256=record.suite.attacks_sha256),
        images=list(record.data.hashes),
        models=[model(record, "weak", 0.5), model(record, "strong", 2.0), masked],
    )
