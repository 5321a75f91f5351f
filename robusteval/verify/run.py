"""Re-checking a run's stored adversarials: ONNX Runtime and numpy alone. No torch, no attack, none of our loaders.

Deliberately a second, short implementation: an auditor can read it in five minutes, and a fault in the code that made
the claims is not also a fault in the code that checks them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError
from robusteval.record.document import Record, Witness
from robusteval.runtime.answers import Runtime
from robusteval.verify.asking import reopened
from robusteval.verify.eight_bit import check_rounded

Array = NDArray[Any]


@dataclass
class Verification:
    """What was checked. failures: one sentence each; unchecked: claims whose label needs more than ONNX Runtime."""

    claims: int = 0
    confirmed: int = 0
    unchecked: int = 0
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(record: Record, folder: Path, model: Path | None) -> Verification:
    """Checks every witness of a run: its bytes, its box, its distance (in float64) and, for the bare ONNX model, that
    ONNX Runtime still gives the wrong answer; and which wins survive being saved as 8-bit images.

    Raises RecordError where there is nothing to check with.
    """
    result = Verification()
    if record.witnesses is None:
        raise RecordError("This run stored no adversarials, so there is nothing to verify.")
    tensors = _read(folder / record.witnesses.file, record, result)
    clean, labels = _clean(tensors, record, result)
    if _flips(model, record):
        result.notes.append(f"The model's hash agrees: {record.model.sha256[:16]}.")
        answer = reopened(model, record) if model is not None else None
    else:
        answer = None
    groups: dict[str, list[Witness]] = {}
    for entry in record.witnesses.entries:
        groups.setdefault(entry.tensor, []).append(entry)
    for name, entries in groups.items():
        if name not in tensors:
            result.failures.append(f"The witness file has no tensor {name}, which {len(entries)} claims need.")
            result.claims += len(entries)
            continue
        _check_group(tensors[name], entries, clean, labels, record, answer, result)
    if answer is not None:
        asked, failures, notes = check_rounded(record, tensors, clean, answer.labels)
        result.claims, result.confirmed = result.claims + asked, result.confirmed + max(asked - len(failures), 0)
        result.failures += failures
        result.notes += notes
    if result.unchecked:
        result.notes.append(
            f"{result.unchecked} claims were re-checked for bytes, box and distance only: their label needs the defence"
            " or a model that is not ONNX."
        )
    return result


def _read(path: Path, record: Record, result: Verification) -> dict[str, Array]:
    import safetensors.numpy

    try:
        content = path.read_bytes()
        tensors: dict[str, Array] = safetensors.numpy.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        raise RecordError(
            f"Cannot read the witnesses {path}: {error}.", "Give the folder that the run wrote."
        ) from None
    expected = record.witnesses.sha256 if record.witnesses else ""
    if hashlib.sha256(content).hexdigest() != expected:
        result.failures.append("The witness file is not the one that the run wrote: its hash differs.")
    return tensors


def _clean(tensors: dict[str, Array], record: Record, result: Verification) -> tuple[Array, Array]:
    """The clean samples and labels, whose hash must be the one in the record."""
    if "clean" not in tensors or "labels" not in tensors:
        raise RecordError("The witness file has no clean samples.", "Give the folder that the run wrote.")
    clean, labels = tensors["clean"], tensors["labels"]
    bounds = (float(record.model.bounds[0]), float(record.model.bounds[1]))
    digest = hashlib.sha256(repr((tuple(clean.shape), bounds)).encode())
    digest.update(np.ascontiguousarray(clean).tobytes())
    digest.update(np.ascontiguousarray(labels.astype(np.int64)).tobytes())
    if digest.hexdigest() != record.data.sha256:
        result.failures.append("The stored clean samples or labels are not the evaluated ones: their hash differs.")
    return clean, labels


def _flips(model: Path | None, record: Record) -> bool:
    """Whether labels can be re-checked: an ONNX model that is here and whose hash is the record's."""
    if record.model.format != "onnx":
        return False
    if model is None or not model.exists():
        raise RecordError(
            f"The model {record.model.file} is not where it was.", "Give its path: robusteval verify RUN --model MODEL."
        )
    return True


def _check_group(
    stored: Array,
    entries: list[Witness],
    clean: Array,
    labels: Array,
    record: Record,
    answer: Runtime | None,
    result: Verification,
) -> None:
    low, high = record.model.bounds
    rows = [entry for entry in entries if entry.row < len(stored) and entry.sample < len(clean)]
    bare = answer is not None and rows and rows[0].defense == "none"
    predictions = answer.labels(stored[[entry.row for entry in rows]]) if answer is not None and bare else None
    result.claims += len(entries)
    targeted = {cell.id for cell in record.cells if cell.target not in ("untargeted", "all")}
    result.failures += [
        f"{entry.cell}, sample {entry.sample}: row {entry.row} is not there." for entry in entries if entry not in rows
    ]
    for number, entry in enumerate(rows):
        row, before = stored[entry.row], clean[entry.sample]
        faults = []
        if hashlib.sha256(np.ascontiguousarray(row).tobytes()).hexdigest() != entry.sha256:
            faults.append("its bytes changed")
        if not np.isfinite(row).all() or row.min() < low or row.max() > high:
            faults.append("it lies outside the box")
        found = distance_of(before, row, entry.norm)
        if not np.isclose(found, entry.distance, rtol=1e-9, atol=1e-12):
            faults.append(f"its distance is {found:.8g}, not {entry.distance:.8g}")
        if int(labels[entry.sample]) != entry.label:
            faults.append(f"its label is {int(labels[entry.sample])}, not {entry.label}")
        if predictions is None:
            result.unchecked += 1
        elif int(predictions[number]) == entry.label:
            faults.append("ONNX Runtime gives the right answer")
        elif entry.cell in targeted and int(predictions[number]) != entry.prediction:
            faults.append(f"ONNX Runtime answers {int(predictions[number])}, not the target {entry.prediction}")
        if faults:
            result.failures.append(f"{entry.cell}, sample {entry.sample}: {' and '.join(faults)}.")
        else:
            result.confirmed += 1


def distance_of(before: Array, after: Array, norm: str) -> float:
    delta = after.astype(np.float64) - before.astype(np.float64)
    if norm == "l0":
        return float((delta != 0).any(axis=0).sum() if delta.ndim == 3 else (delta != 0).sum())
    flat = np.abs(delta).ravel()
    if norm == "l2":
        return float(np.sqrt((flat**2).sum()))
    return float(flat.max() if norm == "linf" else flat.sum())
