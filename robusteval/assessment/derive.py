"""What follows from the measured columns alone. The engine fills it in, and `verify` fills it in again and compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from robusteval.assessment import findings, verdict
from robusteval.assessment.gates.judge import judge
from robusteval.record.derived import GateSource
from robusteval.record.run import Check, Finding, Record, Result

# the metrics' results, and a finding for each metric that failed
Figures = Callable[[Record], tuple[list[Result], list[Finding]]]


def derive(
    record: Record,
    figures: Figures,
    preflight: Sequence[Finding],
    labels_from_model: bool,
    looked: Sequence[Check],
    gates: Sequence[tuple[str, GateSource]] = (),
) -> None:
    """Fills in checks, findings, results, verdict and gates. preflight, looked: what was seen before anything was
    attacked, which comes first. gates: thresholds to be reached, and who asked for them. Raises ValueError for a text
    that is no gate."""
    checks, found = findings.examine(record, labels_from_model)
    record.checks = [*looked, *checks]
    record.findings = [*preflight, *found]
    record.results = []
    record.results, failed = figures(record)
    record.findings += failed
    record.verdict = verdict.write(record)
    record.gates = judge(record, gates)
