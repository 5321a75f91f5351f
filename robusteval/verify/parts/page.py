"""The page and the tables beside a record: what `robusteval report` makes of that record, and nothing else."""

from __future__ import annotations

import base64
import hashlib
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
DRAWN = (
    "the page's drawings, and the script that draws them: they were made with other versions of the drawing packages "
    "than are installed; `robusteval report RUN` makes the page anew"
)
_MARK = re.compile(r'<meta name="robusteval-record" content="([0-9a-f]{64})">')
# what a page says that was written under a limit: these very words, as whatever is left out here is not checked
_UNDRAWN = re.compile(
    '<p class="note undrawn">Charts have no still pictures, only those that the script draws: the others need more '
    r"address space than the [0-9,.]{1,9} [kMGT]B that were allowed \(ulimit -v\); the tables hold the same figures\."
    "</p>\n"
)
_WITH = re.compile(r'<meta name="robusteval-made-with" content="([^"]*)">')
_SCRIPT = re.compile(r"<script\b([^>]*)>(.*?)</script>", re.DOTALL)
_CHART = ' type="application/json"'  # what the tag of a chart's data says; our own data have an id too
_PICTURE = re.compile(r'"data:image/svg\+xml;base64,[A-Za-z0-9+/=]*"')


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
    """Byte for byte; but where drawing packages of other versions are installed here, their drawings aside: then the
    page is not confirmed, as a script that is not compared may show anything."""
    if again == page:
        result.judge([], PAGE)
        return
    other = _WITH.search(page)
    if other is not None and other[1] != drawn_with and _words(again) == _words(page):
        result.leave(DRAWN)
    else:
        result.judge(["it is not what `robusteval report` makes of this run"], PAGE)


def _words(page: str) -> str:
    """The page without what drawing packages make: the charts' data, their still pictures, and the last script, which
    draws them. Our own scripts and their data stay, and the policy, but for the last script's hash, which has to be
    right."""
    scripts = list(_SCRIPT.finditer(page))
    parts, at = [], 0
    for script in scripts:
        tag, content = script.groups()
        parts.append(page[at : script.start(2)])
        if not _drawn(tag, content, script is scripts[-1]):
            parts.append(content)
        at = script.end(2)
    parts.append(page[at:])
    last = scripts[-1][2] if scripts else ""
    words = "".join(parts).replace(base64.b64encode(hashlib.sha256(last.encode()).digest()).decode(), "")
    return _UNDRAWN.sub("", _WITH.sub("", _PICTURE.sub('""', words)))


def _drawn(tag: str, content: str, is_last: bool) -> bool:
    """Whether a script is the drawing packages', and nothing in it ends its tag early."""
    if tag == _CHART:
        return "<" not in content
    return is_last and not tag and not any(end in content.lower() for end in ("</script", "<!--", "\0"))


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
