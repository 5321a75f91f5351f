"""The answers of another verifier, taken back: checked to be about this run's questions, and marked as that one's."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from robusteval.errors import RecordError
from robusteval.finished.verifiers.undecided import NORM, Open, named, open_at
from robusteval.metrics._common import columns
from robusteval.plain import in_words, read_plain
from robusteval.record.run import Record
from robusteval.record.store import digest, write_atomically
from robusteval.record.units import budget_text
from robusteval.text import as_name

SCHEMA = "robusteval-verdicts-1"
FILE = "verdicts-of-others.json"
NOTE = (
    "Answers of another verifier, as they were given: neither its proofs nor its counterexamples were checked here. "
    "None counts as proved or broken in the record, the report, a gate or a comparison of this run."
)
_WORDS = {
    "unsat": "unsat", "holds": "unsat", "sat": "sat", "violated": "sat", "unknown": "unknown", "timeout": "unknown",
    "error": "unknown",
}  # fmt: skip
_MOST = 64 << 20  # bytes of a list of answers
_HINT = "Each row names one of the files of --vnnlib and one of sat, unsat, unknown, timeout, error."

Answers = Mapping[tuple[float, int], str]  # by eps in pixel units and sample: sat, unsat, unknown


@dataclass(frozen=True)
class Answered:
    """What another verifier said about the samples that are undecided here at eps, in pixel units."""

    eps: float
    samples: int
    proved_here: int
    broken_here: int
    unsat_by_others: int
    sat_by_others: int
    undecided: int  # by anybody


def read(record: Record, path: Path) -> tuple[Answers, str]:
    """(the answers, the file's sha256). The competition's lists of results are read, and any other CSV whose rows name
    a question and an answer. Raises RecordError for rows that do not, and for questions that this run does not
    leave open."""
    try:
        content = read_plain(path, _MOST)
        rows = list(csv.reader(io.StringIO(content.decode("utf-8")), strict=True))
    except (OSError, ValueError, csv.Error) as error:
        raise RecordError(f"Cannot read {path}: {in_words(error)}.", _HINT) from None
    answers: dict[tuple[float, int], str] = {}
    states: dict[float, Open] = {}
    own = digest(record)[:12]
    for number, row in enumerate(rows, 1):
        questions = {cell.strip().replace("\\", "/").rsplit("/", 1)[-1] for cell in row if ".vnnlib" in cell}
        said = {_WORDS[cell.strip().lower()] for cell in row if cell.strip().lower() in _WORDS}
        if not row or (number == 1 and not questions):  # a head
            continue
        question = named(questions.pop()) if len(questions) == 1 else None
        if question is None or len(said) != 1:
            raise RecordError(f"Row {number} of {path} is no answer to a question of a run.", _HINT)
        start, eps, sample = question
        if start == own and eps not in states:
            states[eps] = open_at(record, eps)
        if start != own or sample not in states[eps].undecided:
            raise RecordError(f"Row {number} of {path} is about nothing that this run leaves open.", _HINT)
        answer = said.pop()
        if answers.setdefault((eps, sample), answer) != answer:
            raise RecordError(f"{path} says two things about sample {sample}.", "Keep one row for each question.")
    if not answers:
        raise RecordError(f"{path} has no answers.", _HINT)
    return answers, hashlib.sha256(content).hexdigest()


def counted(record: Record, answers: Answers) -> list[Answered]:
    """A row a budget, the smallest first."""
    found = []
    for eps in sorted({eps for eps, _ in answers}):
        state = open_at(record, eps)
        given = [answer for (at, _), answer in answers.items() if at == eps]
        unsat, sat = given.count("unsat"), given.count("sat")
        left = len(state.undecided) - unsat - sat
        found.append(Answered(eps, state.count, state.proved, state.broken, unsat, sat, left))
    return found


def keep(record: Record, folder: Path, path: Path, verifier: str) -> list[Answered]:
    """Reads the answers of `verifier` and writes them beside the record, in the place of older ones. Raises
    RecordError."""
    answers, sha256 = read(record, path)
    rows = counted(record, answers)
    document = {
        "schema": SCHEMA,
        "note": NOTE,
        "verifier": as_name(verifier),
        "record_sha256": digest(record),
        "source_sha256": sha256,
        "norm": NORM,
        "budgets": [asdict(row) for row in rows],
        "verdicts": [
            {"sample": sample, "eps": eps, "verdict": answer} for (eps, sample), answer in sorted(answers.items())
        ],
    }
    write_atomically(folder / FILE, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())
    return rows


def told(record: Record, row: Answered, verifier: str) -> str:
    """What is known at a budget when the other's answers are believed, in a sentence."""
    eps, name = budget_text(row.eps / columns.span(record), NORM), as_name(verifier)
    return (
        f"Linf {eps} of the pixel range, {row.samples} samples: {row.proved_here} proved here, {row.broken_here} "
        f"broken or wrong; {name} says unsat of {row.unsat_by_others} and sat of {row.sat_by_others} of the "
        f"others, and {row.undecided} are left."
    )
