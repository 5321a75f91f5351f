"""What follows from the measured columns alone. The engine fills it in, and `verify` fills it in again and compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robusteval.assessment import findings, verdict
from robusteval.record.run import Check, Finding, Record, Result

# the metrics' results, and a finding for each metric that failed
Figures = Callable[[Record], tuple[list[Result], list[Finding]]]


def derive(
    record: Record,
    figures: Figures,
    preflight: Sequence[Finding],
    labels_from_model: bool,
    looked: Sequence[Check],
) -> None:
    """Fills in checks, findings, results and verdict. preflight, looked: what was seen before anything was attacked,
    which comes first."""
    checks, found = findings.examine(record, labels_from_model)
    record.checks = [*looked, *checks]
    record.findings = [*preflight, *found]
    record.results = []
    record.results, failed = figures(record)
    record.findings += failed
    record.verdict = verdict.write(record)
