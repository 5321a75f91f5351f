"""`robusteval run`."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json, stream
from robusteval.cli.merge_command import Merging, attack_shard, check_part
from robusteval.cli.options import (
    SUITE_WORDS,
    WORDS,
    Duration,
    Finite,
    SpacedCommand,
    data_options,
    each_reading,
    load_options,
    model_options,
    pair,
    resource_options,
    resources,
    suite_options,
)

if TYPE_CHECKING:
    from robusteval.engine.plan.job import Job
    from robusteval.record.run import Record


@click.command("run", cls=SpacedCommand)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path())
@suite_options
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
@click.option(
    "--surrogate",
    "surrogates",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="A model that transfer attacks are made on; may be repeated.  [default: the other models of the run]",
)
@click.option(
    "--references",
    multiple=True,
    type=click.Path(),
    metavar="FILE",
    help="Known models to show it beside (`robusteval references build`); may be repeated.  [default: the shipped "
    "ones]",
)
@model_options
@click.option(
    "--only",
    nargs=3,
    multiple=True,
    metavar="FILE OPTION VALUE",
    help="Of several models, for this file only: range, mean, std, layout, shape or output, as in --only b.onnx range "
    "0,255.",
)
@click.option("--out", type=click.Path(), help="The run's folder.  [default: reports/MODEL-SUITE-PLAN]")
@resource_options
@click.option(
    "--precision",
    type=click.Choice(["auto", "full"]),
    default="full",
    show_default=True,
    help="auto: attacks may propose in bfloat16 or TF32 where that is faster and points the same way; judged in full.",
)
@click.option(
    "--executor",
    default="",
    metavar="NAME",
    help="Where units are made: serial, processes, ray, or a plugin; with parameters as in ray:gpus=1.  "
    "[default: this machine]",
)
@click.option(
    "--address", default="", help="Where the executor is found, such as auto: the Ray cluster of this machine."
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds another run, or a finished one.")
@click.option("--dry-run", is_flag=True, help="Print the plan with its passes and minutes, and stop.")
@click.option(
    "--time-budget",
    type=Duration(),
    metavar="TIME",
    help="Start nothing after so long (90s, 10m, 2h); the most telling cells run first. Several models share it.",
)
@click.option(
    "--fail-under", type=Finite(), help="Exit with 3 unless the worst-case median distance reaches this, in every norm."
)
@click.option(
    "--shard",
    metavar="PART/PARTS",
    help="Run this part of the units only, such as 3/8, in a folder of its own; `robusteval merge` unites the parts.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead of text.")
def command(
    models: tuple[str, ...],
    suite: str,
    data: str | None,
    fit_data: str | None,
    data_range: tuple[float, ...],
    samples: int | None,
    labels: str,
    target: str,
    surrogates: tuple[str, ...],
    references: tuple[str, ...],
    only: tuple[tuple[str, str, str], ...],
    out: str | None,
    precision: str,
    executor: str,
    address: str,
    seed: int,
    overwrite: bool,
    dry_run: bool,
    time_budget: float | None,
    fail_under: float | None,
    shard: str | None,
    as_json: bool,
    **reading: Any,
) -> None:
    """Attack MODEL with a suite, and write record and report; several models on the same data are compared too.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    from robusteval.cli.progress import quiet_libraries
    from robusteval.cli.several import run_several
    from robusteval.cli.tables import print_plans
    from robusteval.engine.catalogue.catalogue import discover
    from robusteval.engine.catalogue.open_model import load_model
    from robusteval.engine.data.find import Kept
    from robusteval.engine.data.peek import peeker
    from robusteval.engine.plan.job import check_folder, default_folder, plan_of
    from robusteval.engine.run.folder import locked
    from robusteval.engine.run.options import RunOptions
    from robusteval.engine.run.prepare import prepare_job
    from robusteval.record.comparison import COMPARISON_FILE

    quiet_libraries()
    catalogue = discover()
    means = resources(reading, suite, catalogue) | {word: reading.pop(word) for word in SUITE_WORDS}
    merging = click.get_current_context().find_object(Merging)
    part = check_part(shard, models, time_budget, fail_under, dry_run) if shard is not None else None
    if only and len(models) == 1:
        raise click.UsageError("--only is for several models; give the option itself, such as --range 0,255.")
    images, seen = Path(data) if data else None, pair(data_range, "--data-range", ordered=False)
    jobs, datasets = [], catalogue.datasets()
    kept: Kept = {}
    asked = RunOptions(
        suite=suite,
        data=images,
        fit_data=Path(fit_data) if fit_data else None,
        data_range=seen,
        samples=samples,
        seed=seed,
        **means,
        precision=precision,
        target=target,
        labels_from_model=labels == "model",
        surrogates=surrogates,
        executor=executor,
        address=address,
        time_budget=time_budget,
        references=references,
        overwrite=overwrite,
        command=shlex.join(["robusteval", *sys.argv[1:]]),
    )
    for model, options in zip(models, each_reading(models, reading, only), strict=True):
        path = Path(model)
        peek = peeker(path, images, datasets, seen, kept)
        classifier = load_model(path, load_options(**options, peek=peek, device=means["device"]), catalogue)
        others = tuple(other for other in models if other != model)
        job = prepare_job(classifier, catalogue, asked.of(len(models), others), model_path=path, kept=kept)
        jobs.append(replace(job, apart=True))
    kept.clear()  # the jobs hold what they need
    if dry_run:
        print_plans(jobs, as_json)
        return
    if len(jobs) > 1:
        run_several(jobs, models, Path(out) if out else None, as_json, fail_under)
        return
    folder = Path(out) if out else default_folder(Path("reports"), models[0], jobs[0].suite.name, plan_of(jobs[0]))
    if part is not None and not out:
        folder = folder.with_name(f"{folder.name}-shard-{part.number}-of-{part.count}")
    check_folder(folder, stranger=COMPARISON_FILE)
    if part is not None:
        words = click.get_current_context().meta[WORDS]
        attack_shard(replace(jobs[0], folder=folder), part, words, as_json)
        return
    with locked(folder):  # until the page is written too
        _finish(attack(replace(jobs[0], folder=folder), as_json, merging), folder, as_json, fail_under)


def attack(job: Job, as_json: bool, merging: Merging | None = None) -> Record:
    """Runs a job with its progress shown; with the units of shards, where there are any."""
    from robusteval.cage.machine import holds
    from robusteval.cage.page import watched
    from robusteval.cli.progress import Display
    from robusteval.engine.plan.job import plan_of
    from robusteval.engine.run.runner import run

    display = Display(stream(err=True), plain=as_json, limit=job.time_budget)
    with display:
        cells = len(plan_of(job).planned)
        display.say(f"{job.model.info.name}: {len(job.samples)} samples, suite {job.suite.name}, {cells} cells")
        if watched():
            display.say(f"Caged: {holds()}.")
        return run(job, display.update) if merging is None else merging.run(job, display.update)


def _finish(record: Record, folder: Path, as_json: bool, fail_under: float | None) -> None:
    from robusteval.assessment.findings import going_on
    from robusteval.assessment.gate import unmet
    from robusteval.cli.tables import result_table

    summary = finished(record, folder)
    if as_json:
        say_json(summary)
    else:
        result_table(record)
        say(f"Report: {folder / 'report.html'}")
        if summary["skipped"]:
            say(going_on(record))
    if summary["failed"]:
        sys.exit(1)
    if fail_under is not None and (why := unmet(record, fail_under)):
        say(f"The gate --fail-under {fail_under:g} is not met: {why}.", err=True)
        sys.exit(3)


def finished(record: Record, folder: Path) -> dict[str, Any]:
    """Writes report and tables beside the record; the machine-readable summary of the run."""
    from robusteval.report.summary import headline
    from robusteval.report.write import REPORT_FILE, write_report, write_tables

    report = write_report(record, folder / REPORT_FILE)
    write_tables(record, folder)
    verdict = record.verdict
    return {
        "report": str(report),
        "record": str(folder / "record.json"),
        "grade": verdict.grade if verdict else None,
        "status": verdict.status if verdict else None,
        "median_distance": _medians(record),
        **headline(record),
        "failed": [cell.id for cell in record.cells if cell.status == "failed"],
        "skipped": [cell.id for cell in record.cells if cell.status == "skipped"],
    }


def _medians(record: Record) -> dict[str, float | None]:
    """By norm; None where half were never lost, or where no attack looked for smallest distances."""
    from robusteval.assessment.evidence.worst_case import envelope_of, median_loss

    halves: dict[str, float | None] = dict.fromkeys(sorted({cell.norm for cell in record.cells}))
    for norm in {cell.norm for cell in record.cells if cell.threat == "curve"}:
        half = median_loss(envelope_of(record, norm, "none"))
        halves[norm] = None if half in (0.0, float("inf")) else half
    return halves
