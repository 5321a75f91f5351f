"""Re-checking a finished run: numpy, ONNX Runtime and the record. No torch, no attack, none of our loaders.

What was measured is compared with what proves it: the clean answers and the stored adversarials, asked again. What was
derived is derived again, by the same pure functions of the record, and compared with what is printed. What can be
neither is counted (see docs/verify.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from robusteval.errors import RecordError, RobustEvalError
from robusteval.record.reference_set import LoadedSet
from robusteval.record.run import Record
from robusteval.verify.parts.clean import check_clean
from robusteval.verify.parts.columns import check_columns
from robusteval.verify.parts.derived import built_in, check_derived
from robusteval.verify.parts.eight_bit import check_rounded
from robusteval.verify.parts.evidence import CLEAN, Evidence, gather
from robusteval.verify.parts.facts import check_facts, earlier
from robusteval.verify.parts.gallery import check_gallery
from robusteval.verify.parts.known import check_known
from robusteval.verify.parts.page import check_page
from robusteval.verify.parts.result import Verification
from robusteval.verify.parts.stored import stored
from robusteval.verify.proofs.check import check_proofs
from robusteval.verify.proofs.claims import check_claims


def verify(record: Record, folder: Path, model: Path | None) -> Verification:
    """Checks all of a run that can be checked without attacking again. model: the evaluated file, None where it is not
    there. Raises RecordError where there is nothing to check with, or the model is another one."""
    evidence = gather(record, folder, model)
    result = check(record, evidence)
    if record.certificates or record.certificates_behind:
        part(result, "certificates", lambda: check_proofs(record, folder, evidence, result))
    with result.kind("page and tables"):
        check_page(record, folder, result)
    if evidence.model is not None:
        result.notes.insert(0, f"The model's hash agrees: {record.model.sha256[:16]}.")
    result.notes += earlier(record, result)
    return result


def check(
    record: Record, evidence: Evidence, metrics: dict[str, Any] | None = None, shipped: list[LoadedSet] | None = None
) -> Verification:
    """The record against the evidence, all but the page. metrics, shipped: what comes with robusteval, read anew where
    it is not given."""
    result = Verification()
    if record.witnesses is None:
        raise RecordError("This run stored no adversarials, so there is nothing to verify.")
    bare = next((row for row in record.pipelines if row.defense == "none"), None)
    if bare is None or bare.status != "done":
        raise RecordError("The record has no clean answers of the bare model, so there is nothing to verify.")
    part(result, "facts", lambda: _facts(record, result))
    part(result, "clean answers", lambda: check_clean(record, evidence, result))
    if evidence.tensors[CLEAN].shape == (record.data.samples, *record.model.input_shape):
        part(result, "stored adversarials", lambda: _proof(record, evidence, result))
    else:
        with result.kind("stored adversarials"):
            odd = "they are not as many, or not of the shape, that the record says"
            result.judge([odd], "The stored clean samples")
    part(result, "known models", lambda: check_known(record, result, shipped))
    part(result, "derived parts", lambda: check_derived(record, built_in() if metrics is None else metrics, result))
    return result


def _facts(record: Record, result: Verification) -> None:
    """What needs neither the model nor the images."""
    check_facts(record, result)
    check_claims(record, result)


def part(result: Verification, name: str, check: Callable[[], None]) -> None:
    """One part of the checks. A record that was changed may lack whatever they take for granted: then it does not
    hold."""
    with result.kind(name):
        try:
            check()
        except RobustEvalError:
            raise
        except Exception as error:  # noqa: BLE001 - fails closed
            result.judge(
                [f"they cannot be checked, as the record contradicts itself ({type(error).__name__}: {error})"], name
            )


def _proof(record: Record, evidence: Evidence, result: Verification) -> None:
    """Columns, 8-bit images and gallery against the stored adversarials."""
    there = stored(record, evidence, result)
    check_columns(record, evidence, there, result)
    _rounded(record, evidence, result)
    check_gallery(record, evidence, there, result)


def _rounded(record: Record, evidence: Evidence, result: Verification) -> None:
    """The wins that are kept as 8-bit images too."""
    if evidence.model is None:
        return
    asked, failures, notes = check_rounded(record, evidence.tensors, evidence.tensors[CLEAN], evidence.model.labels)
    result.claims += asked
    result.confirmed += max(asked - len(failures), 0)
    result.failures += failures
    result.notes += notes
