"""Where things that can be made again are kept between runs: calibrations, trainings."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "ROBUSTEVAL_CACHE"
OFF = "off"


def cache_folder(kind: str) -> Path | None:
    """The folder of one kind of them: in $ROBUSTEVAL_CACHE, or the platform's place for caches; None where that is "off"."""
    named = os.environ.get(VARIABLE, "")
    if named:
        return None if named == OFF else Path(named) / kind
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "robusteval" / kind
