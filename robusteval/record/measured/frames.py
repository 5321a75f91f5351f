"""What a record holds as a plain table, a row a sample and cell, and in a few sentences."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from robusteval.errors import RecordError
from robusteval.record.measured import Cell, Data, Model, Suite
from robusteval.text import line

if TYPE_CHECKING:
    import pandas as pd

_ROW = re.compile(r"row (\d{1,15})")  # the name of a sample that has no file: its place in the data


class Told(Protocol):
    """What of a record is told here; `Record` itself knows this file."""

    model: Model
    data: Data
    suite: Suite
    cells: list[Cell]
    findings: list[Any]
    verdict: Any


def place_of(name: str) -> int | None:
    """The place of a sample in the user's data, where its name is that."""
    found = _ROW.fullmatch(name)
    return int(found[1]) if found is not None else None


def to_frame(record: Told) -> pd.DataFrame:
    """See Record.to_frame."""
    try:
        import pandas as pd
    except ImportError:
        raise RecordError(
            "The table is a pandas data frame, and pandas is not installed.",
            "Install it: pip install 'robusteval[pandas]'.",
        ) from None
    samples, names = range(record.data.samples), list(record.data.names)
    places = [place_of(name) for name in names] or [None] * len(samples)
    files = [None if place is not None else name for name, place in zip(names, places, strict=False)]
    common = {
        "sample": list(samples),
        "row": pd.array(places, dtype="Int64"),
        "file": files or [None] * len(samples),
        "label": list(record.data.labels),
    }
    parts = [pd.DataFrame(common | _columns(cell, pd)) for cell in record.cells if _told(cell)]
    if parts:
        return pd.concat(parts, ignore_index=True)
    empty: dict[str, list[Any]] = {name: [] for name in (*common, *_OF_CELL, "prediction", "distance", "l2")}
    return pd.DataFrame(empty)


_OF_CELL = ("attack", "norm", "defense", "knowledge", "threat", "eps")


def _told(cell: Cell) -> bool:
    """Whether it has a distance a sample; oblivious cells are judged at strengths in their place."""
    return cell.status == "done" and len(cell.distance) > 0


def _columns(cell: Cell, pd: Any) -> dict[str, Any]:
    facts = {name: getattr(cell, name) for name in _OF_CELL}
    return {
        **facts,
        "prediction": pd.array(list(cell.prediction), dtype="Int64"),
        "distance": [float("inf") if value is None else value for value in cell.distance],
        "l2": [float("inf") if value is None else value for value in cell.l2],
    }


def summary(record: Told) -> str:
    """See Record.summary."""
    model, data, suite = record.model, record.data, record.suite
    lines = [f"{model.name}: {data.samples} samples of {data.name or 'arrays'}, suite {suite.name} {suite.version}"]
    if record.verdict is None:
        return f"{line(lines[0])}\nNothing was concluded: there is no verdict."
    word = "conclusive" if record.verdict.status == "conclusive" else "INCONCLUSIVE"
    lines += [f"Trust grade {record.verdict.grade} ({word}).", *record.verdict.sentences]
    lines += [f"{row.severity}: {row.sentence}" for row in record.findings if row.severity != "info"]
    return "\n".join(map(line, lines))
