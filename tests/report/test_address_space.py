"""`ulimit -v`, as batch systems set it: the report is written, with pictures or with a sentence why there are none."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report.formats import drawing
from robusteval.verify.parts.page import DRAWN, check_page
from robusteval.verify.parts.result import Verification
from tests import records

GB = 10**9


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    store.save(records.with_results(records.make(20)), folder)
    return folder


def limited(limit: int, *words: object) -> subprocess.CompletedProcess[str]:
    """The command with so many bytes of address space."""
    command = [sys.executable, "-m", "robusteval", *map(str, words)]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )


@pytest.mark.parametrize("limit", [8 * GB, 20 * GB])
def test_a_report_is_not_lost_for_its_pictures(limit: int, run: Path, tmp_path: Path) -> None:
    done = limited(limit, "report", run, "--out", tmp_path / "report.html", "--csv")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stderr == ""
    page = (tmp_path / "report.html").read_text()
    said = re.findall(r'<p class="note undrawn">([^<]*)</p>', page)
    assert len(said) == 1
    assert f"{limit / GB:.1f} GB" in said[0]
    assert page.count('class="chart-static"') > 3
    assert "vegaEmbed" in page  # the script draws them all the same
    assert list((tmp_path / "tables").glob("*.csv"))


def test_verify_knows_a_page_without_pictures(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = store.load(run)
    store.save(record, tmp_path)
    monkeypatch.setattr(drawing, "able", lambda: False)
    monkeypatch.setattr(drawing, "address_space", lambda: 1e10)
    from robusteval.report.write import write_report

    write_report(record, tmp_path / "report.html")
    assert "undrawn" in (tmp_path / "report.html").read_text()
    monkeypatch.undo()
    result = Verification()
    check_page(record, tmp_path, result)
    assert result.failures == []
    assert DRAWN in result.left
    path = tmp_path / "report.html"
    whole = path.read_text()
    for lie in (whole.replace("ulimit -v", "Grade: A"), whole.replace("10.0 GB", "A GB"), whole.replace("Charts", "A")):
        assert lie != whole
        path.write_text(lie)
        result = Verification()
        check_page(record, tmp_path, result)
        assert result.failures


def test_where_the_child_can_draw_the_picture_is_the_same(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = drawing._TRIAL
    free = drawing.svg(spec)
    monkeypatch.setattr(drawing, "address_space", lambda: 1e15)
    drawing.able.cache_clear()
    try:
        assert re.sub(r"clip\d+", "", drawing.svg(spec)) == re.sub(r"clip\d+", "", free)
        assert drawing.undrawn() == ""
        monkeypatch.setattr(drawing, "_apart", lambda _: None)
        assert "Not drawn" in drawing.svg(spec)
    finally:
        monkeypatch.undo()
        drawing.able.cache_clear()


def test_no_limit_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "address_space", lambda: None)
    monkeypatch.setattr(drawing, "_apart", lambda _: pytest.fail("a child was asked"))
    drawing.able.cache_clear()
    assert drawing.svg(drawing._TRIAL).startswith("<svg")
    assert drawing.undrawn() == ""
    drawing.able.cache_clear()
