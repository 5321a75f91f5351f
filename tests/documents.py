"""A run's document in one piece, to look at and to change: with the columns that lie in samples.parquet inside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from robusteval.record import store
from robusteval.record.measured.layout import SAMPLES_FILE


def whole(folder: Path) -> dict[str, Any]:
    """The document of the run in a folder, as JSON has it."""
    data: dict[str, Any] = json.loads(store.to_json(store.load(folder)))
    return data


def rewrite(folder: Path, text: str) -> None:
    """Puts such a document in the place of the run's own."""
    (folder / store.RECORD_FILE).write_text(text)
    (folder / SAMPLES_FILE).unlink(missing_ok=True)
