"""Whether a signed statement confirms a run: by whom it was signed, that it says so, and that it is about these very
bytes.

Nothing that lies in the run is read as a record before its bytes are found to be those that were signed, and nothing
that a statement says is read before its signature is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from robusteval.errors import RecordError, RobustEvalError
from robusteval.record.comparison import COMPARISON_FILE, is_comparison
from robusteval.record.store import RECORD_FILE
from robusteval.verify.parts.result import Verification
from robusteval.verify.statements.envelope import PAYLOAD, read, signed_by
from robusteval.verify.statements.keys import public_key
from robusteval.verify.statements.statement import MAX_BYTES, Statement, from_json
from robusteval.verify.statements.subjects import MODEL, Located, Place, file_sha256, of_files, of_models, of_samples

SIGNED = (
    "What is confirmed is that the owner of this key signed a statement that confirms this run, byte for byte; nothing "
    "of the run was checked again here, which is what `robusteval verify RUN` does."
)
UNCHECKED = "the run itself, which was not checked again: only who signed for it"
ABSENT = "files of a model that was not found: give it with --model to compare their bytes"
UNCOVERED = "a model whose bytes the statement does not cover"
_DEPTH = 2  # parts of a file's name in a run: its model's folder and itself


def check_signature(path: Path, signature: Path, key: Path, located: Callable[[], Located]) -> Verification:
    """The signed statement against a run, or against one of several models. key: the signer's public one; located:
    finds and reads the run, and is asked only where its files are those that were signed. Raises RobustEvalError where
    the key or the signed statement cannot be read at all."""
    folder = path if path.is_dir() else path.parent
    result = Verification(statement=SIGNED)
    with result.kind("signature"):
        statement = _signed(folder, signature, key, result)
    if statement is None:
        return result
    with result.kind("statement"):
        _says(statement, result)
    with result.kind("files"):
        if _bytes(statement, path, folder, result):
            _covers(statement, located, result)
    result.leave(UNCHECKED)
    return result


def _signed(folder: Path, signature: Path, key: Path, result: Verification) -> Statement | None:
    """What was signed; None where it was not signed by this key, or is no statement."""
    trusted = public_key(key, folder)
    envelope = read(signature)
    if not signed_by(envelope, trusted):
        fault = f"it is not that of the key {key}, so nothing that {signature.name} says was looked at"
        result.judge([fault], "The signature")
        return None
    result.judge([], "The signature")
    odd = f"what was signed is {envelope.payload_type[:80]!r}, and a statement is {PAYLOAD!r}"
    result.judge([odd] if envelope.payload_type != PAYLOAD else [], "The type")
    if envelope.payload_type != PAYLOAD:
        return None
    result.notes.append(f"Signed with the key {trusted.keyid[:16]}.")
    if len(envelope.payload) > MAX_BYTES:
        raise RecordError(f"The signed statement has more than {MAX_BYTES:,} bytes.")
    try:
        return from_json(envelope.payload.decode())
    except UnicodeDecodeError:
        raise RecordError("The signed statement is no text.") from None


def _says(statement: Statement, result: Verification) -> None:
    """Whether it confirms anything."""
    said = statement.predicate
    contradiction = statement.contradiction
    result.judge([contradiction] if contradiction else [], "The statement contradicts itself")
    failed = f"it says that the verification failed, with {said.claims.failed} claims that do not hold"
    result.judge([failed] if said.result != "confirmed" else [], "The statement")
    if result.failures:
        return
    result.notes.append(
        f"It says, on {said.finished}: {said.claims.confirmed} claims confirmed, {said.claims.unchecked} not checked, "
        f"by robusteval {said.versions.get('robusteval', 'of no version')}."
    )
    for run in said.runs:
        if run.verdict is not None:
            result.notes.append(f"{run.model}: {run.verdict.status}, grade {run.verdict.grade}.")


def _bytes(statement: Statement, path: Path, folder: Path, result: Verification) -> bool:
    """Each file of the run that it names, before any of them is read as anything; whether all are those, with the one
    that is read first among them."""
    before = len(result.failures)
    signed = {name: digest for name, digest in _named(statement).items() if ":" not in name}
    first = path.name
    if path.is_dir():
        first = COMPARISON_FILE if is_comparison(path) else RECORD_FILE
    result.judge([] if first in signed else ["it is not among the files that were signed for"], first)
    for name, digest in signed.items():
        fault = _fault(folder, name, digest)
        result.judge([fault] if fault else [], name)
    return len(result.failures) == before


def _fault(folder: Path, name: str, digest: str) -> str:
    """What is wrong with a file of the run; "" where its bytes are those that were signed."""
    parts = PurePosixPath(name).parts
    if not 1 <= len(parts) <= _DEPTH or ".." in parts or "\0" in name or "/" in (parts[0], name[-1:]):
        return "that is no name of a file in a run"
    if len(parts) == _DEPTH and (folder / parts[0]).is_symlink():
        return "its folder is a link"
    try:
        found = file_sha256(folder / name)
    except RecordError as error:
        return error.message
    if found is None:
        return "it is not there"
    return "" if found == digest else "its bytes are not those that were signed"


def _covers(statement: Statement, located: Callable[[], Located], result: Verification) -> None:
    """Whether it names all that a statement about this run names, by the same hashes: the model's files and the samples
    too, where they are."""
    found = located()
    signed = _named(statement)
    there = of_files(found)
    for name in sorted(there.keys() - signed.keys()):
        result.judge(["it is not among the files that were signed for"], name)
    for name in sorted(name for name in signed.keys() - there.keys() if ":" not in name):
        result.judge(["it is signed for, and no file of this run"], name)
    for make in (of_models, of_samples):
        try:
            there |= make(found)
        except RobustEvalError as error:
            result.judge([error.message.rstrip(".")], "What was signed for cannot be read")
    for place in found.places:
        _of_place(place, signed, there, result)
    of_runs = {name for place in found.places for name in signed if _belongs(name, place)}
    for name in sorted(name for name in signed if ":" in name and name not in of_runs):
        result.judge(["it is signed for, and of no model of this run"], name)


def _of_place(place: Place, signed: Mapping[str, str], there: Mapping[str, str], result: Verification) -> None:
    """Model and samples of one run."""
    ours = sorted(name for name in signed.keys() | there.keys() if ":" in name and _belongs(name, place))
    models = [name for name in ours if name.startswith(place.named(MODEL))]
    if not any(name in signed for name in models):
        result.leave(UNCOVERED)
        ours = [name for name in ours if name not in models]
    elif not any(name in there for name in models):
        result.leave(ABSENT, len(models))
        ours = [name for name in ours if name not in models]
    for name in ours:
        if name not in there:
            result.judge(["it is signed for, and not there"], name)
        elif name not in signed:
            result.judge(["it is not among what was signed for"], name)
        else:
            same = signed[name] == there[name]
            result.judge([] if same else ["it is not what was signed for: its hash differs"], name)


def _belongs(name: str, place: Place) -> bool:
    """Whether a subject that is no file of the run's folder is one of this run's."""
    head = f"{place.key}/" if place.key else ""
    rest = name.removeprefix(head)
    return name.startswith(head) and ":" in rest and "/" not in rest.partition(":")[0]


def _named(statement: Statement) -> dict[str, str]:
    return {subject.name: subject.digest.sha256 for subject in statement.subject}
