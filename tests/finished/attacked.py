"""A real small run, made once for the tests that read finished ones."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robusteval.cli import main
from tests.cli.conftest import CNN


def attacked(place: Path, suite: str, cache: Path) -> Path:
    """The folder of a run of the example's model by this suite."""
    (place / "suite.toml").write_text(suite)
    words = ["run", CNN, "--suite", place / "suite.toml", "--out", place / "run", "--workers", 1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTEVAL_CACHE", str(cache))
        patch.setattr(sys, "argv", ["robusteval", *map(str, words)])
        with pytest.raises(SystemExit):
            main()
    return place / "run"
