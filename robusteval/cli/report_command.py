"""`robusteval report`."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("run", type=click.Path())
@click.option("--out", type=click.Path(), help="Where to write.  [default: report.html beside the record]")
def command(run: str, out: str | None) -> None:
    """Render the report of RUN (a run folder or a record.json) again; neither plugins nor torch are needed."""
    from robusteval.errors import RecordError
    from robusteval.record.store import load, write_atomically
    from robusteval.report import render

    place = Path(run)
    record = load(place)
    target = Path(out) if out else (place if place.is_dir() else place.parent) / "report.html"
    try:
        write_atomically(target, render(record).encode())
    except OSError as error:
        raise RecordError(
            f"Cannot write {target}: {error.strerror or error}.", "Choose another place with --out."
        ) from None
    click.echo(f"Report: {target}")
