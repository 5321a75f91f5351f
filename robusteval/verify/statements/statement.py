"""A verification's outcome in the in-toto Statement v1 format: which files, by hash, and what was found about them.

https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md has the format; the predicate is ours. A statement
of a failed verification is written as well: `result` says which it is, and only one that confirms carries a verdict.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.decode import decode, parse
from robusteval.record.documents import Document
from robusteval.verify.parts.result import Count

TYPE: Literal["https://in-toto.io/Statement/v1"] = "https://in-toto.io/Statement/v1"
# a name and no address; another meaning gets another number
PREDICATE: Literal["urn:robusteval:verification:v1"] = "urn:robusteval:verification:v1"
MAX_BYTES = 4 << 20  # of a statement; ours have some kilobytes
_HEX = "^[0-9a-f]{64}$"
_WHAT = "statement of a verification"
HINT = "Give the file that `robusteval verify RUN --statement FILE` wrote."


@dataclass
class Digest:
    """sha256: in lower-case hexadecimal."""

    sha256: str


@dataclass
class Subject:
    """Something that was verified. name: of a file below the run's folder; `model:NAME` is the evaluated file or one
    with its external data, `data:samples` the evaluated samples with their labels as robusteval hashes them. Of a run
    of several models each model's come with its folder before: `KEY/model:NAME`."""

    name: str
    digest: Digest


@dataclass
class Said:
    """The verdict of a record whose verification confirms it."""

    status: Literal["conclusive", "inconclusive"]
    grade: Literal["A", "B", "C", "D", "F"]
    grade_reason: str


@dataclass
class Run:
    """One run: its model and data by the hashes that its record has. model_read: whether the model's own bytes were
    hashed and are among the subjects. verdict: null where the verification failed, or the record has none."""

    key: str  # its folder in a run of several models, else ""
    model: str  # the file's name
    model_sha256: str  # of the file and of its external data together
    model_read: bool
    data_sha256: str
    verdict: Said | None


@dataclass
class Predicate:
    """What was found. claims: of all kinds together; kinds: by what they are about; not_checked: by reason."""

    result: Literal["confirmed", "failed"]
    exit_code: Literal[0, 1]
    claims: Count
    kinds: dict[str, Count]
    not_checked: dict[str, int]
    failures: list[str]  # the first sentences about what fails
    failures_left_out: int  # how many more there are
    scope: str  # what a clean bill means, and what it does not
    versions: dict[str, str]  # of python, robusteval and the packages that it verified with
    finished: str  # UTC, as 2026-11-26T15:39:14Z
    runs: list[Run] = field(default_factory=list)


@dataclass
class Statement:
    """The document."""

    _type: Literal["https://in-toto.io/Statement/v1"]
    subject: list[Subject]
    predicateType: Literal["urn:robusteval:verification:v1"]  # noqa: N815 - the format's name
    predicate: Predicate

    @property
    def contradiction(self) -> str:
        """How it contradicts itself; "" where it does not. What it says is to be believed only where it agrees."""
        said = self.predicate
        counts = [*said.kinds.values(), said.claims]
        names = [subject.name for subject in self.subject]
        sums = [sum(getattr(count, name.name) for count in said.kinds.values()) for name in dataclasses.fields(Count)]
        clean = not said.claims.failed and not said.failures and not said.failures_left_out
        if any(value < 0 for count in counts for value in dataclasses.astuple(count)):
            return "it counts less than nothing"
        if sums != list(dataclasses.astuple(said.claims)):
            return "its claims are not the sum of their kinds"
        if (said.result == "confirmed") != (said.exit_code == 0):
            return "its result and its exit code differ"
        if said.result == "confirmed" and not (clean and said.claims.confirmed):
            return "it is said to confirm, and its counts do not"
        if said.result == "failed" and any(run.verdict is not None for run in said.runs):
            return "it failed, and has a verdict"
        if len(set(names)) != len(names):
            return "it names a file twice"
        return ""


def _refine(schema: dict[str, Any]) -> None:
    """What the types cannot say: there is no field `schema`, as `_type` has its part; hashes are hexadecimal; no count
    is below 0."""
    del schema["properties"]["schema"]
    schema["title"] = PREDICATE
    for name in schema["$defs"]["Count"]["properties"]:
        schema["$defs"]["Count"]["properties"][name]["minimum"] = 0
    schema["$defs"]["Digest"]["properties"]["sha256"]["pattern"] = _HEX


DOCUMENT = Document(Statement, (PREDICATE,), "statement.schema.json", _refine, "robusteval.verify.statements")


def to_json(statement: Statement) -> str:
    """The document as text. Raises RecordError where it could not be read again."""
    text = json.dumps(dataclasses.asdict(statement), indent=1, allow_nan=False) + "\n"
    from_json(text)
    return text


def from_json(text: str) -> Statement:
    """A statement from text, strictly: an unknown field, a number for a text, another type of predicate raise
    RecordError. Whether it contradicts itself is `contradiction`."""
    data = parse(text, _WHAT, HINT)
    if data.get("_type") != TYPE:
        raise RecordError(f"This is no in-toto statement: its _type is {str(data.get('_type'))[:80]!r}.", HINT)
    if data.get("predicateType") != PREDICATE:
        raise RecordError(
            f"This statement says something else than what robusteval verified: its predicateType is "
            f"{str(data.get('predicateType'))[:80]!r}, not {PREDICATE!r}.",
            HINT,
        )
    return decode(Statement, data, _WHAT)


def read(path: Path) -> tuple[bytes, Statement]:
    """(its bytes, what they say). Raises RecordError."""
    try:
        content = read_plain(path, MAX_BYTES)
        text = content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"Cannot read the statement {path}: {in_words(error)}.", HINT) from None
    return content, from_json(text)


def main() -> None:
    """`make schemas`: writes the published schema anew from the dataclasses."""
    target = resources.files("robusteval.verify.statements").joinpath(DOCUMENT.file)
    Path(str(target)).write_text(json.dumps(DOCUMENT.build_schema(), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
