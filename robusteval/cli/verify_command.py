"""`robusteval verify`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from robusteval.cli import say, say_json


@click.command("verify")
@click.argument("run", type=click.Path())
@click.option(
    "--model",
    "models",
    multiple=True,
    type=click.Path(),
    help="The evaluated model, where it is no longer at the path in the record; of several models, each by its name.",
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(run: str, models: tuple[str, ...], as_json: bool) -> None:
    """Check RUN again, with numpy and ONNX Runtime alone: the clean answers and every stored adversarial are asked
    again, and figures, checks, grade and verdict are derived again.

    Of several models: each one's, and every answer in the transfer matrix.

    Exits with 1 when something does not re-check.
    """
    from robusteval.verify import command as verify

    result = verify.verified(Path(run), models)
    if as_json:
        say_json(result.to_json())
    else:
        for line in verify.lines(result):
            say(line)
    if not result.held:
        sys.exit(1)
