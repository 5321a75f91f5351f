"""What surrounds the figures: findings, gallery, coverage of threats."""

from __future__ import annotations

import json
from dataclasses import dataclass

from robusteval.assessment.answers.sure import how_sure
from robusteval.record.run import Cell, Record
from robusteval.report.charts import pieces
from robusteval.report.charts.pieces import Table
from robusteval.report.formats.numbers import MISSING, budget, norm_title, number, percent, scalar

SEVERITY = {"alarm": 0, "warning": 1, "info": 2}


@dataclass(frozen=True)
class FindingView:
    """A finding as the page shows it."""

    severity: str
    code: str
    sentence: str
    evidence: str
    advice: str
    cells: str


def findings(record: Record) -> list[FindingView]:
    """The most serious first."""
    views = []
    for finding in sorted(record.findings, key=lambda finding: SEVERITY.get(finding.severity, 0)):
        evidence = ", ".join(f"{key} = {_value(value)}" for key, value in finding.evidence.items())
        cells = ", ".join(finding.cells[:6]) + (f" and {len(finding.cells) - 6} more" if len(finding.cells) > 6 else "")
        views.append(FindingView(finding.severity, finding.code, finding.sentence, evidence, finding.advice, cells))
    return views


def checks(record: Record) -> Table | None:
    """Every check, the worst outcome first; what each is stands below."""
    order = {"fail": 0, "warn": 1, "pass": 2, "not-applicable": 3}
    rows: list[list[pieces.Text]] = [
        [check.id, check.title, check.outcome.replace("-", " "), check.measured, check.threshold, check.source]
        for check in sorted(record.checks, key=lambda check: order.get(check.outcome, 0))
    ]
    if not rows:
        return None
    sure = how_sure(record)
    columns = ["Check", "What should hold", "Outcome", "Measured, worst case", "Threshold", "Source"]
    note = (
        "Outcomes make the grade, by the rule in the verdict. Formulas and reasons for the thresholds: docs/method.md, "
        "and record.json."
    )
    line = f"{sure.checks}; {sure.left_out} not applicable" if sure.left_out else sure.checks
    return Table("Checks of this evaluation", columns, rows, words=range(1, 6), note=note, summary=line)


def planted(record: Record) -> Table | None:
    """Which planted adversarials each attack found, and the reasons where there was no test."""
    rows: list[list[pieces.Text]] = []
    for planted in record.planted:
        norm = f"{norm_title(planted.norm)} {budget(planted.eps, planted.norm, pieces.width(record))}"
        if planted.status != "done" or not planted.samples:
            rows.append([norm, planted.status, MISSING, MISSING, planted.reason])
            continue
        total = len(planted.samples)
        for name, column in planted.found.items():
            share = pieces.shade(sum(column) / total)
            rows.append(
                [norm, name, share, scalar(total), planted.failed.get(name) or f"needs {planted.needs.get(name)}"]
            )
        rows.append(
            [
                norm,
                "random points",
                pieces.shade(sum(planted.random) / total),
                scalar(total),
                "on the surface of the ball: the baseline",
            ]
        )
    if not rows:
        return None
    note = (
        f"A linear readout {_read_out(record)} has one adversarial in the ball by construction (Zimmermann et al. "
        "2022)."
    )
    caption = "Planted adversarials found"
    best = [
        f"{norm_title(planted.norm)} {percent(max(sum(column) / len(column) for column in planted.found.values()), 0)}"
        for planted in record.planted
        if planted.status == "done" and planted.samples and planted.found
    ]
    line = f"{caption}, best attack: {', '.join(best)}" if best else caption
    columns = ["Ball", "By", "Found", "Planted", "Access, or reason"]
    return Table(caption, columns, rows, heads=2, words=(4,), note=note, summary=line)


def _read_out(record: Record) -> str:
    """On what the readouts stand; records from before penultimate features were read say nothing, and read the
    scores."""
    features = dict.fromkeys(planted.features for planted in record.planted if planted.status == "done")
    kinds = [sentence.partition(": ") for sentence in features]
    where = [
        f"on the model's penultimate features ({rest})"
        if kind == "penultimate"
        else f"on the model's scores{f' ({rest})' if rest else ''}"
        for kind, _, rest in kinds
    ]
    return " or ".join(where) or "on the model"


def _value(value: object) -> str:
    return number(value, 4) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)


def class_name(record: Record, index: int) -> str:
    names = record.model.class_names
    if index == record.model.classes:
        return "rejected"
    return names[index] if 0 <= index < len(names) else str(index)


def image(record: Record, sample: int) -> str:
    """What to call a sample: its place in the data and, where it has one, its file."""
    names = record.data.names
    return f"{sample} ({names[sample]})" if 0 <= sample < len(names) else str(sample)


def covered(record: Record) -> Table | None:
    """What was tried and finished, a row for each attack."""
    rows = []
    for name in dict.fromkeys(cell.attack for cell in record.done()):
        cells = [cell for cell in record.done() if cell.attack == name]
        tried = ", ".join(dict.fromkeys(norm_title(cell.norm) for cell in cells))
        where = ", ".join(
            dict.fromkeys(
                f"{pieces.display(cell.defense)} ({cell.knowledge})" if cell.defense != "none" else "No defence"
                for cell in cells
            )
        )
        target = ", ".join(dict.fromkeys(cell.target for cell in cells))
        needs = "/".join(dict.fromkeys(cell.needs for cell in cells))
        variant = f"{cells[0].plugin} {cells[0].version} {cells[0].sha256[:8]}".strip()
        rows.append([name, variant, needs, tried, target, where, _parameters(cells[0])])
    if not rows:
        return None
    columns = ["Attack", "Plugin", "Needs", "Norms", "Target", "Against", "Parameters"]
    note = "Plugin: its name, its version, and the first digits of the SHA-256 of both and the parameters."
    names = ", ".join(str(row[0]) for row in rows)
    line = f"Covered: {len(rows)} attack{'s' * (len(rows) != 1)} ({names})"
    return Table("Covered", columns, rows, words=range(1, 7), note=note, summary=line)


def _parameters(cell: Cell) -> str:
    """As JSON; of a cascade its attacks in order, as all their parameters would fill the page."""
    if cell.family != "cascade":
        return json.dumps(cell.params, sort_keys=True) if cell.params else ""
    members = [f"{name} ({facts['plugin']} {facts['version']})" for name, facts in cell.params.items()]
    return f"{', then '.join(members)}; parameters in record.json"


def uncovered(record: Record) -> Table | None:
    """What was planned or wanted and did not run, with the reason."""
    order = {"failed": 0, "skipped": 1, "pending": 2, "excluded": 3}
    cells = sorted(
        (cell for cell in record.cells if cell.status != "done"), key=lambda cell: (order.get(cell.status, 4), cell.id)
    )
    rows = [
        [
            cell.attack,
            cell.status,
            norm_title(cell.norm),
            pieces.display(cell.defense),
            cell.knowledge,
            cell.reason or MISSING,
        ]
        for cell in cells
    ]
    rows += [
        [f"Defence {pipeline.defense}", pipeline.status, "", "", "", pipeline.reason or MISSING]
        for pipeline in record.pipelines
        if pipeline.status != "done"
    ]
    if not rows:
        return None
    columns = ["Attack", "Status", "Norm", "Pipeline", "Attacker", "Reason"]
    return Table(
        "Not covered",
        columns,
        rows,
        words=range(1, 6),
        note="What did not run is not robustness: it says nothing either way.",
        summary=f"Not covered: {len(rows)}, such as {', '.join(dict.fromkeys(row[0] for row in rows[:3]))}",
    )


def missing_norms(record: Record) -> list[str]:
    done = {cell.norm for cell in record.done()}
    return [norm_title(norm) for norm in ("l2", "linf", "l1", "l0") if norm not in done]
