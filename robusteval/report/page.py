"""The page: a pure function of the record. The same record gives the same bytes."""

from __future__ import annotations

from markupsafe import Markup

from robusteval.record.run import Record, Result
from robusteval.record.store import digest
from robusteval.report.charts import figures as curves
from robusteval.report.charts import marked, pieces
from robusteval.report.charts.pieces import Figure, Generic
from robusteval.report.environment import template
from robusteval.report.formats import embed, numbers
from robusteval.report.formats.marks import Marks, counted
from robusteval.report.sections import (
    bracket,
    classes,
    coverage,
    details,
    evidence,
    folds,
    gallery,
    glossary,
    headline,
    known_models,
    panels,
    provenance,
)
from robusteval.report.sections.first import first


def render(record: Record, marks: Marks | None = None) -> str:
    """One HTML file that works offline and holds all that it needs. Reads nothing but the record, and a reader's marks
    where there are any."""
    defended = [
        pipeline.defense for pipeline in record.pipelines if pipeline.defense != "none" and pipeline.status == "done"
    ]
    listed = panels.panels(record)
    sliding = [panel.norm for panel in listed if panel.budgets is not None]
    return template("report.html.j2").render(
        record=record,
        digest=digest(record),
        first=first(record),
        cards=headline.cards(record),
        panels=listed,
        page_data=_page_data(record, listed),
        marked=marked.marked(record, marks) if marks is not None else [],
        marked_counts=counted(marks) if marks is not None else {},
        rho=headline.rho(record),
        strength=curves.strength(record),
        bracket=bracket.section(record),
        known=known_models.section(record),
        defenses=headline.defenses(record),
        defense_figures=[(name, folds.defense(record, name), _defense_figures(record, name)) for name in defended],
        detectors=[
            (name, folds.detector(record, name), curves.roc(record, name), table)
            for name in defended
            if (table := details.detector(record, name))
        ],
        cost=details.cost(record),
        shots=gallery.gallery(record),
        classes=classes.classes(record, sliding),
        flips=classes.flips(record),
        bare_norms=classes.bare_norms(record),
        label_next=details.label_next(record),
        clever=details.clever(record),
        findings=coverage.findings(record),
        checks=coverage.checks(record),
        planted=coverage.planted(record),
        covered=coverage.covered(record),
        uncovered=coverage.uncovered(record),
        missing_norms=coverage.missing_norms(record),
        gates=evidence.gates(record),
        standards=evidence.standards(record),
        others=[_generic(result, index) for index, result in enumerate(record.results) if not pieces.is_known(result)],
        provenance=provenance.groups(record),
        plugins=provenance.plugins(record),
        definitions=glossary.DEFINITIONS,
    )


def _page_data(record: Record, listed: list[panels.Panel]) -> Markup:
    """What the page's script needs beside the charts: the slider's texts, and what marks are of."""
    return embed.script_json(
        {
            "shots": [{"sample": picture.sample, "cell": picture.cell} for picture in record.gallery[: gallery.MOST]],
            "norms": {panel.norm: panel.budgets.data() for panel in listed if panel.budgets is not None},
        }
    )


def _defense_figures(record: Record, defense: str) -> list[Figure]:
    drawn = [curves.accuracy(record, norm, defense) for norm in pieces.norms(record)]
    return [figure for figure in (*drawn, curves.oblivious(record, defense)) if figure is not None]


def _generic(result: Result, index: int) -> Generic:
    """Any result, shown as it is."""
    value = numbers.number(result.value, 4) if result.kind == "scalar" else ""
    bounds = numbers.interval(result.low, result.high, share=False) if result.kind == "scalar" else ""
    table = details.generic(result) if result.kind == "table" else None
    figures = curves.generic(result, index) if result.kind == "curves" else []
    return Generic(result.metric, result.title, result.description, value, bounds, table, figures)
