"""The evaluation evaluates itself: published checklists as code. docs/method.md describes each by its id."""

from __future__ import annotations

from robusteval.assessment.checks.certificates import CERTIFIED
from robusteval.assessment.checks.completeness import ATTACKS
from robusteval.assessment.checks.cross_attack import STRENGTH
from robusteval.assessment.checks.defenses import DEFENDED
from robusteval.assessment.checks.gradients import GRADIENTS
from robusteval.assessment.checks.more_effort import EFFORT
from robusteval.assessment.checks.spec import Spec
from robusteval.record.run import Check, Finding, Record

CHECKS: tuple[Spec, ...] = (*ATTACKS, *GRADIENTS, *STRENGTH, *EFFORT, *DEFENDED)


def run_checks(record: Record) -> tuple[list[Check], list[Finding]]:
    """Every check's outcome, in the order of CHECKS, and the findings that they raise. Those of certificates are made
    where some were asked for: records from before there were any have the checks that they always had."""
    done = [
        check.run(record)
        for check in (*CHECKS, *(CERTIFIED if record.certificates or record.certificates_behind else ()))
    ]
    return [check for check, _ in done], [finding for _, found in done for finding in found]
