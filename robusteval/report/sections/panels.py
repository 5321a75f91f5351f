"""The bare model in one norm: its chart, its slider and its tables, on a tab of their own."""

from __future__ import annotations

from dataclasses import dataclass

from robusteval.record.run import Record
from robusteval.report.charts import pieces
from robusteval.report.charts.hero import Hero, hero
from robusteval.report.charts.pieces import Table
from robusteval.report.formats.numbers import norm_title
from robusteval.report.sections import headline
from robusteval.report.sections.budgets import Budgets, budgets


@dataclass(frozen=True)
class Panel:
    """One norm. budgets: None where no figure is quoted in it; hero: None where no attack looked for distances."""

    norm: str
    name: str
    budgets: Budgets | None
    hero: Hero | None
    attacks: Table | None
    at: Table | None


def panels(record: Record) -> list[Panel]:
    """One for each norm that has figures."""
    return [_panel(record, norm) for norm in pieces.norms(record)]


def _panel(record: Record, norm: str) -> Panel:
    found = budgets(record, norm)
    drawn = hero(record, norm, found.stops[found.start], found.stops[-1]) if found is not None else None
    table = headline.attacks(record, norm, slides=found is not None)
    return Panel(norm, norm_title(norm), found, drawn, table, headline.budgets(record, norm))
