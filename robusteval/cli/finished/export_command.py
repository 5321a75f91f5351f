"""`robusteval export`, and its options on `robusteval run`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from robusteval.cli import say

HELP = {
    "junit": "JUnit XML: a test case a check and a gate.",
    "sarif": "SARIF 2.1.0, for code scanning.",
    "summary": "Markdown, for a pull request.",
    "model_index": "Hugging Face's model-index, for a model card.",
    "cyclonedx": "CycloneDX 1.6: the model with its model card.",
    "csv": "A row a sample, as CSV.",
    "parquet": "A row a sample, as Parquet.",
    "standards": "What the run is evidence for, by ids of standards, as JSON.",
}


def export_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """--junit --sarif --summary --model-index --cyclonedx --csv --parquet --standards."""
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
def command(run: str, **given: Any) -> None:
    """Write the finished RUN in other formats; neither model nor plugins are needed.

    A figure that was not measured is left out, or said to be so. Nothing is asked of a model again: whether the record
    holds is what `robusteval verify` says.
    """
    from robusteval.cage.page import working
    from robusteval.finished.exports.files import export
    from robusteval.record.store import load

    wanted = targets(given)
    if not wanted:
        raise click.UsageError(f"Give a format, such as --junit FILE: {', '.join(HELP)}.")
    with working("the export of the run"):
        export(load(Path(run)), wanted)
    for name, path in wanted.items():
        say(f"{name.replace('_', '-')}: {path}")
