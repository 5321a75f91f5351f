"""What a document says of samples.parquet, the file that has its columns (record/measured/layout.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class SamplesPart:
    """Rows of samples.parquet that belong together, a row group of it."""

    kind: Literal["sample", "clean", "attack", "probe", "witness"]
    of: str  # the pipeline's defence, or the cell's id; "" for samples and witnesses
    rows: int
    columns: list[str]  # those that have entries, in the order of the table; the others are null


@dataclass
class SamplesFile:
    """The file with all columns that have an entry a sample, which are empty in the document then."""

    file: str
    sha256: str
    rows: int
    parts: list[SamplesPart] = field(default_factory=list)
