"""The page: a pure function of the record. The same record gives the same bytes."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from robusteval.record.run import Record, Result
from robusteval.record.store import digest
from robusteval.report.charts import figures as curves
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Figure, Generic, Table
from robusteval.report.formats import drawing, embed, numbers
from robusteval.report.sections import bracket, coverage, details, glossary, headline, known_models, provenance
from robusteval.text import html


def render(record: Record) -> str:
    """One HTML file that works offline and holds all that it needs. Reads nothing but the record."""
    defended = [
        pipeline.defense for pipeline in record.pipelines if pipeline.defense != "none" and pipeline.status == "done"
    ]
    listed = pieces.norms(record)
    environment = Environment(
        loader=PackageLoader("robusteval.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=html,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        record=record,
        digest=digest(record),
        made_with=embed.made_with(),
        undrawn=drawing.undrawn(),
        policy=embed.content_policy(),
        style=Markup(embed.style()),
        bundle=Markup(embed.vega_bundle()),
        script=Markup(embed.page_script()),
        cards=headline.cards(record),
        norms=[_norm(record, norm) for norm in listed],
        rho=headline.rho(record),
        strength=curves.strength(record),
        bracket=bracket.section(record),
        known=known_models.section(record),
        defenses=headline.defenses(record),
        defense_figures=[(name, _defense_figures(record, name, listed)) for name in defended],
        detectors=[(name, curves.roc(record, name),
                    table) for name in defended if (table := details.detector(record, name))],
        cost=details.cost(record),
        shots=coverage.gallery(record),
        classes=details.classes(record),
        flips=details.flips(record),
        label_next=details.label_next(record),
        clever=details.clever(record),
        findings=coverage.findings(record),
        checks=coverage.checks(record),
        planted=coverage.planted(record),
        covered=coverage.covered(record),
        uncovered=coverage.uncovered(record),
        missing_norms=coverage.missing_norms(record),
        others=[_generic(result, index) for index, result in enumerate(record.results) if not pieces.is_known(result)],
        provenance=provenance.groups(record),
        plugins=provenance.plugins(record),
        definitions=glossary.DEFINITIONS,
    )  # fmt: skip


def _norm(record: Record, norm: str) -> tuple[str, Figure | None, Table | None, Table | None]:
    """The bare model's chart and tables in one norm."""
    drawn = curves.accuracy(record, norm, "none")
    return numbers.norm_title(norm), drawn, headline.budgets(record, norm), headline.attacks(record, norm)


def _defense_figures(record: Record, defense: str, norms: list[str]) -> list[Figure]:
    drawn = [curves.accuracy(record, norm, defense) for norm in norms]
    return [figure for figure in (*drawn, curves.oblivious(record, defense)) if figure is not None]


def _generic(result: Result, index: int) -> Generic:
    """Any result, shown as it is."""
    value = numbers.number(result.value, 4) if result.kind == "scalar" else ""
    bounds = numbers.interval(result.low, result.high, share=False) if result.kind == "scalar" else ""
    table = details.generic(result) if result.kind == "table" else None
    figures = curves.generic(result, index) if result.kind == "curves" else []
    return Generic(result.metric, result.title, result.description, value, bounds, table, figures)
