"""`robusteval compare`."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from robusteval.cli import say, say_json

if TYPE_CHECKING:
    from robusteval.finished.paired.document import Paired

COMPARE_FILE = "compare.html"


@click.command("compare")
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path())
@click.option("--out", type=click.Path(), default=COMPARE_FILE, show_default=True, help="Where to write the page.")
@click.option("--json", "as_json", is_flag=True, help="Print all of it as JSON, and write no page.")
@click.option(
    "--fail-on-regression", is_flag=True, help="Exit with 3 unless no later run is found worse than the first, at 5 %."
)
def command(runs: tuple[str, ...], out: str, as_json: bool, fail_on_regression: bool) -> None:
    """Hold finished RUNs against the first of them, image by image; no model is needed.

    Runs are comparable where they saw the same images under the same attacks. Where they are not, the command says why
    and what can be said all the same, and exits with 2.
    """
    from robusteval.cage.page import working

    with working("the comparison of runs"):
        paired = _compared([Path(run) for run in runs])
        if as_json:
            say_json(asdict(paired))
        else:
            write_page(paired, Path(out))
            tell(paired)
            say(f"Page: {out}")
    if any(pair.outcome == "not comparable" for pair in paired.pairs):
        sys.exit(2)
    if fail_on_regression and regressed(paired):
        sys.exit(3)


def _compared(paths: list[Path]) -> Paired:
    from robusteval.finished.paired.compare import compare
    from robusteval.finished.paired.runs import read

    return compare(read(paths))


def write_page(paired: Paired, target: Path) -> None:
    """Writes the page, whole or not at all. Raises RecordError."""
    from robusteval.finished.paired.page import render
    from robusteval.record.store import write_atomically

    write_atomically(target, render(paired).encode())


def tell(paired: Paired) -> None:
    """The answer, and a row a test, in the terminal."""
    from robusteval.cli.tables import console, table
    from robusteval.record.units import budget_text

    screen = console()
    for pair in paired.pairs:
        screen.say(pair.sentence)
        for line in (*pair.reasons, *pair.nearest, *pair.notes):
            screen.say(line)
        listed = table("", "at", f">{pair.first}", f">{pair.second}", ">change", ">lost", ">won", ">p", "")
        for test in pair.tests:
            at = "clean" if test.what == "clean" else f"{test.norm} {budget_text(test.eps, test.norm)}"
            p = test.p if test.p_adjusted is None else test.p_adjusted
            figures = (f"{100 * test.first:.1f} %", f"{100 * test.second:.1f} %", f"{100 * test.difference:+.1f}")
            listed.add_row(at, *figures, str(test.lost), str(test.won), f"{p:.2g}", "decides" if test.decides else "")
        for row in pair.proved:
            figures = (f"{100 * row.first:.1f} %", f"{100 * row.second:.1f} %", f"{100 * row.difference:+.1f}")
            at = f"{row.norm} {budget_text(row.eps, row.norm)} proved"
            listed.add_row(at, *figures, str(row.lost), str(row.won), f"{row.p:.2g}", f"{row.images} images")
        if pair.tests:
            screen.show(listed)


def regressed(paired: Paired) -> list[str]:
    """Why the first run's level is not shown to be kept: a sentence for each run that is worse, mixed, or of which
    nothing is decided."""
    kept = ("better", "no difference found")
    return [" ".join([pair.sentence, *pair.reasons]) for pair in paired.pairs if pair.outcome not in kept]
