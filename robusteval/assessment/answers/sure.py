"""How sure that is: the evaluation's own quality, which is no grade of the model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from robusteval.record.run import Record


@dataclass(frozen=True)
class Sure:
    """grade: A to F, or "" where no verdict was recorded; counts of checks by outcome; serious: findings that alarm or
    warn; scope: the samples and attacks that it all stands on."""

    grade: str
    conclusive: bool
    passed: int
    warned: int
    failed: int
    left_out: int
    serious: int
    scope: str

    @property
    def checks(self) -> str:
        """The outcomes in one line: "29 checks pass, 1 warns, none fails"."""
        if not self.passed + self.warned + self.failed:
            return "no check was made"
        first = f"{self.passed} check{'' if self.passed == 1 else 's'} pass{'es' * (self.passed == 1)}"
        warns = f"{self.warned or 'none'} warn{'s' * (self.warned <= 1)}"
        return f"{first}, {warns}, {self.failed or 'none'} fail{'s' * (self.failed <= 1)}"


def how_sure(record: Record) -> Sure:
    outcomes = Counter(check.outcome for check in record.checks)
    verdict = record.verdict
    done = record.done(knowledge="none")
    attacks = len({cell.attack for cell in done})
    norms = len({cell.norm for cell in done})
    scope = (
        f"{record.data.samples:,} images, {attacks} attack{'s' * (attacks != 1)} in {norms} norm{'s' * (norms != 1)}"
    )
    return Sure(
        verdict.grade if verdict is not None else "",
        verdict is not None and verdict.status == "conclusive",
        outcomes["pass"],
        outcomes["warn"],
        outcomes["fail"],
        outcomes["not-applicable"],
        sum(finding.severity != "info" for finding in record.findings),
        scope,
    )
