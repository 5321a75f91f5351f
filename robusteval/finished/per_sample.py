"""A row a sample: what the bare model answers, and how far each norm's worst attack had to go."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from robusteval.errors import RecordError
from robusteval.metrics._common import columns
from robusteval.metrics.per_class import class_name
from robusteval.record.measured.per_sample import numbers
from robusteval.record.run import Record
from robusteval.text import csv_cell

Rows = list[dict[str, Any]]


def table(record: Record) -> Rows:
    """In the order of the data. distance@NORM: the smallest distance at which an attack won, in the model's own pixel
    range (l0: pixels), None: never, 0: wrong when clean; attack@NORM and answer@NORM: of that attack.

    Raises RecordError where the run has no clean answers.
    """
    bare = next((pipeline for pipeline in columns.pipelines(record) if pipeline.defense == columns.BARE), None)
    if bare is None:
        raise RecordError("The run has no clean answers of the bare model.", "Give the folder of a finished run.")
    right = columns.right_when_clean(record, bare)
    names = record.data.names
    rows: Rows = [
        {
            "sample": place,
            "name": names[place] if place < len(names) else "",
            "label": record.data.labels[place],
            "class": class_name(record, record.data.labels[place]),
            "prediction": bare.prediction[place],
            "right": bool(right[place]),
        }
        for place in range(record.data.samples)
    ]
    for norm in measured_norms(record):
        worst = columns.worst_case(columns.attack_cells(record, norm, columns.BARE), right)
        if worst is None:
            continue
        answers = [numbers(cell.prediction, -1) for cell in worst.cells]
        for place, row in enumerate(rows):
            cell, distance = int(worst.cell[place]), float(worst.distance[place])
            row[f"distance@{norm}"] = distance if np.isfinite(distance) else None
            row[f"attack@{norm}"] = worst.cells[cell].attack if cell >= 0 else ""
            row[f"answer@{norm}"] = int(answers[cell][place]) if cell >= 0 and place < len(answers[cell]) else None
    return rows


def measured_norms(record: Record) -> list[str]:
    """The norms in which an attack on the bare model finished."""
    return [norm for norm in columns.NORMS if columns.attack_cells(record, norm, columns.BARE)]


def least_robust(record: Record, norm: str, count: int) -> Rows:
    """The rows of the samples that are right when clean and lost, the nearest first. Raises RecordError where no attack
    finished in that norm."""
    if norm not in measured_norms(record):
        there = ", ".join(measured_norms(record)) or "none"
        raise RecordError(f"No attack on the bare model finished in {norm}.", f"Norms with distances: {there}.")
    key = f"distance@{norm}"
    lost = [row for row in table(record) if row["right"] and row[key] is not None]
    return sorted(lost, key=lambda row: (row[key], row["sample"]))[:count]


def as_csv(rows: Rows) -> str:
    """The rows as CSV, empty where there is nothing; text that a spreadsheet would run is set in an apostrophe."""
    if not rows:
        return ""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(rows[0])
    writer.writerows(["" if value is None else csv_cell(value) for value in row.values()] for row in rows)
    return written.getvalue()


def as_parquet(rows: Rows) -> bytes:
    """The rows as a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {"sample": pa.int64(), "label": pa.int64(), "prediction": pa.int64(), "right": pa.bool_()}
    starts = {"distance@": pa.float64(), "answer@": pa.int64()}
    names = list(rows[0]) if rows else []
    fields = [
        (name, kinds.get(name) or next((kind for start, kind in starts.items() if name.startswith(start)), pa.string()))
        for name in names
    ]
    made = pa.Table.from_pylist(rows, schema=pa.schema(fields))
    buffer = io.BytesIO()
    pq.write_table(made, buffer, compression="zstd")
    return buffer.getvalue()
