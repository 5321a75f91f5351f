"""What would help: each defence at the budget that decides, against an attacker who knows it. Nothing else counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from robusteval.assessment.answers.figures import Share, at, scalars, share_of
from robusteval.assessment.answers.robust import Standing
from robusteval.assessment.evidence.defense_findings import AGREES
from robusteval.assessment.evidence.white_box import ENOUGH, adaptive_share
from robusteval.record.run import Pipeline, Record
from robusteval.record.units import NORM_TITLES

Worth = Literal["helps", "no", "harms", "unknown"]


@dataclass(frozen=True)
class Help:
    """One defence. kept: of all images under the adaptive attacks, None where unknown; cost: clean accuracy lost, a
    share, None where not measured; reason: why its worth is unknown."""

    defense: str
    worth: Worth
    kept: Share | None
    cost: float | None
    reason: str = ""


def what_helps(record: Record, standing: Standing | None) -> list[Help]:
    """The defences of the run, the one that keeps most first and those of unknown worth last. Empty where none was
    tried.

    One helps where its interval lies above the bare model's, and harms where it lies below. Its worth is unknown where
    an attack that knows it did not finish, none had working gradients, they followed a form of it that answers
    otherwise, or attacks that do not know it reach further.
    """
    rows = [pipeline for pipeline in record.pipelines if pipeline.defense != "none"]
    found = [_help(record, row, standing) for row in rows]
    return sorted(found, key=lambda help_: (help_.kept is None, -(help_.kept.value if help_.kept else 0.0)))


def _help(record: Record, row: Pipeline, standing: Standing | None) -> Help:
    if row.status != "done":
        return Help(row.defense, "unknown", None, None, f"{row.status}: {row.reason}" if row.reason else row.status)
    cost = _cost(record, row)
    if standing is None:
        return Help(row.defense, "unknown", None, cost, "nothing was measured")
    norm, eps = standing.norm, standing.eps
    figures = [
        share_of(at(scalars(record, "robust-accuracy", norm=norm, defense=row.defense, knowledge=knowledge), eps))
        for knowledge in ("adaptive", "oblivious")
    ]
    adaptive, oblivious = figures
    if adaptive is None:
        where = NORM_TITLES.get(norm, norm)
        return Help(row.defense, "unknown", None, cost, f"nobody who knows it attacked it in {where}")
    if reason := _doubt(record, row, norm):
        return Help(row.defense, "unknown", None, cost, reason)
    if oblivious is not None and oblivious.value < adaptive.value - 1e-9:
        return Help(row.defense, "unknown", None, cost, "attacks that do not know it reach further")
    worth: Worth = "no"
    if adaptive.low > standing.kept.high:
        worth = "helps"
    elif adaptive.high < standing.kept.low:
        worth = "harms"
    return Help(row.defense, worth, adaptive, cost)


def _doubt(record: Record, row: Pipeline, norm: str) -> str:
    """Why the adaptive figure of a defence says nothing about its worth; "" where it does."""
    asked = (row.defense, "adaptive", norm)
    cells = [cell for cell in record.cells if (cell.defense, cell.knowledge, cell.norm) == asked]
    if any(cell.status not in ("done", "excluded") for cell in cells):
        return "not all attacks that know it finished"
    if adaptive_share(record, norm, row.defense) < ENOUGH:
        return "no attack that knows it had working gradients"
    if row.surrogate_agreement is not None and row.surrogate_agreement < AGREES:
        return "attacks followed a form of it that answers otherwise"
    return ""


def _cost(record: Record, row: Pipeline) -> float | None:
    bare, own = (
        next(iter(scalars(record, "clean-accuracy", defense=defense)), None) for defense in ("none", row.defense)
    )
    if bare is None or own is None or bare.value is None or own.value is None:
        return None
    return bare.value - own.value
