"""`robusteval run`."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli.options import data_options, load_options, model_options, pair

if TYPE_CHECKING:
    from robusteval.engine.runner import Job
    from robusteval.record.document import Record


@click.command("run")
@click.argument("model", type=click.Path())
@click.option("--suite", default="standard", show_default=True, help="Name of a suite, or a TOML file.")
@data_options
@click.option("--samples", type=click.IntRange(min=1), help="Evaluate so many samples, evenly over the classes.")
@click.option(
    "--labels", type=click.Choice(["true", "model"]), default="true", help="model: its own answers as labels."
)
@click.option(
    "--target",
    metavar="CLASS|least-likely|all",
    default="untargeted",
    help="Only this class (number or name) counts as a win; all: each other class in turn.  [default: any wrong class]",
)
@model_options
@click.option("--out", type=click.Path(), help="The run's folder.  [default: reports/MODEL-SUITE-PLAN]")
@click.option("--workers", type=click.IntRange(1, 256), help="Processes.  [default: one a core]")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds another run, or a finished one.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop.")
@click.option(
    "--fail-under", type=float, help="Exit with 3 unless the worst-case median distance reaches this, in every norm."
)
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead of text.")
def command(
    model: str,
    suite: str,
    data: str | None,
    fit_data: str | None,
    data_range: tuple[float, ...],
    samples: int | None,
    labels: str,
    target: str,
    out: str | None,
    workers: int | None,
    seed: int,
    overwrite: bool,
    dry_run: bool,
    fail_under: float | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Attack MODEL with a suite, and write record and report.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    from robusteval.cli.progress import Display, quiet_libraries
    from robusteval.engine.catalogue import discover
    from robusteval.engine.load import load_model
    from robusteval.engine.prepare import prepare_job
    from robusteval.engine.runner import check_folder, default_folder, plan_of, run

    quiet_libraries()
    catalogue = discover()
    path = Path(model)
    classifier = load_model(path, load_options(**reading), catalogue)
    job = prepare_job(
        classifier,
        catalogue,
        suite,
        model_path=path,
        data=Path(data) if data else None,
        fit=Path(fit_data) if fit_data else None,
        data_range=pair(data_range, "--data-range", ordered=False),
        samples=samples,
        seed=seed,
        workers=workers or os.cpu_count() or 1,
        command=shlex.join(["robusteval", *sys.argv[1:]]),
        labels_from_model=labels == "model",
        overwrite=overwrite,
        target=target,
    )
    plan = plan_of(job)
    if dry_run:
        _print_plan(job, as_json)
        return
    folder = Path(out) if out else default_folder(Path("reports"), model, job.suite.name, plan)
    check_folder(folder)
    job = replace(job, folder=folder)
    display = Display(sys.stderr, plain=as_json)
    with display:
        display.say(
            f"{job.model.info.name}: {len(job.samples)} samples, suite {job.suite.name}, {len(plan.planned)} cells"
        )
        record = run(job, display.update)
    _finish(record, folder, as_json, fail_under)


def _print_plan(job: Job, as_json: bool) -> None:
    from robusteval.cli.tables import plan_table
    from robusteval.engine.runner import plan_of

    plan = plan_of(job)
    if as_json:
        rows = [
            {"id": cell.id, "status": cell.status, "reason": cell.reason, "params": cell.params} for cell in plan.cells
        ]
        click.echo(json.dumps({"plan": plan.sha256, "samples": len(job.samples), "cells": rows}, indent=1))
    else:
        plan_table(plan, len(job.samples))


def _finish(record: Record, folder: Path, as_json: bool, fail_under: float | None) -> None:
    from robusteval.cli.tables import result_table
    from robusteval.engine.envelope import envelope_of, median_loss
    from robusteval.record.store import write_atomically
    from robusteval.report import render

    report = folder / "report.html"
    write_atomically(report, render(record).encode())
    failed = [cell for cell in record.cells if cell.status == "failed"]
    medians = {
        norm: median_loss(envelope_of(record, norm, "none")) for norm in sorted({cell.norm for cell in record.cells})
    }
    if as_json:
        verdict = record.verdict
        summary = {
            "report": str(report),
            "record": str(folder / "record.json"),
            "grade": verdict.grade if verdict else None,
            "status": verdict.status if verdict else None,
            "median_distance": {norm: None if value == float("inf") else value for norm, value in medians.items()},
            "failed": [cell.id for cell in failed],
        }
        click.echo(json.dumps(summary, indent=1))
    else:
        result_table(record)
        click.echo(f"Report: {report}")
    if failed:
        sys.exit(1)
    if fail_under is not None:
        inconclusive = record.verdict is None or record.verdict.status != "conclusive"
        if inconclusive or not medians or any(value < fail_under for value in medians.values()):
            click.echo(f"The gate --fail-under {fail_under:g} is not met.", err=True)
            sys.exit(3)
