"""Re-checking a run of several models: each model's own claims, and the transfer matrix, with ONNX Runtime and numpy alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.errors import RecordError
from robusteval.record import store
from robusteval.record.comparison import Comparison, Source
from robusteval.record.document import Record
from robusteval.runtime.answers import Runtime
from robusteval.verify.asking import reopened
from robusteval.verify.run import Verification, distance_of, verify

Array = NDArray[Any]


def verify_comparison(comparison: Comparison, folder: Path, models: Sequence[Path | None]) -> Verification:
    """Checks every model's stored adversarials, and every answer in the matrix. models: each model's file, or None where
    it is not there. Raises RecordError where there is nothing to check with."""
    result = Verification()
    records = []
    for one, model in zip(comparison.models, models, strict=True):
        place = folder / one.key
        record = store.load(place)
        records.append(record)
        if hashlib.sha256((place / store.RECORD_FILE).read_bytes()).hexdigest() != one.record_sha256:
            result.failures.append(f"{one.key}: its record.json is not the one that was compared.")
        if record.witnesses is None:
            result.notes.append(f"{one.key}: no adversarials were stored.")
            continue
        _add(result, verify(record, place, model), one.key)
    _matrix(comparison, records, folder, models, result)
    return result


def _add(total: Verification, one: Verification, key: str) -> None:
    total.claims += one.claims
    total.confirmed += one.confirmed
    total.unchecked += one.unchecked
    total.failures += [f"{key}: {failure}" for failure in one.failures]
    total.notes += [f"{key}: {note}" for note in one.notes]


def _matrix(
    comparison: Comparison, records: list[Record], folder: Path, models: Sequence[Path | None], result: Verification
) -> None:
    """The adversarials of each source: their distance and box, and every ONNX model's answers to them."""
    transfer = comparison.transfer
    if transfer is None or not transfer.file:
        return
    tensors = _read(folder / "transfer.safetensors", transfer.sha256, result)
    asked = [
        reopened(model, record) if model is not None and record.model.format == "onnx" else None
        for model, record in zip(models, records, strict=True)
    ]
    for place, source in enumerate(transfer.sources):
        if source.status != "done":
            continue
        result.claims += len(records)
        if source.key not in tensors or len(tensors[source.key]) != len(comparison.data.labels):
            result.failures.append(f"The transfer file does not hold the adversarials of {source.key}.")
            continue
        stored = tensors[source.key]
        fault = _unlawful(
            comparison, stored, records[place], folder / comparison.models[place].key, transfer.right[place]
        )
        if fault:
            result.failures.append(f"Made on {source.key}: {fault}")
        _answers(comparison, source, stored, place, records, asked, result, not fault)


def _read(path: Path, sha256: str, result: Verification) -> dict[str, Array]:
    import safetensors.numpy

    try:
        content = path.read_bytes()
        tensors: dict[str, Array] = safetensors.numpy.load(content)
    except (OSError, safetensors.SafetensorError) as error:
        raise RecordError(f"Cannot read {path}: {error}.", "Give the folder that the run wrote.") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        result.failures.append("The transfer file is not the one that the run wrote: its hash differs.")
    return tensors


def _unlawful(comparison: Comparison, stored: Array, record: Record, folder: Path, right: list[bool]) -> str:
    """What is wrong with a source's adversarials: outside the box, over the budget, or moved where it was not attacked."""
    transfer = comparison.transfer
    low, high = record.model.bounds
    if not np.isfinite(stored).all() or stored.min() < low or stored.max() > high:
        return "some adversarials lie outside the box."
    if transfer is None or record.witnesses is None:
        return ""
    clean = _read(folder / "witnesses.safetensors", record.witnesses.sha256, Verification()).get("clean")
    if clean is None or clean.shape != stored.shape:
        return "the clean images are not there to compare with."
    limit = transfer.eps * (1.0 if transfer.norm == "l0" else high - low) * (1 + 1e-5)
    sizes = [distance_of(before, after, transfer.norm) for before, after in zip(clean, stored, strict=True)]
    if any(size > limit for size in sizes):
        return "some adversarials are over the budget."
    return (
        "images that were not attacked changed."
        if any(size and not hit for size, hit in zip(sizes, right, strict=True))
        else ""
    )


def _answers(
    comparison: Comparison,
    source: Source,
    stored: Array,
    place: int,
    records: list[Record],
    asked: list[Runtime | None],
    result: Verification,
    lawful: bool,
) -> None:
    for target, runtime in enumerate(asked):
        name = comparison.models[target].key
        if runtime is None:
            result.unchecked += 1
            result.confirmed += lawful
            result.notes.append(
                f"Made on {source.key}, shown to {name}: not an ONNX model, so its answers were not asked again."
            )
            continue
        found = runtime.labels(_moved(stored, records[place].model.bounds, records[target].model.bounds)).tolist()
        differ = sum(one != two for one, two in zip(found, source.answers[target], strict=True))
        if differ:
            result.failures.append(
                f"Made on {source.key}, shown to {name}: ONNX Runtime answers otherwise on {differ} images."
            )
        else:
            result.confirmed += lawful


def _moved(x: Array, source: list[float], target: list[float]) -> Array:
    """x from one pixel range to another, in float64 and back."""
    if list(source) == list(target):
        return x
    share = (x.astype(np.float64) - source[0]) / (source[1] - source[0])
    scaled = (share * (target[1] - target[0]) + target[0]).astype(np.float32)
    return np.clip(scaled, np.float32(target[0]), np.float32(target[1]))
