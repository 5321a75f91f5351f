"""`robusteval verify`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command("verify")
@click.argument("run", type=click.Path())
@click.option(
    "--model", type=click.Path(), help="The evaluated model, where it is no longer at the path in the record."
)
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(run: str, model: str | None, as_json: bool) -> None:
    """Check the stored adversarials of RUN again, with ONNX Runtime alone: bytes, box, distance, label.

    Exits with 1 when a claim does not re-check.
    """
    from robusteval.engine.verify import verify
    from robusteval.record.store import load

    place = Path(run)
    record = load(place)
    folder = place if place.is_dir() else place.parent
    result = verify(record, folder, _find(model, record.model.path, folder, record.model.file))
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


def _find(model: str | None, path: str, folder: Path, file: str) -> Path | None:
    """The evaluated model: as given, as the record says, or beside the record."""
    if model is not None:
        return Path(model)
    return next((place for place in (Path(path), folder / file) if path and place.is_file()), None)
