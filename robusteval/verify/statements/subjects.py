"""What a statement is about, by hash: the files of a run, the evaluated model's, and the evaluated samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from robusteval.errors import RecordError, RobustEvalError
from robusteval.plain import in_words, opened, read_plain
from robusteval.record.comparison import COMPARISON_FILE, Comparison
from robusteval.record.run import Record
from robusteval.runtime.external import MAX_BYTES as MAX_MODEL
from robusteval.runtime.files import each_sha256
from robusteval.verify.parts.clean import samples_sha256
from robusteval.verify.parts.evidence import CLEAN, LABELS, MAX_BYTES, read_tensors
from robusteval.verify.parts.page import PAGE

MODEL, DATA = "model:", "data:"  # what a subject's name says that is no file below the run's folder
SAMPLES = f"{DATA}samples"
_BLOCK = 1 << 20
_HINT = "Give the folder that the run wrote."


@dataclass(frozen=True)
class Place:
    """Where a run lies. key: its folder in a run of several models, else ""; file: its record.json; model: the
    evaluated file, None where it was not found."""

    key: str
    record: Record
    file: Path
    model: Path | None

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.file.parent

    def named(self, name: str) -> str:
        """A subject's name."""
        return f"{self.key}/{name}" if self.key else name


@dataclass(frozen=True)
class Located:
    """A run of one model, or of several with what compares them."""

    folder: Path
    places: Sequence[Place]
    comparison: Comparison | None = None


def of_files(found: Located) -> dict[str, str]:
    """The sha256 of each file of the run, by its path below the folder. Raises RecordError for what is no plain file,
    and where one is missing that the record names."""
    digests: dict[str, str] = {}
    for name, needed in _files(found):
        digest = file_sha256(found.folder / name)
        if digest is not None:
            digests[name] = digest
        elif needed:
            raise RecordError(f"{found.folder / name} is not there, and the record names it.", _HINT)
    return digests


def file_sha256(path: Path, follow: bool = False) -> str | None:
    """The hash of a plain file's bytes; None where there is none. follow: it may be a link. Raises RecordError."""
    try:
        with opened(path, MAX_BYTES, follow=follow) as file:
            digest = hashlib.sha256()
            while block := file.read(_BLOCK):
                digest.update(block)
            return digest.hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordError(f"Cannot read {path}: {in_words(error)}.", _HINT) from None


def of_models(found: Located) -> dict[str, str]:
    """The sha256 of the files of each model that was found. Raises RobustEvalError where one cannot be read."""
    digests: dict[str, str] = {}
    for place in found.places:
        digests |= _of_model(place)
    return digests


def of_samples(found: Located) -> dict[str, str]:
    """The hash of the evaluated samples with their labels, of each run, made anew from those that are stored. Raises
    RecordError where they are not stored as the record says."""
    digests = {}
    for place in found.places:
        witnesses = place.record.witnesses
        if witnesses is None:
            continue
        tensors = read_tensors(place.folder / _plain(witnesses.file))[0]
        if CLEAN not in tensors or LABELS not in tensors:
            raise RecordError("The witness file has no clean samples.", _HINT)
        bounds = place.record.model.bounds
        digests[place.named(SAMPLES)] = samples_sha256(tensors[CLEAN], tensors[LABELS], bounds)
    return digests


def _files(found: Located) -> Iterator[tuple[str, bool]]:
    """(path below the folder, whether it has to be there)."""
    if found.comparison is not None:
        transfer = found.comparison.transfer
        yield COMPARISON_FILE, True
        if transfer is not None and transfer.file:
            yield _plain(transfer.file), True
        yield PAGE, False
    for place in found.places:
        record = place.record
        yield place.named(_plain(place.file.name)), True
        if record.per_sample is not None:
            yield place.named(_plain(record.per_sample.file)), True
        if record.witnesses is not None:
            yield place.named(_plain(record.witnesses.file)), True
        if record.proofs is not None:
            yield place.named(_plain(record.proofs.file)), True
        yield place.named(PAGE), False


def _of_model(place: Place) -> dict[str, str]:
    """Of an ONNX model its file and each with its external data; of another its file, where that is the record's."""
    model = place.record.model
    if place.model is None or not place.model.exists():
        return {}
    if model.format == "onnx":
        each = each_sha256(place.model)
        return {place.named(f"{MODEL}{location or model.file}"): digest for location, digest in each.items()}
    try:
        digest = hashlib.sha256(read_plain(place.model, MAX_MODEL)).hexdigest()
    except OSError as error:
        raise RobustEvalError(f"Cannot read the model {place.model}: {in_words(error)}.") from None
    return {place.named(f"{MODEL}{model.file}"): digest} if digest == model.sha256 else {}


def _plain(name: str) -> str:
    """A name of a file in the run's folder, which cannot be taken for anything else. Raises RecordError."""
    if not name or Path(name).name != name or name == ".." or ":" in name:
        raise RecordError(f"The record names a file {name[:80]!r}, which is not in the run's folder.", _HINT)
    return name
