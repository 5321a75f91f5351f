"""The evaluation evaluates itself: published checklists as code. docs/method.md describes each by its id."""

from __future__ import annotations

from robusteval.assessment.checks.attacks import ATTACKS
from robusteval.assessment.checks.base import Spec
from robusteval.assessment.checks.defended import DEFENDED
from robusteval.assessment.checks.effort import EFFORT
from robusteval.assessment.checks.gradients import GRADIENTS
from robusteval.assessment.checks.strength import STRENGTH
from robusteval.record.document import Check, Finding, Record

CHECKS: tuple[Spec, ...] = (*ATTACKS, *GRADIENTS, *STRENGTH, *EFFORT, *DEFENDED)


def run_checks(record: Record) -> tuple[list[Check], list[Finding]]:
    """Every check's outcome, in the order of CHECKS, and the findings that they raise."""
    done = [check.run(record) for check in CHECKS]
    return [check for check, _ in done], [finding for _, found in done for finding in found]
