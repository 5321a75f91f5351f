"""`robusteval.load`: a finished run for a notebook or a script."""

from __future__ import annotations

from pathlib import Path

from robusteval.record import store
from robusteval.record.run import Record


def load(run: str | Path) -> Record:
    """The record of a finished run; its `samples()` is everything per sample as a pandas data frame. No plugin and no
    torch is imported.

    run: the run's folder, or a record.json. Raises RecordError where it is none, or was changed after the run.
    """
    return store.load(Path(run))
