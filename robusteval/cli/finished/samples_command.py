"""`robusteval samples`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from robusteval.cli import say, say_json

if TYPE_CHECKING:
    from robusteval.finished.per_sample import Rows
    from robusteval.record.run import Record


@click.command("samples")
@click.argument("run", type=click.Path())
@click.option(
    "--least-robust",
    "count",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="So many, those that are lost nearest first.",
)
@click.option(
    "--norm", type=click.Choice(["l2", "linf", "l1", "l0"]), help="By which distance.  [default: linf, else the first]"
)
@click.option("--csv", "as_csv", type=click.Path(), metavar="FILE", help="Write the table to this file.")
@click.option("--images", type=click.Path(), metavar="FOLDER", help="Write their images to this new or empty folder.")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def command(run: str, count: int, norm: str | None, as_csv: str | None, images: str | None, as_json: bool) -> None:
    """The samples of the finished RUN that the smallest changes take from the bare model: those to label, add or learn
    from next.

    Samples that are wrong when clean need no attack, and are not listed.
    """
    from robusteval.cage.page import working
    from robusteval.errors import RecordError
    from robusteval.finished import per_sample
    from robusteval.record.store import load, write_atomically

    with working("the table of samples"):
        record = load(Path(run))
        norms = per_sample.measured_norms(record)
        if not norms:
            raise RecordError("No attack on the bare model finished, so no sample has a distance.")
        chosen = norm or ("linf" if "linf" in norms else norms[0])
        rows = per_sample.least_robust(record, chosen, count)
        if as_csv:
            write_atomically(Path(as_csv), per_sample.as_csv(rows).encode())
        if images:
            _write(record, Path(run), rows, chosen, Path(images))
        if as_json:
            say_json({"norm": chosen, "samples": rows})
            return
        _show(record, rows, chosen)
    for path in filter(None, (as_csv, images)):
        say(f"Written: {path}")


def _show(record: Record, rows: Rows, norm: str) -> None:
    from robusteval.cli.tables import console, table

    wrong = sum(
        answer != label for answer, label in zip(record.pipeline("none").prediction, record.data.labels, strict=True)
    )
    listed = table("", ">sample", "name", "class", ">lost at", "by", "answered")
    for row in rows:
        distance, answer = row[f"distance@{norm}"], row[f"answer@{norm}"]
        figures = (f"{distance:.4g}", row[f"attack@{norm}"], "" if answer is None else _named(record, answer))
        listed.add_row(str(row["sample"]), row["name"], row["class"], *figures)
    screen = console()
    screen.show(listed)
    screen.say(f"{len(rows)} samples by their distance in {norm}; {wrong} are wrong when clean, and not listed.")


def _named(record: Record, answer: int) -> str:
    names: Any = record.model.class_names
    return names[answer] if 0 <= answer < len(names) else str(answer)


def _write(record: Record, run: Path, rows: Rows, norm: str, folder: Path) -> None:
    """Writes RANK-SAMPLE-clean.png and RANK-SAMPLE-adversarial.png: names are ours, and none comes from the data."""
    from robusteval.errors import RecordError
    from robusteval.finished.images import Images
    from robusteval.finished.new_folder import new_folder
    from robusteval.record.store import write_atomically

    new_folder(folder)
    there = Images(record, run if run.is_dir() else run.parent)
    written = 0
    for rank, row in enumerate(rows, start=1):
        sample = int(row["sample"])
        for what, png in (("clean", there.clean(sample)), ("adversarial", there.nearest(sample, norm))):
            if png is not None:
                write_atomically(folder / f"{rank:04d}-{sample}-{what}.png", png)
                written += 1
    if rows and not written:
        raise RecordError(
            "Samples of this shape are no pictures, so there are no images to write.", "Leave --images out."
        )
