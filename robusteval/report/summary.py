"""Short forms of the record: a table for the terminal, Markdown for a pull request."""

from __future__ import annotations

from typing import Any

from robusteval.assessment.answers.robust import how_robust
from robusteval.record.run import Cell, Record, Result
from robusteval.record.units import WORST_CASE
from robusteval.report.charts import pieces
from robusteval.report.formats.numbers import MISSING, budget, norm_title, number, percent
from robusteval.text import markdown

HEADINGS = ("Pipeline", "Attack", "Norm", "Accuracy under attack", "Median distance")


def short_table(record: Record) -> list[tuple[str, ...]]:
    """Rows under `HEADINGS`: each attack on the bare model, then the worst case of every pipeline, per norm.

    Defended pipelines appear with their adaptive figure; without one they say so. Empty when nothing was derived.
    """
    rows: list[tuple[str, ...]] = []
    for norm in pieces.norms(record):
        for cell in record.done(norm=norm, knowledge="none", defense="none"):
            tags = {"norm": norm, "defense": "none", "attack": cell.attack}
            accuracy = pieces.first(pieces.matching(record, "attack-accuracy", tags))
            rows.append(_row(record, "none", cell.attack, norm, accuracy))
        for pipeline in record.pipelines:
            knowledge = "none" if pipeline.defense == "none" else "adaptive"
            tags = {"norm": norm, "defense": pipeline.defense, "knowledge": knowledge}
            worst = pieces.first(pieces.matching(record, "robust-accuracy", tags | {"reference": True}))
            if worst is not None or pipeline.defense == "none":
                rows.append(_row(record, pipeline.defense, WORST_CASE, norm, worst))
            else:
                rows.append(
                    (
                        pieces.display(pipeline.defense),
                        "no adaptive attack finished",
                        norm_title(norm),
                        MISSING,
                        MISSING,
                    )
                )
    return rows


def headline(record: Record) -> dict[str, Any]:
    """What the page says first, for machines: every scalar figure with its interval, what each cascade left at its
    budget, the verdict's sentences, and every finding."""
    figures = [
        {"name": row.name, "metric": row.metric, "title": row.title, "tags": row.tags}
        | {"value": row.value, "low": row.low, "high": row.high}
        for row in record.results
        if row.kind == "scalar"
    ]
    cascades = [
        {"cascade": cell.attack, "defense": cell.defense, "knowledge": cell.knowledge, "norm": cell.norm}
        | {"eps": cell.eps, "status": cell.status, "robust_accuracy": _left(cell)}
        for cell in record.cells
        if cell.threat == "budget"
    ]
    findings = [
        {"code": row.code, "severity": row.severity, "sentence": row.sentence, "cells": row.cells}
        for row in record.findings
    ]
    sentences = record.verdict.sentences if record.verdict is not None else []
    return {"figures": figures, "cascades": cascades, "verdict": sentences, "findings": findings}


def _left(cell: Cell) -> float | None:
    """The share of all samples that a finished cell did not lose; None where nothing was measured."""
    if cell.status != "done" or not len(cell.distance):
        return None
    return sum(value is None for value in cell.distance) / len(cell.distance)


def _row(record: Record, defense: str, attack: str, norm: str, accuracy: Result | None) -> tuple[str, ...]:
    tags = {"norm": norm, "defense": defense, "attack": attack}
    median = pieces.first(pieces.matching(record, "median-distance", tags))
    at = MISSING
    if accuracy is not None:
        at = f"{percent(accuracy.value)} at {budget(accuracy.tags.get('eps'), norm, pieces.width(record))}"
    return (pieces.display(defense), attack, norm_title(norm), at, number(median.value if median else None))


def render_markdown(record: Record) -> str:
    """The verdict and the short table as Markdown; text from the record cannot become markup."""
    verdict = record.verdict
    lines = [f"# Robustness of {markdown(record.model.name)}", ""]
    if verdict is None:
        lines += ["**No verdict was recorded.**", ""]
    else:
        answer = how_robust(record)
        said = markdown(f"{answer.sentence} {answer.figures}".rstrip())
        lines += [f"**{markdown(answer.heading)}.** {said}", ""]
        lines += [f"Evaluation quality {verdict.grade} ({verdict.status}); no grade of the model.", ""]
        lines += [f"* {markdown(sentence)}" for sentence in verdict.sentences] + [""]
    rows = short_table(record)
    if rows:
        lines += ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
        lines += ["| " + " | ".join(markdown(cell) for cell in row) + " |" for row in rows] + [""]
    serious = [finding for finding in record.findings if finding.severity != "info"]
    lines += [f"* {finding.severity}: {markdown(finding.sentence)}" for finding in serious]
    skipped = [cell for cell in record.cells if cell.status != "done"]
    if skipped:
        lines += ["", f"{len(skipped)} of {len(record.cells)} planned attacks did not run or did not finish."]
    return "\n".join(lines).rstrip() + "\n"
