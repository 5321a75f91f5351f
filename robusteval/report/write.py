"""What a run folder gets beside its record: the page, and the tables as CSV."""

from __future__ import annotations

import json
from pathlib import Path

from robusteval.errors import RecordError
from robusteval.record.comparison import Comparison
from robusteval.record.run import Record
from robusteval.record.store import TABLES_LIST, listed_tables, write_atomically
from robusteval.report.comparison_page import render_comparison
from robusteval.report.formats import tables_csv
from robusteval.report.page import render

REPORT_FILE = "report.html"
TABLES = "tables"


def write_tables(record: Record, folder: Path) -> None:
    """Writes folder/tables/NAME.csv for each table of the record, and removes those of before that are no more; other
    files stay. Raises RecordError where it cannot."""
    made, place = tables_csv.tables(record), folder / TABLES
    if not made and not (place / TABLES_LIST).exists():
        return
    try:
        place.mkdir(exist_ok=True)
        for name in set(listed_tables(place)) - set(made):
            (place / name).unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(
            f"Cannot write to {place}: {error.strerror or error}.", "Remove what is in the way."
        ) from None
    write_atomically(place / TABLES_LIST, json.dumps(sorted(made)).encode())
    for name, text in made.items():
        write_atomically(place / name, text.encode())


def write_report(record: Record, target: Path) -> Path:
    """Writes the page to target and returns it. Raises RecordError where it cannot."""
    write_atomically(target, render(record).encode())
    return target


def write_comparison(comparison: Comparison, target: Path) -> Path:
    """Writes the page of several models to target and returns it. Raises RecordError where it cannot."""
    write_atomically(target, render_comparison(comparison).encode())
    return target
