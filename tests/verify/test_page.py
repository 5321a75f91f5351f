"""The page and the tables beside a record: byte for byte what is made of it, and what is said where they are not."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robusteval.record.run import Record
from robusteval.record.store import digest
from robusteval.report.formats import tables_csv
from robusteval.verify.parts import page as module
from robusteval.verify.parts.page import ABSENT, BARE, DRAWN, check_comparison_page, check_page
from robusteval.verify.parts.result import Verification
from tests.verify.tiny import tiny

NOT_MADE = "report.html: it is not what `robusteval report` makes of this run."


def hashed(script: str) -> str:
    """As a content policy names a script."""
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def page(mark: str, made_with: str = "bokeh 1", words: str = "words", drawing: str = "1", ours: str = "ours") -> str:
    """A page with one of everything that is looked for."""
    return (
        f'<meta name="robusteval-record" content="{mark}"><meta name="robusteval-made-with" content="{made_with}">'
        f'<meta http-equiv="Content-Security-Policy" content="{hashed(ours)} {hashed(drawing)}">{words}'
        f'<script type="application/json">{drawing}\n</script>, {words}'
        f'<img src="data:image/svg+xml;base64,{drawing}">, {words}'
        f'<script type="application/json" id="a">{ours}</script><script>{ours}</script><script>{drawing}</script>'
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder, where the report is rendered by `page`, for one or for several models."""
    embed = SimpleNamespace(made_with=lambda: "bokeh 1")
    monkeypatch.setitem(sys.modules, "robusteval.report.formats.embed", embed)
    render = SimpleNamespace(render=lambda record: page(digest(record)))
    monkeypatch.setitem(sys.modules, "robusteval.report.page", render)
    several = SimpleNamespace(render_comparison=lambda comparison: page(f"of {comparison}"))
    monkeypatch.setitem(sys.modules, "robusteval.report.comparison_page", several)
    monkeypatch.setattr(tables_csv, "tables", lambda record: {"a.csv": f"a{record.seed}\n", "b.csv": "b\xe9"})
    return tmp_path


@pytest.fixture
def record() -> Record:
    return tiny()[0]


def checked(record: Any, folder: Path, several: bool = False) -> Verification:
    result = Verification()
    check: Any = check_comparison_page if several else check_page
    check(record, folder, result)
    return result


def test_a_page_that_was_made_of_the_record(folder: Path, record: Record) -> None:
    (folder / "report.html").write_text(page(digest(record)))
    result = checked(record, folder)
    assert (result.failures, result.claims, result.left) == ([], 1, {})


@pytest.mark.parametrize("several", [False, True])
def test_no_page(folder: Path, record: Record, several: bool) -> None:
    for make in (lambda path: None, lambda path: path.mkdir()):
        make(folder / "report.html")
        result = checked(record, folder, several)
        assert (result.failures, result.claims, result.left) == ([], 0, {ABSENT: 1})


@pytest.mark.parametrize("several", [False, True])
def test_a_page_that_is_no_plain_file(folder: Path, record: Record, several: bool) -> None:
    (folder / "report.html").symlink_to(folder / "none")
    assert checked(record, folder, several).failures == ["report.html: it cannot be read: it is a link."]
    (folder / "report.html").unlink()
    os.mkfifo(folder / "report.html")
    assert checked(record, folder, several).failures == [
        "report.html: it cannot be read: it is a named pipe, not a file."
    ]


@pytest.mark.parametrize("mark", ["0" * 64, "", "0" * 63, None])
def test_a_page_of_another_record(folder: Path, record: Record, mark: str | None) -> None:
    (folder / "report.html").write_text(page(mark) if mark is not None else "words")
    assert checked(record, folder).failures == ["report.html: it was made from another record than record.json."]


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(
    ("made_with", "words", "drawing", "outcome"),
    [
        ("bokeh 1", "words", "1", "same"), ("bokeh 1", "other", "1", "fails"), ("bokeh 1", "words", "2", "fails"),
        ("bokeh 2", "words", "2", "drawn"), ("bokeh 2", "words", "1", "drawn"), ("bokeh 2", "other", "2", "fails"),
    ],
)  # fmt: skip
def test_a_page_that_differs(
    folder: Path, record: Record, several: bool, made_with: str, words: str, drawing: str, outcome: str
) -> None:
    mark = "of c" if several else digest(record)
    (folder / "report.html").write_text(page(mark, made_with, words, drawing))
    result = checked("c" if several else record, folder, several)
    assert result.failures == ([NOT_MADE] if outcome == "fails" else [])
    assert result.left == ({DRAWN: 1} if outcome == "drawn" else {})
    assert (result.claims, result.confirmed) == {"same": (1, 1), "fails": (1, 0), "drawn": (0, 0)}[outcome]


@pytest.mark.parametrize(
    "forged",
    [
        lambda text: text.replace("ours</script><script>", "theirs</script><script>"),  # our script
        lambda text: text.replace('id="a">ours', 'id="a">theirs'),  # its data: the slider's figures
        lambda text: text.replace(hashed("2"), hashed("3")),  # a policy for another script
        lambda text: text.replace("Policy", "Policies"),
        lambda text: text.replace("<script>2<", "<script>3</script><script>2<"),
        lambda text: text.replace("<script>2<", '<script src="x">2<'),
        lambda text: text.replace("<script>2<", "<script>2</script ><h1>Grade: A</h1><"),
        lambda text: text.replace('json">2', 'json">2</SCRIPT><h1>Grade: A</h1>'),
        lambda text: text.replace("base64,2", "base64,2'><h1>Grade: A</h1>"),
    ],
)
def test_other_drawing_packages_excuse_their_drawings_alone(folder: Path, record: Record, forged: Any) -> None:
    honest = page(digest(record), "bokeh 2", drawing="2")
    (folder / "report.html").write_text(honest)
    assert (checked(record, folder).failures, checked(record, folder).left) == ([], {DRAWN: 1})
    assert forged(honest) != honest
    (folder / "report.html").write_text(forged(honest))
    assert checked(record, folder).failures == [NOT_MADE]


def test_a_page_that_does_not_say_what_drew_it(folder: Path, record: Record) -> None:
    text = page(digest(record)).replace("robusteval-made-with", "made-with")
    (folder / "report.html").write_text(text)
    assert checked(record, folder).failures == [NOT_MADE]


@pytest.mark.parametrize(
    "gone", ["robusteval.report.formats.embed", "robusteval.report.page", "robusteval.report.comparison_page"]
)
def test_where_nothing_can_be_rendered_the_hash_alone_is_compared(
    folder: Path, record: Record, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setitem(sys.modules, gone, None)
    (folder / "report.html").write_text(page(digest(record), words="other"))
    single = not gone.endswith("comparison_page")
    result = checked(record, folder)
    assert (result.failures, result.left) == (([], {BARE: 1}) if single else ([NOT_MADE], {}))
    result = checked(record, folder, several=True)
    both = not gone.endswith("report.page")
    assert (result.failures, result.left) == (([], {BARE: 1}) if both else ([NOT_MADE], {}))


def test_bytes_that_are_no_text_are_another_page(folder: Path, record: Record) -> None:
    (folder / "report.html").write_bytes(page(digest(record)).encode() + b"\xff")
    assert checked(record, folder).failures == [NOT_MADE]


def test_a_page_is_read_as_utf_8(folder: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(digest(record), words="caf\xe9 \u2264")
    monkeypatch.setattr(sys.modules["robusteval.report.page"], "render", lambda record: text)
    (folder / "report.html").write_bytes(text.encode())
    assert checked(record, folder).failures == []


def test_tables(folder: Path, record: Record) -> None:
    (folder / "report.html").write_text(page(digest(record)))
    tables = folder / "tables"
    tables.mkdir()
    (tables / "c.csv").write_text("of somebody else")
    assert checked(record, folder).claims == 1
    (tables / "b.csv").write_bytes("b\xe9".encode())
    result = checked(record, folder)
    assert (result.failures, result.claims) == ([], 2)
    (tables / "a.csv").write_text("a1\n")
    result = checked(record, folder)
    assert (result.failures, result.claims) == (["tables/a.csv: it is not the record's table."], 3)
    (tables / "a.csv").write_text("a0\n")
    assert checked(record, folder).failures == []
    (tables / "a.csv").rename(tables / "other")
    (tables / "a.csv").symlink_to(tables / "other")
    assert checked(record, folder).failures == ["tables/a.csv: it is not the record's table."]


def test_what_is_too_large_is_not_read(folder: Path, record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(digest(record))
    (folder / "report.html").write_text(text)
    monkeypatch.setattr(module, "MAX_BYTES", len(text))
    assert checked(record, folder).failures == []
    monkeypatch.setattr(module, "MAX_BYTES", len(text) - 1)
    said = f"it has {len(text):,} bytes, more than the limit of {len(text) - 1:,}"
    assert checked(record, folder).failures == [f"report.html: it cannot be read: {said}."]
    (folder / "report.html").unlink()
    (folder / "tables").mkdir()
    (folder / "tables" / "a.csv").write_text("a0\n")
    for most, failures in ((3, []), (2, ["tables/a.csv: it is not the record's table."])):
        monkeypatch.setattr(module, "MAX_BYTES", most)
        assert checked(record, folder).failures == failures


UNDRAWN = (
    '<p class="note undrawn">Charts have no still pictures, only those that the script draws: the others need more '
    "address space than the 8.0 GB that were allowed (ulimit -v); the tables hold the same figures.</p>\n"
)


def test_a_page_may_say_why_it_has_no_drawings_and_nothing_else_there(folder: Path, record: Record) -> None:
    path = folder / "report.html"
    path.write_text(UNDRAWN + page(digest(record), "bokeh 1, no still pictures"))
    assert checked(record, folder).left == {DRAWN: 1}
    for lie in ("8.0 GB", "Charts", "ulimit", "figures."):
        path.write_text(UNDRAWN.replace(lie, "Grade: A") + page(digest(record), "bokeh 1, no still pictures"))
        assert checked(record, folder).failures == [NOT_MADE]
    path.write_text(UNDRAWN + page(digest(record)))  # it says that it has drawings
    assert checked(record, folder).failures == [NOT_MADE]


def test_what_is_left_of_a_page_without_its_drawings() -> None:
    assert module._words(page("m")) == (
        '<meta name="robusteval-record" content="m">'
        f'<meta http-equiv="Content-Security-Policy" content="{hashed("ours")} ">words'
        '<script type="application/json"></script>, words<img src="">, words'
        '<script type="application/json" id="a">ours</script><script>ours</script><script></script>'
    )
