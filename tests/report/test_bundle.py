"""The script that draws the charts is made once for a version of the library; what was kept counts only where it is
whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from robusteval.report.formats import embed


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("ROBUSTEVAL_CACHE", str(tmp_path))
    embed.vega_bundle.cache_clear()
    yield tmp_path / "page-script"
    embed.vega_bundle.cache_clear()


def test_it_is_made_once_and_then_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embed, "_made_bundle", lambda: "draw();\n")
    assert embed.vega_bundle() == "draw();\n"
    monkeypatch.setattr(embed, "_made_bundle", lambda: pytest.fail("made twice"))
    embed.vega_bundle.cache_clear()
    assert embed.vega_bundle() == "draw();\n"


@pytest.mark.parametrize("spoil", ["cut", "other", "empty", "bytes", "link"])
def test_what_is_not_whole_is_made_anew(folder: Path, monkeypatch: pytest.MonkeyPatch, spoil: str) -> None:
    monkeypatch.setattr(embed, "_made_bundle", lambda: "draw();")
    embed.vega_bundle()
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    if spoil == "link":
        path.unlink()
        path.symlink_to("/dev/zero")
    else:
        path.write_bytes({"cut": whole[:-1], "other": whole[:-7] + b"steal()", "empty": b"", "bytes": b"\xff"}[spoil])
    embed.vega_bundle.cache_clear()
    assert embed.vega_bundle() == "draw();"


@pytest.mark.parametrize("place", ["off", "a file"])
def test_without_a_place_for_it_it_is_made_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, folder: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ROBUSTEVAL_CACHE", "off" if place == "off" else str(tmp_path / "file"))
    monkeypatch.setattr(embed, "_made_bundle", lambda: "draw();")
    assert embed.vega_bundle() == "draw();"
    assert not folder.exists()
