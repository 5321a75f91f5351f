"""What both command lines of `verify` do: find the files, check, and say what was found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from robusteval.cage.page import working
from robusteval.errors import RecordError, RobustEvalError
from robusteval.plain import real
from robusteval.record import comparison, store
from robusteval.record.run import Model
from robusteval.verify.parts.result import STATEMENT, Verification

_MOST = 20


def verified(path: Path, models: Sequence[str] = ()) -> Verification:
    """The verification of a run, or of one of several models. models: their files, where they are not where they were.
    Raises RecordError, and RobustEvalError for models that do not go with the run."""
    with working("the check of the run"):
        return _verified(path, models)


def _verified(path: Path, models: Sequence[str]) -> Verification:
    folder = path if path.is_dir() else path.parent
    if comparison.is_comparison(path):
        return _several(folder, models)
    from robusteval.verify.run import verify

    if len(models) > 1:
        raise RobustEvalError("This run has one model.", "Give --model once.")
    record = store.load(path)
    return verify(record, folder, _find(models[0] if models else None, record.model, folder))


def lines(result: Verification) -> Iterator[str]:
    """What is printed: notes, failures, what could not be checked, the counts and what they cover."""
    yield from result.notes
    for failure in result.failures[:_MOST]:
        yield f"FAILS: {failure}"
    if len(result.failures) > _MOST:
        yield f"... and {len(result.failures) - _MOST} more"
    for reason, count in result.left.items():
        yield f"Not checked: {count} {reason}."
    yield f"{result.summary}."
    yield STATEMENT


def as_json(result: Verification) -> str:
    """All of it, machine-readable."""
    return json.dumps(result.to_json(), indent=1)


def _several(folder: Path, models: Sequence[str]) -> Verification:
    from robusteval.verify.comparison import verify_comparison

    compared = comparison.load(folder)
    files = []
    for entry in compared.models:
        named = next((model for model in models if Path(model).name == entry.file), None)
        record = store.load(folder / entry.key)
        files.append(_find(named, record.model, folder / entry.key))
    return verify_comparison(compared, folder, files)


def _find(given: str | None, model: Model, folder: Path) -> Path | None:
    """The evaluated model: as given, as the record says, or beside the record. A record may name any file of this
    machine: only plain ones that end in .onnx are opened on its word. Raises RecordError."""
    if given is not None:
        return Path(given)
    for candidate in (Path(model.path), folder / Path(model.file).name):
        if not model.path or model.format != "onnx" or not os.path.lexists(candidate):
            continue
        if candidate.suffix.lower() == real(candidate).suffix.lower() == ".onnx" and candidate.is_file():
            return candidate
        raise RecordError(
            f"The record names {str(candidate)[:200]!r} as its model, which is no plain .onnx file: it was not opened.",
            "Give the model yourself: robusteval verify RUN --model MODEL.",
        )
    return None
