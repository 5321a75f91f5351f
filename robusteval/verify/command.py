"""What both command lines of `verify` do: find the files, check, write the statement, and say what was found."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robusteval.cage.page import working
from robusteval.errors import RecordError, RobustEvalError
from robusteval.plain import real
from robusteval.record import comparison, store
from robusteval.record.run import Model
from robusteval.verify.parts.result import Verification
from robusteval.verify.statements.subjects import Located, Place

_MOST = 20
PUBLIC_KEY = "ROBUSTEVAL_PUBLIC_KEY"  # names the signer's key where --public-key does not


@dataclass(frozen=True)
class Wanted:
    """What is asked for beside the check. statement: where one is to be written, also in the place of an older one with
    `overwrite`; signature: a signed statement that is checked in the place of the run, with a public key."""

    statement: str | None = None
    overwrite: bool = False
    signature: str | None = None
    public_key: str | None = None


def verified(path: Path, models: Sequence[str] = (), wanted: Wanted | None = None) -> Verification:
    """The verification of a run, or of one of several models. models: their files, where they are not where they were.
    Raises RecordError, and RobustEvalError for models that do not go with the run."""
    wanted = wanted or Wanted()
    with working("the check of the run"):
        if wanted.signature is not None:
            return _signed(path, models, wanted)
        if wanted.public_key is not None:
            raise RobustEvalError("A public key checks a signature.", "Give the signed statement with --signature.")
        if wanted.statement is not None:
            return _stated(path, models, Path(wanted.statement), wanted.overwrite)
        return _verified(_located(path, models))


def _stated(path: Path, models: Sequence[str], target: Path, overwrite: bool) -> Verification:
    """The same, and the statement of it in a file."""
    from robusteval.verify.statements import write

    write.check_free(target, overwrite)
    found = _located(path, models)
    before = write.Before(found, target)
    result = _verified(found)
    write.save(before.statement(result), target)
    result.notes.append(f"Statement: {target}")
    return result


def _signed(path: Path, models: Sequence[str], wanted: Wanted) -> Verification:
    """What a signed statement says of the run, which is not checked again."""
    from robusteval.verify.statements.check import check_signature

    if wanted.statement is not None:
        raise RobustEvalError(
            "A statement says what was checked here, and --signature checks who signed another one.",
            "Give one of --statement and --signature.",
        )
    key = wanted.public_key or os.environ.get(PUBLIC_KEY)
    if not key:
        raise RobustEvalError(
            "A signature says nothing without the signer's public key.",
            f"Give it with --public-key, or in {PUBLIC_KEY}; get it from the signer, and not from the run.",
        )
    return check_signature(path, Path(str(wanted.signature)), Path(key), lambda: _located(path, models))


def _located(path: Path, models: Sequence[str]) -> Located:
    """The run with its models' files, as far as they are found."""
    folder = path if path.is_dir() else path.parent
    if comparison.is_comparison(path):
        compared = comparison.load(folder)
        return Located(folder, _several(compared, folder, models), compared)
    if len(models) > 1:
        raise RobustEvalError("This run has one model.", "Give --model once.")
    file = path / store.RECORD_FILE if path.is_dir() else path
    record = store.load(path)
    return Located(folder, [Place("", record, file, find(models[0] if models else None, record.model, folder))])


def _verified(found: Located) -> Verification:
    if found.comparison is not None:
        from robusteval.verify.comparison import verify_comparison

        return verify_comparison(found.comparison, found.folder, [place.model for place in found.places])
    from robusteval.verify.run import verify

    place = found.places[0]
    return verify(place.record, found.folder, place.model)


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
    yield result.statement


def as_json(result: Verification) -> str:
    """All of it, machine-readable."""
    return json.dumps(result.to_json(), indent=1)


def _several(compared: comparison.Comparison, folder: Path, models: Sequence[str]) -> list[Place]:
    places = []
    for entry in compared.models:
        named = next((model for model in models if Path(model).name == entry.file), None)
        file = folder / entry.key / store.RECORD_FILE
        record = store.load(file.parent)
        places.append(Place(entry.key, record, file, find(named, record.model, file.parent)))
    return places


def find(given: str | None, model: Model, folder: Path) -> Path | None:
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
            "Give the model yourself with --model MODEL.",
        )
    return None
