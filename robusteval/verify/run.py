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
from robusteval.verify.eight_bit import check_rounded

Array = NDArray[Any]

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


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
        answer = Runtime(model, record) if model is not None else None
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


class Runtime:
    """ONNX Runtime on the file's own bytes, fed as the record says."""

    def __init__(self, path: Path, record: Record) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        if _file_hash(path) != record.model.sha256:
            raise RecordError(
                f"The model {path} is not the one that was evaluated: its hash differs.",
                "Give the evaluated file with --model.",
            )
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise RecordError(f"ONNX Runtime cannot load {path}: {error}.") from None
        self.model = record.model

    def labels(self, x: Array) -> Array:
        """The model's answers [B] to canonical samples [B, *shape]."""
        only = self.session.get_inputs()[0]
        feed = self._feed(x, only.type)
        shape = [size if isinstance(size, int) and size > 0 else None for size in only.shape]
        batch = shape[0]
        if None not in shape[1:]:
            feed = feed.reshape(-1, *shape[1:])
        step = batch or self.model.batch or 128
        answers = []
        for start in range(0, len(feed), step):
            part = feed[start : start + step]
            padded = part
            if (batch or self.model.batch) and len(part) < step:
                padded = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            answers.append(self._argmax(padded)[: len(part)])
        return np.concatenate(answers)

    def _feed(self, x: Array, kind: str) -> Array:
        low, high = self.model.bounds
        for values, apply in ((self.model.mean, np.subtract), (self.model.std, np.divide)):
            if values:
                tail = (1, 1) if x.ndim == 4 else ()
                x = apply(x, np.asarray(values, dtype=np.float32).reshape(-1, *tail))
        dtype = np.dtype(_TYPES.get(kind, np.float32))
        if dtype.kind in "iu":
            limits = np.iinfo(str(dtype))
            if (low, high) == (0.0, 1.0):
                x = (x - np.float32(low)) * np.float32(255.0 / (high - low))
            x = np.clip(np.round(x), float(limits.min), float(limits.max))
        if self.model.layout == "NHWC" and x.ndim == 4:
            x = x.transpose(0, 2, 3, 1)
        return np.ascontiguousarray(x.astype(dtype))

    def _argmax(self, feed: Array) -> Array:
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: feed})
        for value in outputs:
            if isinstance(value, list) and value and isinstance(value[0], dict):  # ZipMap
                keys = sorted(value[0])
                return np.asarray([keys.index(max(row, key=row.get)) for row in value])
        for value in outputs:
            array = np.asarray(value)
            if array.ndim >= 2 and array.reshape(len(array), -1).shape[1] == self.model.classes:
                return np.asarray(array.reshape(len(array), -1).argmax(axis=1))
        first = np.asarray(outputs[0])
        if first.size == len(feed) and np.issubdtype(first.dtype, np.floating):  # one score for two classes
            half = 0.5 if self.model.output == "probabilities" else 0.0
            return (first.ravel() > half).astype(np.int64)
        return np.asarray(first.ravel().astype(np.int64))


def _file_hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
