"""`robusteval run` with several models: each on its own, then the comparison."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robusteval.cli import say, say_json

if TYPE_CHECKING:
    from robusteval.engine.plan.job import Job
    from robusteval.record.comparison import Comparison


def run_several(jobs: list[Job], models: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """Runs every job in a folder of its own inside one, compares, writes one report, and exits as a single run would.

    Raises ModelError, DataError, SuiteError, PluginError and RecordError before anything is attacked.
    """
    from robusteval.assessment.gates.judge import failed
    from robusteval.cli.finished.ending import finished
    from robusteval.cli.run_command import attack
    from robusteval.engine.comparison.comparison import (
        Contender,
        check_comparable,
        compare,
        default_folder,
        keys,
        mark_of_all,
    )
    from robusteval.engine.comparison.transfer_matrix import chosen_attack
    from robusteval.engine.plan.job import check_folder
    from robusteval.engine.run.folder import claim_several, locked
    from robusteval.record.store import RECORD_FILE
    from robusteval.report.write import REPORT_FILE, write_comparison

    check_comparable(jobs)
    catalogue = jobs[0].catalogue
    chosen_attack(jobs[0].suite, catalogue)
    folder = out if out is not None else default_folder(Path("reports"), jobs)
    check_folder(folder, stranger=RECORD_FILE)
    contenders, summaries = [], []
    with locked(folder):
        names = keys(models)
        claim_several(folder, mark_of_all(jobs), names, jobs[0].overwrite)
        for key, job in zip(names, jobs, strict=True):
            check_folder(folder / key)
            with locked(folder / key):
                record = attack(replace(job, folder=folder / key), as_json)
                summaries.append({"model": key} | finished(record, folder / key))
            contenders.append(Contender(key, job, record))
        compared = compare(contenders, catalogue, folder)
        report = write_comparison(compared, folder / REPORT_FILE)
    if as_json:
        say_json(_summary(compared, report, folder, summaries))
    else:
        from robusteval.cli.tables import comparison_tables, gate_table

        comparison_tables(compared)
        for contender in contenders:
            gate_table(contender.record.gates, contender.key)
        say(f"Report: {report}")
    rows = compared.transfer.sources if compared.transfer is not None else []
    if any(summary["failed"] for summary in summaries) or any(row.status == "failed" for row in rows):
        sys.exit(1)
    missed: dict[str, list[str]] = {}
    for contender in contenders:
        for gate in failed(contender.record):
            missed.setdefault(gate.asked, []).append(f"{contender.key} ({gate.reason})")
    for asked, reasons in missed.items():
        say(f"The gate --fail-under {asked} is not met by {', '.join(reasons)}.", err=True)
    if missed:
        sys.exit(3)


def _summary(comparison: Comparison, report: Path, folder: Path, models: list[dict[str, Any]]) -> dict[str, Any]:
    from robusteval.record.comparison import COMPARISON_FILE, fooled

    count = range(len(comparison.models))
    matrix = [[fooled(comparison, source, target) for target in count] for source in count]
    return {
        "report": str(report),
        "comparison": str(folder / COMPARISON_FILE),
        "models": models,
        "transfer": [[None if cell is None else cell[0].value for cell in row] for row in matrix],
    }
