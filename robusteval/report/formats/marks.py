"""Marks of a reader: adversarial images that no longer show their class, and what the curves are without them.

The page exports them as a small JSON file, and anybody can write one: it is read as plain data of bounded size, and
each mark has to name a picture of this very record.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from robusteval.errors import RecordError
from robusteval.plain import in_words, read_plain
from robusteval.record.run import Picture, Record
from robusteval.record.store import digest

SCHEMA = "robusteval-marks-1"
MAX_BYTES = 1 << 20
MAX_MARKS = 10_000
_MEND = 'Mark pictures in the report of this run, and choose "Export marks" there.'


@dataclass(frozen=True)
class Marks:
    """The marked pictures of a record, each once, in the gallery's order."""

    pictures: tuple[Picture, ...]

    def samples(self, norm: str) -> set[int]:
        """Samples whose adversarial in this norm no longer shows its class."""
        return {picture.sample for picture in self.pictures if picture.norm == norm}


def load(path: Path, record: Record) -> Marks:
    """Marks from a file. Raises RecordError where it is no plain file of marks of this record."""
    try:
        text = read_plain(path, MAX_BYTES).decode()
    except OSError as error:
        raise RecordError(f"Cannot read the marks {path}: {in_words(error)}.", _MEND) from None
    except UnicodeDecodeError:
        raise RecordError(f"The marks {path} are not UTF-8 text.", _MEND) from None
    return from_json(text, record)


def from_json(text: str, record: Record) -> Marks:
    """Marks from text; nothing in it is run. Raises RecordError with the first thing that does not fit."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise RecordError("The marks are not JSON.", _MEND) from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA or set(data) != {"schema", "record", "marks"}:
        raise RecordError(f"The marks are not a document of schema {SCHEMA!r} with a record and marks.", _MEND)
    if data["record"] != digest(record):
        raise RecordError("The marks are of another run, or of another version of this one.", _MEND)
    rows = data["marks"]
    if not isinstance(rows, list) or len(rows) > MAX_MARKS:
        raise RecordError(f"The marks are no list of at most {MAX_MARKS:,}.", _MEND)
    there = {(picture.sample, picture.cell): picture for picture in record.gallery}
    chosen = {_key(row, place, there) for place, row in enumerate(rows)}
    return Marks(tuple(picture for key, picture in there.items() if key in chosen))


def _key(row: Any, place: int, there: dict[tuple[int, str], Picture]) -> tuple[int, str]:
    if not isinstance(row, dict) or set(row) != {"sample", "cell"}:
        raise RecordError(f"Mark {place} is not a sample and a cell.", _MEND)
    sample, cell = row["sample"], row["cell"]
    if isinstance(sample, bool) or not isinstance(sample, int) or not isinstance(cell, str):
        raise RecordError(f"Mark {place} is not a number of a sample and a name of a cell.", _MEND)
    if (sample, cell) not in there:
        raise RecordError(f"Mark {place} is of no picture of this run.", _MEND)
    return sample, cell


def counted(marks: Marks) -> dict[str, int]:
    """How many samples are marked in each norm."""
    return dict(Counter(norm for norm, _ in {(picture.norm, picture.sample) for picture in marks.pictures}))
