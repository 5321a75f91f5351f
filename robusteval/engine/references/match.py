"""The reference sets that a run may be shown beside: what the user gave, and what comes with robusteval."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from robusteval.assessment.references.compared import PRECISION, compared
from robusteval.record import reference_set
from robusteval.record.reference_set import LoadedSet

__all__ = ["PRECISION", "compared", "gather"]


def gather(files: Iterable[str | Path]) -> tuple[LoadedSet, ...]:
    """The sets in these files, then the shipped ones. Raises RecordError where a file is none."""
    return (*(reference_set.load(Path(file)) for file in files), *reference_set.shipped())
