"""`robusteval merge`, and the parts of a run that it unites: `robusteval run --shard`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json, stream
from robusteval.cli.finished.export_command import HELP
from robusteval.cli.options import WORDS, gate_options, resource_options
from robusteval.errors import RecordError

if TYPE_CHECKING:
    from robusteval.engine.plan.job import Job
    from robusteval.engine.plan.shards import Shard
    from robusteval.engine.schedule.schedule import Listener
    from robusteval.record.run import Record

# What a shard's folder may say of the run. The rest is not taken from it: what lets others' code run is the user's to
# allow, and where and how the merging command works is its own.
FROM_A_FOLDER = {
    "models",
    "suite",
    "data",
    "fit_data",
    "data_range",
    "samples",
    "labels",
    "target",
    "surrogates",
    "references",
}
FROM_A_FOLDER |= {"seed", "only", "bounds", "mean", "std", "layout", "shape", "output", "loader", "precision"}
FROM_A_FOLDER |= {"attacks", "norms", "eps", "defenses"}
ALLOWED_BY_THE_USER = {"arch", "trust"}
OWN = {"out", "workers", "device", "memory", "executor", "address", "overwrite", "as_json", "fail_under"}
# Not of a merged run: `robusteval compare` and `robusteval export` do the same for its folder.
NONE = {"shard", "dry_run", "time_budget", "baseline", "fail_on_regression", *HELP}


@click.command("merge")
@click.argument("folders", metavar="SHARD...", nargs=-1, required=True, type=click.Path())
@click.option("--out", type=click.Path(), required=True, help="The folder of the whole run.")
@click.option(
    "--run",
    "again",
    metavar="WORDS",
    help='The run\'s own command, as in --run "model.onnx --suite standard", where its files lie elsewhere now or it '
    "was made with --trust or --arch.  [default: as the first shard has it]",
)
@resource_options
@click.option("--executor", default="", metavar="NAME", help="Where units are made that look at what the shards found.")
@click.option("--address", default="", help="Where the executor is found.")
@click.option("--overwrite", is_flag=True, help="Start anew where the folder holds another run, or a finished one.")
@gate_options
@click.option("--json", "as_json", is_flag=True, help="Print a machine-readable summary instead of text.")
def command(folders: tuple[str, ...], out: str, again: str | None, **own: Any) -> None:
    """Unite the finished units of all SHARDs of one run, and write its record and report in --out.

    Call it where the shards were called, with the model, the data and the suite at their places.
    """
    from robusteval.cli.run_command import command as run_command
    from robusteval.engine.run.shard import read_page

    places = tuple(Path(folder) for folder in folders)
    pages = [read_page(folder) for folder in places]
    context = _asked(again, pages[0].words, places[0])
    context.params |= own | dict.fromkeys(NONE) | {"out": out, "dry_run": False, "fail_on_regression": False}
    context.obj = Merging(places, context.meta[WORDS])
    with context:
        run_command.invoke(context)


def _asked(again: str | None, words: list[str], folder: Path) -> click.Context:
    """The run that the shards are parts of: as the user says, else as far as a folder may say it."""
    from robusteval.cli.run_command import command as run_command

    if again is not None:
        given = shlex.split(again)
        given = given[1:] if given[:1] == ["robusteval"] else given
        return run_command.make_context("run", given[1:] if given[:1] == ["run"] else given)
    try:
        context = run_command.make_context("run", list(words))
    except (click.ClickException, click.exceptions.Exit):
        raise RecordError(
            f"{folder} does not say how it was run, or in words that this version does not know.",
            'Give the run\'s command: --run "model.onnx --suite standard".',
        ) from None
    unset = {param.name: param.get_default(context) for param in run_command.params}
    refused = [name for name in ALLOWED_BY_THE_USER if context.params[name] != unset[name]]
    if refused:
        flags = " and ".join(f"--{name}" for name in sorted(refused))
        raise RecordError(
            f"The shards were run with {flags}, which lets code run, and that is not taken from a folder.",
            'If you trust these files, give the run\'s command yourself: --run "model.pt --arch net:make --trust ..."',
        )
    return context


@dataclass(frozen=True)
class Merging:
    """The folders of shards that a run is to be made of; words: of the run's command."""

    folders: tuple[Path, ...]
    words: tuple[str, ...]

    def run(self, job: Job, listener: Listener) -> Record:
        """The whole run, in the job's folder."""
        from robusteval.engine.run.merge import merge

        told = f"{job.command}  # {shlex.join(['robusteval', 'run', *self.words])}"[:2000]
        return merge(replace(job, command=told), self.folders, listener)


def check_part(
    text: str, models: Sequence[str], time_budget: float | None, fail_under: tuple[str, ...], dry_run: bool
) -> Shard:
    """The shard that --shard names. Raises SuiteError, and click.UsageError beside what a part of a run cannot have."""
    from robusteval.engine.plan.shards import shard_of

    shard = shard_of(text)
    refused = {
        "several models": len(models) > 1,
        "--time-budget": time_budget is not None,
        "--fail-under": bool(fail_under),
        "--dry-run": dry_run,
    }
    reasons = {
        "several models": "give each model its own shards.",
        "--time-budget": "a merged run needs all units; take more shards instead.",
        "--fail-under": "give it to `robusteval merge`, as a shard has no verdict.",
        "--dry-run": "the plan is that of the whole run; leave --shard out to see it.",
    }
    for name, given in refused.items():
        if given:
            raise click.UsageError(f"--shard does not go with {name}: {reasons[name]}")
    return shard


def attack_shard(job: Job, shard: Shard, words: Sequence[str], as_json: bool) -> None:
    """Runs a shard with its progress shown, says how to merge, and exits as a run does."""
    from robusteval.cli.progress import Display
    from robusteval.engine.run.shard import run_shard

    display = Display(stream(err=True), plain=as_json)
    with display:
        display.say(f"{job.model.info.name}: {len(job.samples)} samples, suite {job.suite.name}, shard {shard}")
        done = run_shard(job, shard, words, display.update)
    if as_json:
        summary = {"shard": str(shard), "folder": str(job.folder), "units": done.units, "failed": sorted(done.failures)}
        say_json(summary)
    else:
        say(f"Shard {shard} ended: {done.units} units in {job.folder}; a shard has no report of its own.")
        if done.failures:
            say(f"Units of {len(done.failures)} cells failed; the same command tries them again.")
        folders = " ".join(shlex.quote(str(_named(job.folder, shard, number))) for number in range(1, shard.count + 1))
        shown = folders if shard.count <= 8 else f"all {shard.count} folders, such as {shlex.quote(str(job.folder))},"
        say(f"When all are there: robusteval merge {shown} --out RUN")
    if done.failures:
        sys.exit(1)


def _named(folder: Path, shard: Shard, number: int) -> Path:
    """Where another shard probably is: by this one's name."""
    own = f"-shard-{shard.number}-of-{shard.count}"
    if folder.name.endswith(own):
        return folder.with_name(folder.name.removesuffix(own) + f"-shard-{number}-of-{shard.count}")
    return folder if number == shard.number else Path(f"SHARD{number}")
