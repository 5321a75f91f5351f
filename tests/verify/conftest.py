"""The honest run is made once for the session; each test that changes files gets a copy of its folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from robusteval.cli import main
from tests.verify.runs import CNN, SUITE, Honest, open_run


@pytest.fixture(scope="session")
def honest(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Honest:
    place = tmp_path_factory.mktemp("honest")
    (place / "everything.toml").write_text(SUITE)
    words = ["run", CNN, "--suite", place / "everything.toml", "--out", place / "run", "--workers", 1, "--seed", 3]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBUSTEVAL_CACHE", str(cache))
        patch.setattr(sys, "argv", ["robusteval", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            main()
    assert stop.value.code in (0, 3)  # ten samples meet no gate
    return open_run(place / "run")


@pytest.fixture
def folder(honest: Honest, tmp_path: Path) -> Path:
    """A copy of the honest run's folder."""
    return Path(shutil.copytree(honest.folder, tmp_path / "run", ignore=shutil.ignore_patterns("units")))
