"""The page of all checks that an evaluation makes of itself, from their specs."""

from __future__ import annotations

from docs.generators.markdown import page, plain, table
from robusteval.assessment.checks import CHECKS
from robusteval.assessment.checks.certificates import CERTIFIED
from robusteval.assessment.checks.spec import Spec

ALL: tuple[Spec, ...] = (*CHECKS, *CERTIFIED)


def text() -> str:
    """The page."""
    said = (
        "Every question that a run asks about itself, as `checks` in the record has it. Generated from their specs; "
        "what follows from them is in [the method](../method.md)."
    )
    return page("# Checks", said, *(_section(spec) for spec in ALL))


def _section(spec: Spec) -> str:
    facts = (
        ("Measured", spec.formula),
        ("Threshold", spec.threshold),
        ("Why", spec.why),
        ("Not applicable", spec.without),
        ("Source", spec.source),
    )
    rows = [(name, plain(words)) for name, words in facts if words]
    return page(f"## {spec.id}", plain(spec.title), table(("What", "As specified"), rows))
