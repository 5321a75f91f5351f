"""`robusteval verify`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from robusteval.verify.run import Verification


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
    """Check the stored adversarials of RUN again, with ONNX Runtime alone: bytes, box, distance, label.

    Of several models: each one's, and every answer in the transfer matrix.

    Exits with 1 when a claim does not re-check.
    """
    from robusteval.record import comparison

    place = Path(run)
    folder = place if place.is_dir() else place.parent
    result = _several(folder, models) if comparison.is_comparison(place) else _one(place, folder, models)
    if as_json:
        click.echo(json.dumps(result.__dict__, indent=1))
    else:
        for note in result.notes:
            click.echo(note)
        for failure in result.failures[:20]:
            click.echo(f"FAILS: {failure}")
        if len(result.failures) > 20:
            click.echo(f"... and {len(result.failures) - 20} more")
        click.echo(f"{result.confirmed} of {result.claims} claims confirmed, {len(result.failures)} failures")
    if result.failures or not result.claims:
        sys.exit(1)


def _one(place: Path, folder: Path, models: tuple[str, ...]) -> Verification:
    from robusteval.record.store import load
    from robusteval.verify.run import verify

    if len(models) > 1:
        raise click.UsageError("This run has one model: give --model once.")
    record = load(place)
    return verify(record, folder, _find(models[0] if models else None, record.model.path, folder, record.model.file))


def _several(folder: Path, models: tuple[str, ...]) -> Verification:
    from robusteval.record import comparison
    from robusteval.record.store import load
    from robusteval.verify.comparison import verify_comparison

    made = comparison.load(folder)
    files = []
    for one in made.models:
        given = next((model for model in models if Path(model).name == one.file), None)
        record = load(folder / one.key)
        files.append(_find(given, record.model.path, folder / one.key, one.file))
    return verify_comparison(made, folder, files)


def _find(model: str | None, path: str, folder: Path, file: str) -> Path | None:
    """The evaluated model: as given, as the record says, or beside the record."""
    if model is not None:
        return Path(model)
    return next((place for place in (Path(path), folder / file) if path and place.is_file()), None)
