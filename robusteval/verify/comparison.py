"""Re-checking a run of several models: each model's own record, the transfer matrix, and what follows from both."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robusteval.assessment.references.several import derive
from robusteval.plain import read_plain
from robusteval.record import store
from robusteval.record.comparison import TITLES_ONLY, Comparison, Entry, Source
from robusteval.record.run import Record
from robusteval.record.units import norm_width
from robusteval.runtime.answers import Runtime
from robusteval.verify.parts.asking import reopened
from robusteval.verify.parts.derived import titles_only
from robusteval.verify.parts.evidence import CLEAN, read_tensors
from robusteval.verify.parts.measures import distance_of
from robusteval.verify.parts.page import check_comparison_page
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.same import differences
from robusteval.verify.run import part, verify

Array = NDArray[Any]
FILE = "transfer.safetensors"
_WHOLE = 0.99  # of a Linf budget: attacks that start anywhere in the ball, or take one step, get there somewhere
UNSPENT = "the budget of the transfer matrix, as no adversarial spent it and the attack need not"
SETTINGS = "attack, version and parameters of the transfer matrix, which no run of a single model has"


def verify_comparison(comparison: Comparison, folder: Path, models: Sequence[Path | None]) -> Verification:
    """Checks every model's run, every answer in the matrix, and the figures of all together. models: each model's file,
    or None where it is not there. Raises RecordError where there is nothing to check with."""
    result = Verification()
    records = []
    for entry, model in zip(comparison.models, models, strict=True):
        entry_folder = folder / entry.key
        record = store.load(entry_folder)
        records.append(record)
        same = (
            hashlib.sha256(read_plain(entry_folder / store.RECORD_FILE, follow=False)).hexdigest()
            == entry.record_sha256
        )
        with result.kind("records of the models"):
            result.judge([] if same else ["its record.json is not the one that was compared"], entry.key)
            result.judge(_entry(entry, record), f"models, {entry.key}")
        result.add(verify(record, entry_folder, model), entry.key)
    part(result, "transfer matrix", lambda: _matrix(comparison, records, folder, models, result))
    part(result, "figures of all models", lambda: _derived(comparison, records, result))
    with result.kind("page and tables"):
        check_comparison_page(comparison, folder, result)
    return result


def _entry(one: Entry, record: Record) -> list[str]:
    """What the comparison says of a model against its record."""
    grade = record.verdict.grade if record.verdict is not None else ""
    failed = sum(cell.status == "failed" for cell in record.cells)
    printed = (one.name, one.file, one.sha256, list(one.bounds), one.grade, one.failed)
    model = record.model
    true = (model.name, model.file, model.sha256, list(model.bounds), grade, failed)
    return [] if printed == true else ["it is not what its record says"]


def _derived(comparison: Comparison, records: list[Record], result: Verification) -> None:
    """Suite and samples are those of the first record, the figures follow from the records, the matrix from its
    columns."""
    first = records[0]
    for name in ("suite", "data", "seed", "tool"):
        found = list(differences(getattr(comparison, name), getattr(first, name), name))
        result.judge(found[:3], "comparison.json")
    for model, record in zip(comparison.models, records, strict=True):
        same = record.data.labels == first.data.labels and len(record.data.hashes) == len(first.data.hashes)
        result.judge([] if same else ["it saw other samples"], model.key)
    again = derive([(model.key, record) for model, record in zip(comparison.models, records, strict=True)])
    if comparison.schema == TITLES_ONLY:
        again = [titles_only(figure) for figure in again]
    result.judge(list(differences(comparison.results, again, "results"))[:3], "comparison.json")
    result.judge(["nothing finds any there"] if comparison.findings else [], "comparison.findings")
    transfer = comparison.transfer
    if transfer is None:
        return
    result.leave(SETTINGS)
    for index, (right, record) in enumerate(zip(transfer.right, records, strict=True)):
        bare = record.pipeline("none").prediction
        true = [answer == label for answer, label in zip(bare, record.data.labels, strict=True)]
        result.judge([] if right == true else ["it is not what the clean answers say"], f"transfer.right[{index}]")
    for index, source in enumerate(transfer.sources):
        result.judge(
            [] if source.key == comparison.models[index].key else [f"it is of {source.key}"],
            f"transfer.sources[{index}]",
        )


def _matrix(
    comparison: Comparison, records: list[Record], folder: Path, models: Sequence[Path | None], result: Verification
) -> None:
    """The adversarials of each source: their distance and box, and every ONNX model's answers to them."""
    transfer = comparison.transfer
    if transfer is None or not transfer.file:
        done = transfer is not None and any(source.status == "done" for source in transfer.sources)
        if done or (folder / FILE).exists():
            result.judge(["it does not name its adversarials, and there are some"], "transfer")
        return
    if transfer.file != FILE:
        result.judge([f"it is {transfer.file[:80]!r}"], "transfer.file")
        return
    tensors, digest = read_tensors(folder / FILE)
    result.judge([] if digest == transfer.sha256 else ["its hash differs, so it is not the run's"], "The transfer file")
    asked = [
        reopened(model, record) if model is not None and record.model.format == "onnx" else None
        for model, record in zip(models, records, strict=True)
    ]
    extra = sorted(tensors.keys() - {source.key for source in transfer.sources if source.status == "done"})
    if extra:
        result.judge([f"it holds adversarials of {', '.join(extra[:5])}, which are said not to be done"], FILE)
    _spent(comparison, records, tensors, folder, result)
    for index, source in enumerate(transfer.sources):
        done = source.status == "done"
        odd = bool(source.reason) if done else bool(source.answers or source.unlawful) or not source.reason
        if odd or not done:
            result.judge(["what it has does not go with its status"] if odd else [], f"transfer.sources[{index}]")
        if not done:
            continue
        result.claims += len(records)
        if source.key not in tensors or len(tensors[source.key]) != len(comparison.data.labels):
            result.failures.append(f"The transfer file does not hold the adversarials of {source.key}.")
            continue
        stored = tensors[source.key]
        fault = _infeasible(
            comparison, stored, records[index], folder / comparison.models[index].key, transfer.right[index]
        )
        if fault:
            result.failures.append(f"Made on {source.key}: {fault}")
        _answers(comparison, source, stored, index, records, asked, result, not fault)


def _spent(
    comparison: Comparison, records: list[Record], tensors: dict[str, Array], folder: Path, result: Verification
) -> None:
    """A budget in Linf is spent by most attacks, so one that is stated larger is none of their own; and no more
    candidates were thrown out than there are samples that did not move."""
    transfer, shares = comparison.transfer, []
    for index, source in enumerate(transfer.sources if transfer is not None else []):
        record, stored = records[index], tensors.get(source.key)
        if transfer is None or source.status != "done" or stored is None or record.witnesses is None:
            continue
        clean = read_tensors(folder / comparison.models[index].key / record.witnesses.file)[0].get(CLEAN)
        if clean is None or clean.shape != stored.shape:
            continue
        sizes = [distance_of(before, after, transfer.norm) for before, after in zip(clean, stored, strict=True)]
        still = sum(not size and hit for size, hit in zip(sizes, transfer.right[index], strict=True))
        if not 0 <= source.unlawful <= still:
            result.judge([f"{still} samples did not move"], f"transfer.sources[{index}].unlawful is {source.unlawful}")
        if transfer.norm == "linf" and not record.model.grid and not record.suite.levels:
            shares.append(max(sizes, default=0.0) / (transfer.eps * norm_width("linf", record.model.bounds) or 1.0))
    if transfer is None or not 0 < max(shares, default=0.0) < _WHOLE:
        return
    if transfer.plugin == "fgsm" or (transfer.plugin == "pgd" and transfer.params.get("random_start", True)):
        result.judge([f"no adversarial goes farther than {max(shares):.3g} of it"], "transfer.eps")
    else:
        result.leave(UNSPENT)


def _infeasible(comparison: Comparison, stored: Array, record: Record, folder: Path, right: list[bool]) -> str:
    """What is wrong with a source's adversarials: outside the box, over the budget, or moved where it was not
    attacked."""
    transfer = comparison.transfer
    low, high = record.model.bounds
    if not np.isfinite(stored).all() or stored.min() < low or stored.max() > high:
        return "some adversarials lie outside the box."
    if transfer is None or record.witnesses is None:
        return ""
    clean = read_tensors(folder / record.witnesses.file)[0].get(CLEAN)
    if clean is None or clean.shape != stored.shape:
        return "the clean images are not there to compare with."
    limit = transfer.eps * norm_width(transfer.norm, record.model.bounds) * (1 + 1e-5)
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
    index: int,
    records: list[Record],
    asked: list[Runtime | None],
    result: Verification,
    feasible: bool,
) -> None:
    for target, runtime in enumerate(asked):
        name = comparison.models[target].key
        if runtime is None:
            result.claims -= 1
            result.leave(f"answers of {name} in the matrix, which is no ONNX model")
            continue
        found = runtime.labels(_moved(stored, records[index].model.bounds, records[target].model.bounds)).tolist()
        differ = sum(first != second for first, second in zip(found, source.answers[target], strict=True))
        if differ:
            result.failures.append(
                f"Made on {source.key}, shown to {name}: ONNX Runtime answers otherwise on {differ} images."
            )
        else:
            result.confirmed += feasible


def _moved(x: Array, source: list[float], target: list[float]) -> Array:
    """x from one pixel range to another, in float64 and back."""
    if list(source) == list(target):
        return x
    share = (x.astype(np.float64) - source[0]) / (source[1] - source[0])
    scaled = (share * (target[1] - target[0]) + target[0]).astype(np.float32)
    return np.clip(scaled, np.float32(target[0]), np.float32(target[1]))
