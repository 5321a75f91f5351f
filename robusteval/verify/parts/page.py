"""The page and the tables beside a record: what `robusteval report` makes of that record, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from robusteval.plain import in_words, read_plain
from robusteval.record.comparison import Comparison
from robusteval.record.run import Record
from robusteval.record.store import digest
from robusteval.verify.parts.result import Verification

PAGE, TABLES = "report.html", "tables"
MAX_BYTES = 1 << 30  # of a page or a table
ABSENT = "there is no report.html"
BARE = (
    "the page's words and figures: the packages that render it are not installed, so only the hash that it carries "
    "was compared"
)
DRAWN = "the page's drawings: they were made with other versions of the drawing packages than are installed"
_MARK = re.compile(r'<meta name="robusteval-record" content="([0-9a-f]{64})">')
# what a page says that was written under a limit: these very words, as whatever is left out here is not checked
_UNDRAWN = re.compile(
    '<p class="note undrawn">Charts have no still pictures, only those that the script draws: the others need more '
    r"address space than the [0-9,.]{1,9} [kMGT]B that were allowed \(ulimit -v\); the tables hold the same figures\."
    "</p>\n"
)
_WITH = re.compile(r'<meta name="robusteval-made-with" content="([^"]*)">')


def check_page(record: Record, folder: Path, result: Verification) -> None:
    """The page carries the record's hash, and is what is rendered from it."""
    _tables(record, folder, result)
    page = _read(folder, result)
    if page is None:
        return
    mark = _MARK.search(page)
    if mark is None or mark[1] != digest(record):
        result.judge(["it was made from another record than record.json"], PAGE)
        return
    try:
        from robusteval.report.formats.embed import made_with
        from robusteval.report.page import render
    except ImportError:
        result.leave(BARE)
        return
    _compare(page, render(record), made_with(), result)


def check_comparison_page(comparison: Comparison, folder: Path, result: Verification) -> None:
    """The page of several models is what is rendered from their comparison."""
    page = _read(folder, result)
    if page is None:
        return
    try:
        from robusteval.report.comparison_page import render_comparison
        from robusteval.report.formats.embed import made_with
    except ImportError:
        result.leave(BARE)
        return
    _compare(page, render_comparison(comparison), made_with(), result)


def _read(folder: Path, result: Verification) -> str | None:
    path = folder / PAGE
    if not (path.is_symlink() or path.is_file() or path.is_fifo()):
        result.leave(ABSENT)
        return None
    try:
        return read_plain(path, MAX_BYTES, follow=False).decode("utf-8", "replace")
    except OSError as error:
        result.judge([f"it cannot be read: {in_words(error)}"], PAGE)
        return None


def _compare(page: str, again: str, drawn_with: str, result: Verification) -> None:
    """Byte for byte; but where drawing packages of other versions are installed here, their drawings aside."""
    if again == page:
        result.judge([], PAGE)
        return
    other = _WITH.search(page)
    if other is not None and other[1] != drawn_with and _words(again) == _words(page):
        result.leave(DRAWN)
        result.judge([], PAGE)
    else:
        result.judge(["it is not what `robusteval report` makes of this run"], PAGE)


def _words(page: str) -> str:
    """The page without what drawing packages make: scripts, their data, and pictures."""
    page = re.sub(r"<script\b.*?</script>", "", page, flags=re.DOTALL)
    page = re.sub(r'"data:image/svg\+xml;base64,[^"]*"', '""', page)
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    return _UNDRAWN.sub("", _WITH.sub("", page))


def _tables(record: Record, folder: Path, result: Verification) -> None:
    """tables/*.csv, where there are any. Others' files in that folder are none of ours."""
    from robusteval.report.formats import tables_csv

    tables_folder = folder / TABLES
    for name, text in tables_csv.tables(record).items():
        path = tables_folder / name
        if path.is_file():
            try:
                same = read_plain(path, MAX_BYTES, follow=False) == text.encode()
            except OSError:
                same = False
            result.judge([] if same else ["it is not the record's table"], f"{TABLES}/{name}")
