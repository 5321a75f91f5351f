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
from robusteval.report.formats.marks import Marks
from robusteval.report.page import render

REPORT_FILE = "report.html"
MARKED_FILE = "report-marked.html"  # with a reader's marks
TABLES = "tables"


def write_tables(record: Record, folder: Path) -> None:
    """Writes folder/tables/NAME.csv for each table of the record, and removes those of before that are no more; other
    files stay. Raises RecordError where it cannot."""
    texts, path = tables_csv.tables(record), folder / TABLES
    if not texts and not (path / TABLES_LIST).exists():
        return
    if path.is_symlink():
        raise RecordError(f"{path} is a link, and tables are written beside their record only.", "Remove it.")
    try:
        path.mkdir(exist_ok=True)
        for name in set(listed_tables(path)) - set(texts):
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise RecordError(f"Cannot write to {path}: {error.strerror or error}.", "Remove what is in the way.") from None
    write_atomically(path / TABLES_LIST, json.dumps(sorted(texts)).encode())
    for name, text in texts.items():
        write_atomically(path / name, text.encode())


def write_report(record: Record, target: Path, marks: Marks | None = None) -> Path:
    """Writes the page to target, with a reader's marks where there are any, and returns it. Raises RecordError where it
    cannot."""
    write_atomically(target, render(record, marks).encode())
    return target


def write_comparison(comparison: Comparison, target: Path) -> Path:
    """Writes the page of several models to target and returns it. Raises RecordError where it cannot."""
    write_atomically(target, render_comparison(comparison).encode())
    return target
