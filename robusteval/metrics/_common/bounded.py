"""How long tables may be that would grow with the samples or with the square of the classes: a document stays small at
any size, and whoever wants every sample reads samples.parquet."""

from __future__ import annotations

import sys

from robusteval.record.run import SCHEMA, Record

MOST_ROWS = 1000  # of a table with one row a sample
MOST_FLIPS = 500  # of one with a row a pair of classes between which a sample flips
MOST_PAIRS = 10_000  # of all attacks on every class in turn together


def room(record: Record, most: int = MOST_ROWS) -> int:
    """How many rows such a table of this record has at most. Documents of version 1 had all of them, and are derived
    again as they were."""
    return most if record.schema == SCHEMA else sys.maxsize


def heaviest(weights: list[float], most: int) -> list[int]:
    """The places of so many largest weights, in the order in which they are given; of several alike the first."""
    if len(weights) <= most:
        return list(range(len(weights)))
    return sorted(sorted(range(len(weights)), key=lambda place: -weights[place])[:most])
