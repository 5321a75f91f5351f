"""The clean samples: their bytes, labels and sizes are those of the record, and the model answers them as it says."""

from __future__ import annotations

import hashlib

import numpy as np

from robusteval.record.run import Pipeline, Record
from robusteval.verify.parts.evidence import CLEAN, LABELS, Array, Evidence
from robusteval.verify.parts.measures import softmax
from robusteval.verify.parts.result import Verification

CONFIDENCE = 2e-3  # by which a probability may differ from one batch size or machine to another
_MANY = 20  # single sentences about one column; the rest is counted


def check_clean(record: Record, evidence: Evidence, result: Verification) -> None:
    """The stored clean samples against record.data, and the bare model's answers to them against its pipeline's row."""
    clean, labels = evidence.tensors[CLEAN], evidence.tensors[LABELS]
    faults = []
    if clean.dtype != np.float32 or clean.shape != (record.data.samples, *record.model.input_shape):
        result.judge([f"they are of shape {clean.shape}, not as the record has them"], "The stored clean samples")
        return
    if samples_sha256(clean, labels, record.model.bounds) != record.data.sha256:
        faults.append("their hash differs, so they are not the evaluated ones")
    if not np.array_equal(labels, np.asarray(record.data.labels)):
        faults.append("their labels are not those of the record")
    if not np.isfinite(clean).all() or clean.min() < record.model.bounds[0] or clean.max() > record.model.bounds[1]:
        faults.append("some lie outside the box")
    result.judge(faults, "The stored clean samples or labels")
    sizes = np.sqrt((clean.astype(np.float64).reshape(len(clean), -1) ** 2).sum(axis=1))
    _column(result, "data.l2", np.isclose(sizes, record.data.l2, rtol=1e-9, atol=1e-12), sizes, record.data.l2)
    if record.data.hashes:
        found = contents(clean, labels, record.model.bounds)
        same = np.asarray([first == second for first, second in zip(found, record.data.hashes, strict=True)])
        _column(result, "data.hashes", same, found, record.data.hashes)
    bare = next((row for row in record.pipelines if row.defense == "none"), None)
    if bare is None or bare.status != "done":
        result.judge(["the record has no answers of the bare model"], "pipelines")
    elif evidence.model is None:
        result.leave(evidence.without, record.data.samples)
    else:
        _answers(record, bare, clean, evidence, result)


def _answers(record: Record, bare: Pipeline, clean: Array, evidence: Evidence, result: Verification) -> None:
    if evidence.model is None or not len(clean):
        return
    found = evidence.model.labels(clean)
    _column(result, "pipelines[none].prediction", found == np.asarray(bare.prediction), found, bare.prediction)
    own = bare.label or bare.prediction
    scores = evidence.model.scores(clean)
    if scores.shape[1] != record.model.classes:
        result.judge([f"the model has {scores.shape[1]}"], f"model.classes is {record.model.classes}")
        return
    # where a score is not finite there is no answer, and a class all the same
    _column(result, "pipelines[none].label", (found == np.asarray(own)) | (found < 0), found, own)
    if bare.confidence:
        with np.errstate(invalid="ignore", over="ignore"):
            top = np.nan_to_num(softmax(scores).max(axis=1), nan=0.0)
        near = np.abs(top - np.asarray(bare.confidence)) <= CONFIDENCE
        _column(result, "pipelines[none].confidence", near | (found < 0), top, bare.confidence)
    else:
        result.leave("the record holds no confidence for the clean answers", len(clean))


def _column(result: Verification, name: str, same: Array, found: object, printed: object) -> None:
    """One claim a sample. same: bool [N]."""
    wrong = np.flatnonzero(~same)
    result.claims += len(same)
    result.confirmed += len(same) - len(wrong)
    for sample in wrong[:_MANY]:
        result.failures.append(f"{name}[{sample}] is {printed[sample]}, and {found[sample]} is right.")  # type: ignore[index]
    if len(wrong) > _MANY:
        result.failures.append(f"{name}: {len(wrong) - _MANY} more are wrong.")


def samples_sha256(clean: Array, labels: Array, bounds: list[float]) -> str:
    """The hash that a record has of its data: of shape and pixel range, the samples [N, *shape], the labels [N]."""
    digest = hashlib.sha256(repr((tuple(clean.shape), (float(bounds[0]), float(bounds[1])))).encode())
    digest.update(np.ascontiguousarray(clean).tobytes())
    digest.update(np.ascontiguousarray(labels.astype(np.int64)).tobytes())
    return digest.hexdigest()


def contents(clean: Array, labels: Array, bounds: list[float]) -> list[str]:
    """128 bits of the sha256 of each sample with its label, whatever the pixel range: values as shares of it, to 16
    bits."""
    low, high = bounds
    digests = []
    for row, label in zip(clean, labels.tolist(), strict=True):
        steps = np.clip(np.round((row.astype(np.float64) - low) / (high - low) * 65535), 0, 65535)
        digest = hashlib.sha256(np.ascontiguousarray(steps.astype("<u2")).tobytes())
        digest.update(int(label).to_bytes(8, "little", signed=True))
        digests.append(digest.hexdigest()[:32])
    return digests
