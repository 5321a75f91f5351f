"""Where calibrations and trainings are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from robusteval.cache import cache_folder


def test_the_variable_names_the_folder_and_off_means_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path))
    assert cache_folder("training") == tmp_path / "training"
    monkeypatch.setenv("ROBUSTEVAL_CACHE", "off")
    assert cache_folder("training") is None


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="XDG's folders are those of Linux and its like")
def test_without_it_the_user_s_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ROBUSTEVAL_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("pass-timing") == tmp_path / "robusteval" / "pass-timing"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("pass-timing") == Path.home() / ".cache" / "robusteval" / "pass-timing"
