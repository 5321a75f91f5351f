"""`robusteval export`, and its options on `robusteval run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say

if TYPE_CHECKING:
    from robusteval.record.run import Record

HELP = {
    "junit": "JUnit XML: a test case a check and a gate.",
    "sarif": "SARIF 2.1.0, for code scanning.",
    "summary": "Markdown, for a pull request.",
    "model_index": "Hugging Face's model-index, for a model card.",
    "eval_results": "Hugging Face's .eval_results, for a model's repository.",
    "cyclonedx": "CycloneDX 1.6: the model with its model card.",
    "csv": "A row a sample, as CSV.",
    "parquet": "A row a sample, as Parquet.",
    "standards": "What the run is evidence for, by ids of standards, as JSON.",
}


def export_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--junit --sarif --summary --model-index --eval-results --cyclonedx --csv --parquet --standards."""
    for name, told in reversed(HELP.items()):
        flag = f"--{name.replace('_', '-')}"
        function = click.option(flag, name, type=click.Path(), metavar="FILE", help=f"Write {told}")(function)
    return function


def targets(given: dict[str, Any]) -> dict[str, Path]:
    """Takes the values of `export_options` out of the given ones: the formats that are wanted, and their files. Raises
    RobustEvalError where a file cannot be written there, so that nobody waits for what cannot be kept."""
    from robusteval.verify.statements.write import check_free

    wanted = {name: Path(path) for name in HELP if (path := given.pop(name)) is not None}
    for name, path in wanted.items():
        check_free(path, overwrite=True, what=name.replace("_", "-"))
    return wanted


@click.command("export")
@click.argument("run", type=click.Path())
@export_options
@click.option(
    "--vnnlib",
    type=click.Path(),
    metavar="FOLDER",
    help="Write what is neither proved nor broken in Linf to this new or empty folder, for verifiers of others: the "
    "model's file, a VNN-LIB file a sample, instances.csv.",
)
@click.option(
    "--eps",
    metavar="8/255",
    help="For --vnnlib: the budget, a share of the pixel range.  [default: the one that the run quotes first]",
)
@click.option("--model", type=click.Path(), help="For --vnnlib: the model, where it is not where it was.")
@click.option(
    "--import-verdicts",
    "verdicts",
    type=click.Path(),
    metavar="CSV",
    help="Take a verifier's answers to these files back, and keep them in the run's folder as another's: they count "
    "nowhere as proved or broken.",
)
@click.option("--verifier", metavar="NAME", help="For --import-verdicts: whose answers they are.")
def command(
    run: str,
    vnnlib: str | None,
    eps: str | None,
    model: str | None,
    verdicts: str | None,
    verifier: str | None,
    **given: Any,
) -> None:
    """Write the finished RUN in other formats; no plugins are needed, and the model for --vnnlib only.

    A figure that was not measured is left out, or said to be so. Nothing is asked of a model again: whether the record
    holds is what `robusteval verify` says.
    """
    from robusteval.cage.page import working
    from robusteval.finished.exports.files import export
    from robusteval.record.store import load

    wanted = targets(given)
    if not wanted and vnnlib is None and verdicts is None:
        raise click.UsageError(
            f"Give a format, such as --junit FILE: {', '.join(HELP)}, vnnlib; or give --import-verdicts CSV."
        )
    if vnnlib is None and (eps is not None or model is not None):
        raise click.UsageError("--eps and --model are for --vnnlib FOLDER.")
    if (verdicts is None) != (verifier is None):
        raise click.UsageError("--import-verdicts CSV and --verifier NAME go together.")
    share = None if eps is None else _share(eps)
    with working("the export of the run"):
        record = load(Path(run))
        export(record, wanted)
    for name, path in wanted.items():
        say(f"{name.replace('_', '-')}: {path}")
    if vnnlib is not None:
        _ask_others(record, Path(run), model, Path(vnnlib), share)
    if verdicts is not None and verifier is not None:
        _take_back(record, Path(run), Path(verdicts), verifier)


def _share(eps: str) -> float:
    from robusteval.assessment.gates.form import number

    value = number(eps)
    if value is None or not 0 < value <= 1:
        raise click.BadParameter("give a share of the pixel range, such as 8/255 or 0.03", param_hint="--eps")
    return value


def _ask_others(record: Record, run: Path, model: str | None, target: Path, share: float | None) -> None:
    from robusteval.cage.page import working
    from robusteval.finished.new_folder import new_folder
    from robusteval.finished.paired.runs import folder_of
    from robusteval.finished.verifiers.instances import LIST, write_instances
    from robusteval.finished.verifiers.undecided import told
    from robusteval.verify.command import find

    folder = folder_of(run)
    with working("the questions that the run leaves open"):
        new_folder(target)
        state = write_instances(record, folder, find(model, record.model, folder), target, share)
    say(told(record, state))
    say(f"vnnlib: {target / LIST}")


def _take_back(record: Record, run: Path, path: Path, verifier: str) -> None:
    from robusteval.cage.page import working
    from robusteval.finished.paired.runs import folder_of
    from robusteval.finished.verifiers.verdicts import FILE, NOTE, keep, told

    folder = folder_of(run)
    with working("the answers of another verifier"):
        rows = keep(record, folder, path, verifier)
    for row in rows:
        say(told(record, row, verifier))
    say(NOTE)
    say(f"import-verdicts: {folder / FILE}")
