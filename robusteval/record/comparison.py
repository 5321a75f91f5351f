"""The comparison: what several models' runs on the same data say together. A document of its own beside their
records."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.column import faulty_keys, titles_alone
from robusteval.record.decode import MAX_BYTES, decode, parse
from robusteval.record.documents import Document
from robusteval.record.run import Data, Finding, Result, Suite
from robusteval.record.store import write_atomically

SCHEMA = "robusteval-comparison-1.1"
TITLES_ONLY = "robusteval-comparison-1"  # the version before: columns of tables are their titles
COMPARISON_FILE = "comparison.json"
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")


@dataclass
class Entry:
    """One of the models. `key` names it here and is its folder, beside this document."""

    key: str
    name: str
    file: str
    sha256: str  # of the model file
    bounds: list[float]  # its stated pixel range; distances are compared as shares of its width
    record_sha256: str  # of its record.json
    grade: str = ""
    failed: int = 0  # cells that failed


@dataclass
class Source:
    """One model's adversarials, and what every model answers to them. Columns have one entry a sample."""

    key: str
    status: Literal["done", "failed", "excluded"]
    reason: str = ""
    answers: list[list[int]] = field(default_factory=list)  # [models][samples], in the order of `models`
    unlawful: int = 0  # candidates outside box or budget, or not finite: replaced by the clean sample


@dataclass
class Transfer:
    """Whose adversarials fool whom. Each source attacks the samples that it gets right, with its whole budget."""

    attack: str
    plugin: str
    version: str
    params: dict[str, Any]
    norm: str
    eps: float  # as a share of the pixel range (l0: pixels)
    right: list[list[bool]]  # [models][samples]: right when clean
    sources: list[Source]  # in the order of `models`
    file: str = ""  # where the adversarials are: a tensor for each source, named by its key
    sha256: str = ""


@dataclass
class Comparison:
    """Several models on the same samples."""

    tool: dict[str, str]  # name, version
    command: str
    seed: int
    suite: Suite
    data: Data  # of the first model; the others evaluated the same samples, in their own ranges
    models: list[Entry]
    transfer: Transfer | None = None
    results: list[Result] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    schema: str = SCHEMA


@dataclass(frozen=True)
class Share:
    """Of `counted` samples `hits`."""

    hits: int
    counted: int

    @property
    def value(self) -> float | None:
        return self.hits / self.counted if self.counted else None


def fooled(comparison: Comparison, source: int, target: int) -> tuple[Share, Share] | None:
    """How often model `target` is wrong on what was made on model `source`: (of all samples that both get right when
    clean, of those among them on which the source itself is fooled). None where that source has no adversarials.

    Where source and target are the same, the first is the attack's success rate, and the second is 1.
    """
    transfer = comparison.transfer
    if transfer is None or transfer.sources[source].status != "done":
        return None
    labels, answers = comparison.data.labels, transfer.sources[source].answers
    both = [
        index
        for index, (first, second) in enumerate(zip(transfer.right[source], transfer.right[target], strict=True))
        if first and second
    ]
    wrong = [index for index in both if answers[target][index] != labels[index]]
    own = [index for index in both if answers[source][index] != labels[index]]
    misclassified = set(wrong)
    return Share(len(wrong), len(both)), Share(sum(index in misclassified for index in own), len(own))


def keys(files: Sequence[str]) -> list[str]:
    """A short, safe and unique name for each file, in order: its stem, numbered where two are the same."""
    unique: list[str] = []
    for file in files:
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(file).stem).lstrip(".-")[:60] or "model"
        key, count = stem, 2
        while key.lower() in {name.lower() for name in unique}:
            key, count = f"{stem}-{count}", count + 1
        unique.append(key)
    return unique


def _refine(schema: dict[str, Any]) -> None:
    schema["$defs"]["Entry"]["properties"]["key"]["pattern"] = f"^{_KEY.pattern}$"


DOCUMENT = Document(Comparison, (SCHEMA, TITLES_ONLY), "comparison.schema.json", _refine)


def to_json(comparison: Comparison) -> str:
    """The document as text. Raises RecordError where it does not fit the schema or holds what JSON cannot carry."""
    data = DOCUMENT.plain(comparison)
    if comparison.schema == TITLES_ONLY:
        titles_alone(data["results"])
    try:
        text = json.dumps(data, allow_nan=False, indent=1)
    except ValueError as error:
        raise RecordError(f"The comparison holds a number that JSON cannot carry: {error}.") from error
    misfit = DOCUMENT.misfit(json.loads(text))
    if misfit is not None:
        raise RecordError(f"The comparison does not fit its schema at {misfit[0]}: {misfit[1]}.")
    return text


def from_json(text: str) -> Comparison:
    """A comparison from text; nothing in it is run. Raises RecordError with the first thing that does not fit."""
    data = parse(text, "comparison", "Give the folder of a run of several models.")
    if data.get("schema") not in DOCUMENT.versions:
        raise RecordError(f"This document is not of schema {SCHEMA!r}.", "Use the version of robusteval that wrote it.")
    comparison = decode(Comparison, data, "comparison")
    for model in comparison.models:
        if not _KEY.fullmatch(model.key):
            raise RecordError(f"The comparison does not fit its schema: {model.key[:80]!r} is no name of a folder.")
    for result in comparison.results:
        fault = faulty_keys(result.heads())
        if fault:
            raise RecordError(f"The comparison makes no sense at {result.name[:80]}: {fault}.")
    _check_sizes(comparison)
    return comparison


def _check_sizes(comparison: Comparison) -> None:
    """Columns of the matrix have one entry a model and a sample, so that nobody indexes beyond them."""
    transfer, models, samples = comparison.transfer, len(comparison.models), len(comparison.data.labels)
    if not models or len({model.key for model in comparison.models}) != models:
        raise RecordError("The comparison has no models, or one of them twice.")
    if samples != comparison.data.samples or len(comparison.data.l2) != samples:
        raise RecordError(f"The labels and sizes are not of {comparison.data.samples} samples.")
    if transfer is None:
        return
    columns: list[list[bool] | list[int]] = [*transfer.right]
    for source in transfer.sources:
        if source.status == "done":
            columns += source.answers
            if len(source.answers) != models:
                raise RecordError(f"The answers to {source.key} are not of {models} models.")
    if (
        len(transfer.right) != models
        or len(transfer.sources) != models
        or any(len(column) != samples for column in columns)
    ):
        raise RecordError(f"The transfer matrix is not of {models} models and {samples} samples.")


def save(comparison: Comparison, folder: Path) -> Path:
    """Writes folder/comparison.json, whole or not at all."""
    path = folder / COMPARISON_FILE
    write_atomically(path, to_json(comparison).encode())
    return path


def load(path: Path) -> Comparison:
    """Reads a comparison.json, or the one in a folder. Raises RecordError."""
    if path.is_dir():
        path = path / COMPARISON_FILE
    try:
        text = read_plain(path, MAX_BYTES, follow=False).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(
            f"Cannot read {path}: {in_words(error)}.", "Give the folder of a run of several models."
        ) from None
    return from_json(text)


def is_comparison(path: Path) -> bool:
    """Whether a path is a comparison, or a folder that holds one."""
    return path.name == COMPARISON_FILE if not path.is_dir() else (path / COMPARISON_FILE).is_file()
