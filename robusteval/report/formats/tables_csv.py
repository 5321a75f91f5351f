"""Tables as CSV, for spreadsheets and scripts: pure functions of the record."""

from __future__ import annotations

import csv
import io
import re

from robusteval.record.run import Record, Result
from robusteval.text import csv_cell


def tables(record: Record) -> dict[str, str]:
    """File name -> CSV text, one for each table that a metric derived. Names are safe and differ from each other."""
    texts: dict[str, str] = {}
    for result in record.results:
        if result.kind == "table":
            stem = re.sub(r"[^A-Za-z0-9.+_-]+", "_", result.name).strip("._")[:80] or "table"
            name, count = f"{stem}.csv", 2
            while name in texts:
                name, count = f"{stem}-{count}.csv", count + 1
            texts[name] = table(result)
    return texts


def table(result: Result) -> str:
    """One table: a line of column names, then the rows; numbers in full, nothing for what is not known."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in result.titles()])
    writer.writerows([[csv_cell(value) for value in row] for row in result.rows])
    return buffer.getvalue()
