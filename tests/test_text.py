"""The gate for text, medium by medium: whatever goes in, what comes out is visible, short and of one line."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from typing import Any

import pytest
from jinja2 import Environment
from markupsafe import Markup

from robusteval import text
from robusteval.errors import ModelError
from robusteval.foreign import ForeignExit, words
from robusteval.report.charts.vega import plain
from tests.hostile_text import EVIL, HALF, MOST, clean

ORDINARY = [
    "", "fashion-cnn", "cat, dog", "na\u00efve \u4f60\u597d \U0001f600", "L\u221e at 8/255 \u2013 1\u202f000", "a\\b",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "x" * 300, "50 % [of 3]", "'quoted' \"twice\" <b>&amp;</b>",
]  # fmt: skip

MEDIA: dict[str, Callable[[str], Any]] = {
    "line": text.line,
    "name": text.as_name,
    "sentence": text.as_sentence,
    "csv": text.csv_cell,
    "markdown": text.markdown,
    "html": text.html,
    "chart": plain,
    "error": lambda said: ModelError(said).message,
    "hint": lambda said: ModelError("x", said).hint,
    "foreign": lambda said: words(RuntimeError(said)),
    "foreign-exit": lambda said: words(SystemExit(said)),
    "foreign-name": lambda said: words(type(said[:1000].replace("\0", "").replace("\ud800", ""), (Exception,), {})()),
}


@pytest.mark.parametrize("kind", [*EVIL, "half"])
@pytest.mark.parametrize("medium", MEDIA)
def test_nothing_gets_through(medium: str, kind: str) -> None:
    shown = str(MEDIA[medium](EVIL.get(kind, HALF)))
    assert clean(shown, lines=False)
    assert len(shown) <= MOST + 2 * text.CELL * (medium == "csv")
    assert "n" in shown or "x1b" in shown or medium == "chart"  # it is shown, and not dropped
    assert text.encodable(shown)


@pytest.mark.parametrize("said", ORDINARY)
def test_ordinary_text_stays_as_it_is(said: str) -> None:
    assert text.line(said) == text.as_name(said) == text.as_sentence(said) == text.csv_cell(said) == said
    assert text.html(said) == text.block(said) == said
    assert ModelError(said, said).message == ModelError(said, said).hint == said


@pytest.mark.parametrize("kind", EVIL)
@pytest.mark.parametrize("gate", [text.line, text.as_name, text.as_sentence, text.html])
def test_twice_is_as_once(gate: Callable[[str], str], kind: str) -> None:
    once = gate(EVIL[kind])
    assert gate(once) == once


def test_what_is_cut_says_how_long_it_was() -> None:
    assert text.as_name("n" * text.NAME) == "n" * text.NAME
    cut = text.as_name("n" * (text.NAME + 1))
    assert len(cut) == text.NAME
    assert cut.endswith("... (301 characters)")
    escapes = text.as_name("\x1b" * 200)  # 800 letters once they can be seen
    assert len(escapes) == text.NAME
    assert escapes.endswith("... (200 characters)")


def test_escapes_are_those_of_python() -> None:
    assert text.line("\x1b\n\t\r\x9b\u202e\ud800\U000e0041") == r"\x1b\n\t\r\x9b\u202e\ud800\U000e0041"


def test_a_block_keeps_its_lines_and_tabs_and_nothing_else() -> None:
    assert text.block("a\n\tb\x1b[2J\r\n\u2028c") == "a\n\tb\\x1b[2J\\r\n\\u2028c"
    assert text.block("a\n" * 20, 10).endswith("... (40 characters)\n")
    assert clean(text.block("\t".join(EVIL.values())).replace("\t", ""))


FORMULAE = [
    "=1+1", "+1", "-1", "@sum", " =1", "\u00a0=1", "\t=1", "\r=1", "\n=1", "\uff1d1+1", "\uff0b1", "\uff0d1",
    "\uff20sum", "\u3000=1", "\n\n+x",
]  # fmt: skip


@pytest.mark.parametrize("said", FORMULAE)
def test_a_formula_is_text_to_a_spreadsheet(said: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow([text.csv_cell(said), "x"])
    ((cell, beside),) = csv.reader(io.StringIO(buffer.getvalue()))
    assert cell.startswith("'")
    assert beside == "x"
    assert buffer.getvalue().count("\n") == 1


@pytest.mark.parametrize("value", [None, True, 0, -1.5, 10**9])
def test_numbers_stay_numbers(value: object) -> None:
    assert text.csv_cell(value) is value
    assert text.html(value) is value


def test_markdown_stays_text() -> None:
    assert text.markdown("a | *b* <i> [c](d) `e` #f\n# g") == r"a \| \*b\* \<i\> \[c\](d) \`e\` \#f \# g"


def test_a_template_shows_escapes_and_keeps_what_is_ours() -> None:
    page = Environment(autoescape=True, finalize=text.html).from_string("{{ evil }}|{{ ours }}|{{ picture }}")
    picture = "data:image/png;base64," + "A" * (2 * text.LINE)
    shown = page.render(evil="<b>\x1b\u202e", ours=Markup("<i>\x1b</i>"), picture=picture)
    assert shown == f"&lt;b&gt;\\x1b\\u202e|<i>\x1b</i>|{picture}"
    assert len(str(text.html(picture + '"><script>'))) <= text.LINE


def test_an_exception_whose_text_fails_has_its_name() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise ForeignExit

    assert words(MuteError()) == "MuteError"


@pytest.mark.parametrize("kind", EVIL)
def test_what_others_print_goes_through_the_gate(kind: str) -> None:
    inner = io.StringIO()
    stream = text.Gated(inner)
    print(EVIL[kind][:10_000], file=stream, flush=True)
    assert clean(inner.getvalue())
    assert inner.getvalue()
    nowhere = text.Gated(None)
    assert nowhere.write("x") == 1
    assert nowhere.writable()
    nowhere.flush()
    with pytest.raises(OSError, match="fileno"):
        nowhere.fileno()
