"""Which samples neither an attack nor a certificate decided at a budget, and what their questions are called."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from robusteval.errors import RecordError
from robusteval.metrics._common import columns
from robusteval.metrics._common.bracket import Edges, edges_of, known_at
from robusteval.record.run import Record
from robusteval.record.store import digest
from robusteval.record.units import budget_text

NORM = "linf"  # what the competition's benchmarks ask about: a box
_NAME = re.compile(r"([0-9a-f]{12})-linf-([0-9]+(?:\.[0-9]+)?(?:e-?[0-9]+)?)-sample-([0-9]{1,12})\.vnnlib")


@dataclass(frozen=True)
class Open:
    """The state of the samples that certifiers were asked about, at eps in pixel units. undecided: their places in the
    data; proved, broken: how many of the others there are (broken: wrong when clean as well)."""

    eps: float
    undecided: tuple[int, ...]
    proved: int
    broken: int

    @property
    def count(self) -> int:
        """All samples."""
        return len(self.undecided) + self.proved + self.broken


def open_at(record: Record, eps: float) -> Open:
    """What is open in Linf at eps, in pixel units. Raises RecordError where the run has no certificates there."""
    edges = _edges(record)
    proved, broken = known_at(edges, eps)
    left = edges.rows[~proved & ~broken]
    return Open(eps, tuple(int(sample) for sample in left), int(proved.sum()), int(broken.sum()))


def usual_eps(record: Record) -> float:
    """The budget that the run quotes first in Linf, in pixel units. Raises RecordError."""
    cells = columns.attack_cells(record, NORM, columns.BARE)
    eps = columns.reference_budget(record, NORM, columns.budgets(record, NORM, cells), cells)
    if eps is None:
        raise RecordError("The run quotes no budget in Linf.", "Give one with --eps, such as --eps 8/255.")
    return eps


def name_of(record: Record, eps: float, sample: int) -> str:
    """What the question about a sample is called: it tells the run, the budget to the last digit, and the sample."""
    return f"{digest(record)[:12]}-{NORM}-{eps!r}-sample-{sample}.vnnlib"


def named(text: str) -> tuple[str, float, int] | None:
    """(first digits of the record's hash, eps, sample) of a name; None for what is no such name."""
    found = _NAME.fullmatch(text)
    if found is None or len(found[2]) > 30:
        return None
    eps = float(found[2])
    return (found[1], eps, int(found[3])) if math.isfinite(eps) and eps > 0 else None


def told(record: Record, state: Open) -> str:
    """What is open, in a sentence."""
    eps = budget_text(state.eps / columns.span(record), NORM)
    return (
        f"Linf {eps} of the pixel range, {state.count} samples: {state.proved} proved here, {state.broken} broken or "
        f"wrong, {len(state.undecided)} undecided."
    )


def _edges(record: Record) -> Edges:
    edges = edges_of(record, NORM)
    if edges is None:
        raise RecordError(
            "The run has no certificates in Linf, so it does not say what is undecided.",
            "Run it with --suite certify, or with a suite that has a table certify.",
        )
    return edges
