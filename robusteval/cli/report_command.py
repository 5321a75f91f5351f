"""`robusteval report`."""

from __future__ import annotations

from pathlib import Path

import click

from robusteval.cli import say, say_block


@click.command("report")
@click.argument("run", type=click.Path())
@click.option("--out", type=click.Path(), help="Where to write.  [default: report.html beside the record]")
@click.option("--csv", "as_csv", is_flag=True, help="Write the tables as CSV too, into tables/ beside the report.")
@click.option(
    "--markdown", is_flag=True, help="Print verdict, table and warnings as Markdown instead, as for a pull request."
)
@click.option(
    "--marks",
    type=click.Path(),
    help="Marks that a reader exported from the page: shows the curves with and without the marked images, in "
    "report-marked.html beside the report.",
)
def command(run: str, out: str | None, as_csv: bool, markdown: bool, marks: str | None) -> None:
    """Render the report of RUN (a run folder or a record.json) again; neither plugins nor torch are needed.

    For the folder of a run of several models this is the page that compares them. Give one model's folder for its own
    report.
    """
    from robusteval.cage.page import working
    from robusteval.report.write import MARKED_FILE, REPORT_FILE

    path = Path(run)
    # marks are no part of the run, and `verify` would find a page with them to be another's
    name = REPORT_FILE if marks is None else MARKED_FILE
    target = Path(out) if out else (path if path.is_dir() else path.parent) / name
    with working("the rendering of the run"):
        _render(path, target, as_csv, markdown, Path(marks) if marks is not None else None)


def _render(path: Path, target: Path, as_csv: bool, markdown: bool, marks: Path | None) -> None:
    from robusteval.errors import RecordError
    from robusteval.record import comparison
    from robusteval.record.store import load
    from robusteval.report.formats.marks import load as load_marks
    from robusteval.report.summary import render_markdown
    from robusteval.report.write import write_comparison, write_report, write_tables

    several = comparison.load(path) if comparison.is_comparison(path) else None
    record = load(path) if several is None else None
    if marks is not None and record is None:
        raise click.UsageError("--marks is of one model's run: give its own folder inside the comparison's.")
    if markdown:
        if record is None:
            raise click.UsageError("--markdown is of one model's run: give its own folder inside the comparison's.")
        say_block(render_markdown(record))
        return
    try:
        if several is not None:
            write_comparison(several, target)
        if record is not None:
            write_report(record, target, load_marks(marks, record) if marks is not None else None)
        if record is not None and as_csv:
            write_tables(record, target.parent)
    except OSError as error:
        raise RecordError(
            f"Cannot write {target}: {error.strerror or error}.", "Choose another place with --out."
        ) from None
    say(f"Report: {target}")
