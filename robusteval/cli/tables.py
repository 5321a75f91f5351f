"""Tables for the terminal: a `Screen` and `Rows` take text, and never rich's markup, so that no name becomes a
colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from robusteval.assessment.answers.robust import how_robust
from robusteval.assessment.evidence.worst_case import median_loss
from robusteval.assessment.gates.form import BY_VALUE
from robusteval.cli import say, say_json, stream
from robusteval.record.column import at_budget, norms_of
from robusteval.record.units import attack_text, budget_text
from robusteval.text import line

if TYPE_CHECKING:
    from robusteval.engine.plan.job import Job
    from robusteval.engine.plan.plan import Plan
    from robusteval.record.comparison import Comparison
    from robusteval.record.reference_set import ReferenceSet
    from robusteval.record.run import Cell, Gate, Record


class Screen(Console):
    """The terminal."""

    def say(self, text: str = "", bold: str = "") -> None:
        """One line, folded where it is too long; what is bold stands first."""
        self.print(Text.assemble((line(bold), "bold"), line(text)))

    def show(self, listed: Rows) -> None:
        """A table."""
        self.print(listed)


class Rows(Table):
    """A table of plain text."""

    def add_row(self, *cells: str) -> None:  # type: ignore[override]  # narrower on purpose: nothing gets by as markup
        """One row."""
        super().add_row(*(Text(line(cell)) for cell in cells))


def console() -> Screen:
    """The terminal; in a pipe 110 columns wide, without colours."""
    wide = Screen(highlight=False, file=stream())
    return wide if wide.is_terminal else Screen(width=110, highlight=False, file=stream())


def table(title: str, *columns: str) -> Rows:
    """A plain table; columns that start with ">" are set flush right."""
    heading = Text(line(title)) if title else None
    empty = Rows(title=heading, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        justify: JustifyMethod = "right" if column.startswith(">") else "left"
        empty.add_column(Text(line(column.removeprefix(">"))), justify=justify, overflow="fold")
    return empty


def plan_table(plan: Plan, samples: int, costs: dict[str, tuple[float, float]], width: float = 1.0) -> None:
    """The cells that would run with their passes and minutes of one worker, and the excluded ones with their reasons.
    width: of the pixel range."""
    screen = console()
    wide = ("parameters",) if screen.width >= 100 else ()  # in fewer columns they would fill the screen
    names = ("attack", "norm", "pipeline", "knowledge", ">passes", ">minutes", *wide)
    listed = table(f"Plan {plan.sha256[:8]}: {samples} samples", *names)
    for cell in plan.cells:
        if cell.status != "excluded":
            params = ", ".join(f"{name}={value}" for name, value in cell.params.items())
            knowledge = "" if cell.knowledge == "none" else cell.knowledge
            passes, seconds = costs.get(cell.id, (None, None))
            shown = ("?", "?") if passes is None or seconds is None else (f"{passes:,.0f}", f"{seconds / 60:.1f}")
            row = (_name(cell, width), cell.norm, cell.defense, knowledge, *shown)
            listed.add_row(*row, *((params,) if wide else ()))
    screen.show(listed)
    for cell in plan.excluded:
        screen.say(f"excluded: {cell.id}: {cell.reason}")


def print_plans(jobs: list[Job], as_json: bool) -> None:
    """What `--dry-run` prints: every job's plan, with its passes and minutes."""
    from robusteval.engine.plan.job import plan_of
    from robusteval.engine.run.runner import forecast_of

    plans = []
    for job in jobs:
        plan, costs = plan_of(job), forecast_of(job)
        coming, each = costs.forecast(plan), costs.by_cell(plan)
        rows = [
            {"id": cell.id, "status": cell.status, "reason": cell.reason, "params": cell.params}
            | {"passes": each[cell.id][0] if cell.id in each else None}
            for cell in plan.cells
        ]
        total = {"passes": coming.passes, "seconds": coming.wall(job.workers), "not_foretold": coming.unknown}
        plans.append({"plan": plan.sha256, "samples": len(job.samples), "foretold": total, "cells": rows})
        if len(jobs) > 1 and not as_json:
            say()
            say(job.model_file)
        if not as_json:
            low, high = job.model.info.bounds
            plan_table(plan, len(job.samples), each, high - low)
            say(coming.sentence(job.workers))
    if as_json:
        say_json(plans[0] if len(plans) == 1 else {"models": plans})


def result_table(record: Record) -> None:
    """The short table at the end of a run: median distances, and the verdict."""
    listed = table("", "pipeline", "attack", "norm", ">median distance", ">never lost", ">passes/sample")
    width = record.model.bounds[1] - record.model.bounds[0]
    for cell in record.cells:
        if cell.knowledge == "oblivious" or cell.status in ("excluded", "skipped"):
            continue
        name = f"{cell.defense} (adaptive)" if cell.knowledge == "adaptive" else "bare model"
        if cell.status == "failed":
            listed.add_row(name, cell.attack, cell.norm, "failed", "", "")
            continue
        listed.add_row(name, _name(cell, width), cell.norm, *_figures(cell))
    screen = console()
    screen.show(listed)
    if record.verdict is not None:
        screen.say()
        answer = how_robust(record)
        if record.verdict.status == "conclusive":  # else the verdict's first sentence says as much
            screen.say(f". {answer.sentence} {answer.figures}".rstrip(), bold=answer.heading)
        screen.say(f"Evaluation quality: {record.verdict.grade} ({record.verdict.status}); no grade of the model.")
        for sentence in record.verdict.sentences:
            screen.say(sentence)
    for finding in record.findings:
        if finding.severity != "info":
            screen.say(f"{finding.severity}: {finding.sentence}")


def gate_table(gates: Sequence[Gate], of: str = "") -> None:
    """What was to be reached, what was measured, and whether it was; nothing where nothing was asked. of: the model."""
    if not gates:
        return
    listed = table(f"Gates {of}".strip(), "gate", ">asked", ">measured", ">95 % interval", "judged by", "")
    for gate in gates:
        left, sign, least = gate.asked.partition(">=")
        what, asked = (left, least.removesuffix(BY_VALUE)) if sign else ("median in every norm", gate.asked)
        low, high = (_number(end) for end in (gate.low, gate.high))
        between = "-" if gate.low is None else f"{low} to {high}" if gate.high is not None else f"from {low}"
        by = "lower end" if gate.judged == "interval" else "value"
        reason = f": {gate.reason}" if gate.reason else ""
        measured = gate.grade or _number(gate.value)
        listed.add_row(what.strip(), f">= {asked.strip()}", measured, between, by, f"{gate.outcome}{reason}")
    console().show(listed)


def _name(cell: Cell, width: float) -> str:
    return attack_text(cell.attack, cell.norm, cell.eps, cell.threat, width)


def _figures(cell: Cell) -> tuple[str, str, str]:
    if cell.threat == "budget":
        kept = sum(value is None for value in cell.distance) / max(sum(value != 0 for value in cell.distance), 1)
        passes = (sum(cell.forwards) + sum(cell.backwards)) / max(len(cell.forwards), 1)
        return "", f"{100 * kept:.1f} %", f"{passes:.0f}"
    correct = [value for value in cell.distance if value != 0]
    never = sum(value is None for value in correct) / max(len(correct), 1)
    passes = (sum(cell.forwards) + sum(cell.backwards)) / max(len(cell.forwards), 1)
    return _median(cell.distance), f"{100 * never:.1f} %", f"{passes:.0f}"


def comparison_tables(comparison: Comparison) -> None:
    """The models side by side, and whose adversarials fool whom."""
    from robusteval.record.comparison import fooled

    screen = console()
    models = next(result for result in comparison.results if result.name == "models")
    norms = norms_of("median", models.keys())
    listed = table("", "model", ">clean accuracy", *[f">median {norm}" for norm in norms], "trust grade")
    for row in models.named():
        figures = [_number(row[at_budget("median", norm)]) for norm in norms]
        listed.add_row(str(row["model"]), _percent(row["clean-accuracy"]), *figures, str(row["trust-grade"]))
    screen.show(listed)
    screen.say("Distances are shares of each model's pixel range.")
    transfer = comparison.transfer
    if transfer is None:
        return
    at = budget_text(transfer.eps, transfer.norm)
    screen.say()
    screen.say(f"Made on the row's model by {transfer.attack} at {transfer.norm} {at} of the pixel range, it fools:")
    matrix = table("", "made on", *[f">{model.key}" for model in comparison.models])
    for source, model in enumerate(comparison.models):
        shares = [fooled(comparison, source, target) for target in range(len(comparison.models))]
        matrix.add_row(model.key, *["-" if share is None else _percent(share[0].value) for share in shares])
    screen.show(matrix)
    for one_source in transfer.sources:
        if one_source.status != "done":
            screen.say(f"{one_source.status}: {one_source.key}: {one_source.reason}")


def reference_table(content: ReferenceSet) -> None:
    """The models of a reference set: clean accuracy, median distances as shares of the pixel range, grades."""
    norms = sorted({norm for model in content.models for norm in model.worst})
    listed = table("", "model", ">images", ">clean accuracy", *[f">median {norm}" for norm in norms], "trust grade")
    for model in content.models:
        for name, columns, grade in (
            (model.name, model.worst, model.grade),
            ("  exact gradients", model.exact, model.exact_grade),
        ):
            halves = [_median(columns[norm].distance) if norm in columns else "" for norm in norms]
            if columns:
                clean = sum(model.right) / len(model.right)
                listed.add_row(name, str(len(model.rows)), _percent(clean), *halves, grade or "-")
    console().show(listed)


def _median(column: list[float | None]) -> str:
    half = median_loss(column)
    return "-" if math.isinf(half) or half == 0 else f"{half:.3g}"


def _percent(value: object) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "-"


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else "-"
