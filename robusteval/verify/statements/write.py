"""Writing what a verification found: the statement, whole or not at all, and never in the place of a file of the
run."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from robusteval import __version__
from robusteval.errors import RecordError, RobustEvalError
from robusteval.plain import odd
from robusteval.record.store import write_atomically
from robusteval.text import as_name, as_sentence
from robusteval.verify.parts.result import Count, Verification
from robusteval.verify.statements.statement import (
    PREDICATE,
    TYPE,
    Digest,
    Predicate,
    Run,
    Said,
    Statement,
    Subject,
    to_json,
)
from robusteval.verify.statements.subjects import MODEL, Located, Place, of_files, of_models, of_samples

MOST = 100  # sentences about failures that a statement holds
FAILED = (
    "The verification failed, so this statement confirms nothing: its failures are what the run says and what did not "
    "re-check."
)
_CHANGED = "Let nothing write there while `robusteval verify` is at work."


def check_free(path: Path, overwrite: bool, what: str = "statement") -> None:
    """Raises RobustEvalError where a file is not to be written to that path: something else than a file is there, a
    file that was not said to be replaced, or no folder to hold it. So nobody waits for a check whose end cannot be
    kept."""
    if strange := odd(path):
        raise RobustEvalError(f"The {what} cannot be written to {path}: it is {strange}.", "Give the name of a file.")
    if os.path.lexists(path) and not overwrite:
        raise RobustEvalError(f"{path} exists.", "Give another name, or --overwrite.")
    if not path.parent.is_dir():
        raise RobustEvalError(f"The {what} cannot be written to {path}: there is no such folder.", "Make the folder.")


def put(path: Path, content: bytes) -> None:
    """Writes it, whole or not at all. Raises RecordError."""
    try:
        write_atomically(path, content)
    except RecordError as error:
        raise RecordError(error.message, "Give a place that can be written to.") from None


class Before:
    """What lay there before a verification. A statement is about that, and about nothing that came meanwhile."""

    def __init__(self, found: Located, path: Path) -> None:
        """path: where the statement is to go. Raises RobustEvalError where that is a file of the run or of its
        model, or the run cannot be read."""
        self._found = found
        self._before = self._now()
        self._samples = of_samples(found)
        taken = [place.model for place in found.places if place.model is not None]
        taken += [found.folder / name for name in self._before if ":" not in name]
        if any(path.resolve() == file.resolve() for file in taken):
            raise RobustEvalError(
                f"The statement cannot be written to {path}: that is a file of the run.", "Give another name."
            )

    def statement(self, result: Verification) -> Statement:
        """The statement of what was found. Raises RecordError where files are others than before."""
        after = self._now()
        changed = sorted(name for name in self._before | after if self._before.get(name) != after.get(name))
        if changed:
            raise RecordError(f"{', '.join(changed)[:500]} changed while the run was checked.", _CHANGED)
        digests = self._before | self._samples
        subjects = [Subject(name, Digest(digest)) for name, digest in digests.items()]
        failures = result.failures or ([] if result.held else ["Nothing could be checked."])
        said = Predicate(
            result="confirmed" if result.held else "failed",
            exit_code=0 if result.held else 1,
            claims=_sum(result),
            kinds=result.kinds,
            not_checked=result.left,
            failures=[as_sentence(failure) for failure in failures[:MOST]],
            failures_left_out=max(len(failures) - MOST, 0),
            scope=result.statement if result.held else FAILED,
            versions=_versions(),
            finished=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            runs=[_run(place, digests, result.held) for place in self._found.places],
        )
        return Statement(TYPE, subjects, PREDICATE, said)

    def _now(self) -> dict[str, str]:
        return of_files(self._found) | of_models(self._found)


def save(statement: Statement, path: Path) -> None:
    """Writes a statement. Raises RecordError."""
    put(path, to_json(statement).encode())


def _sum(result: Verification) -> Count:
    kinds = result.kinds.values()
    return Count(*(sum(getattr(count, name) for count in kinds) for name in ("confirmed", "failed", "unchecked")))


def _run(place: Place, digests: dict[str, str], held: bool) -> Run:
    model, verdict = place.record.model, place.record.verdict
    said = Said(verdict.status, verdict.grade, as_sentence(verdict.grade_reason)) if verdict and held else None
    read = any(name.startswith(place.named(MODEL)) for name in digests)
    return Run(place.key, as_name(model.file), model.sha256, read, place.record.data.sha256, said)


def _versions() -> dict[str, str]:
    """Of what the answer depends on."""
    import numpy as np
    import onnxruntime
    import pyarrow as pa
    import safetensors

    packages = {"numpy": np, "onnxruntime": onnxruntime, "pyarrow": pa, "safetensors": safetensors}
    found = {name: str(package.__version__) for name, package in packages.items()}
    return {"python": platform.python_version(), "robusteval": __version__, **found}
