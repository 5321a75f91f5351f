"""Where things that can be made again are kept between runs: calibrations, trainings."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path

VARIABLE = "ROBUSTEVAL_CACHE"
OFF = "off"


def cache_folder(kind: str) -> Path | None:
    """The folder of one kind of them: in $ROBUSTEVAL_CACHE, or the platform's place for caches; None where that is
    "off"."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return None if named == OFF else Path(named) / kind
    return user_cache_path("robusteval", appauthor=False) / kind
