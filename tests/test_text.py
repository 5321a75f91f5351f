"""The gate for text, medium by medium: whatever goes in, what comes out is visible, short and of one line."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jinja2 import Environment
from markupsafe import Markup

from robusteval import text
from robusteval.assessment.results import derived
from robusteval.errors import ModelError
from robusteval.foreign import ForeignExit, words
from robusteval.record.run import Column, Curve, Result
from robusteval.report.charts.vega import plain
from robusteval.testing import full_record
from robusteval.verify.parts.result import Verification
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


class Repeating:
    """A metric that repeats a name of the data in every place of a table and of a chart."""

    name = distribution = "test.repeating"

    def __init__(self, said: str) -> None:
        self.said = said

    @property
    def plugin(self) -> Any:
        return lambda: self

    def compute(self, record: object) -> list[Result]:
        said, tags = self.said, {self.said: self.said}
        table = Result(self.name, said, "table", said, said, columns=[Column("a", said, said)], rows=[[said, 1]])
        table.columns = [*table.heads(), Column("b", said)]
        return [table, Result(self.name, "c", "curves", said, tags=tags, curves=[Curve(said, [], said, tags)])]  # type: ignore[arg-type]


class Signed(Repeating):
    """One that signs its result with another name."""

    def compute(self, record: object) -> list[Result]:
        return [Result("another", self.said, "scalar", self.said)]


def texts_in(value: Any) -> Iterator[str]:
    """Every text in it, names of fields and keys too."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        yield from texts_in(vars(value))
    elif isinstance(value, dict):
        yield from texts_in([*value.keys(), *value.values()])
    elif isinstance(value, list):
        for part in value:
            yield from texts_in(part)


def verified(said: str) -> list[str]:
    """What a verification says of it, in whichever way it came there."""
    result, part = Verification(), Verification()
    part.judge([said], said)
    part.leave(said)
    part.notes.append(said)
    part.notes.insert(0, said)
    part.failures += [said]
    part.failures.extend([said])
    result.add(part, said)
    return [*part.failures, *part.notes, *part.left, *result.failures, *result.notes, *result.left]


@pytest.mark.parametrize("kind", [kind for kind in EVIL if not kind.startswith("long")])
def test_names_of_files_in_tables_of_metrics_and_in_sentences_of_verify(kind: str) -> None:
    record, evil = full_record(), EVIL[kind]
    results, findings = derived([Repeating(evil)], record)
    assert len(results) == 2
    assert not findings
    record.model.name = record.data.name = record.suite.name = evil
    said = [*texts_in(results), *verified(evil), *record.summary().split("\n")]
    assert sum("net" in text_said for text_said in said) >= 20
    for text_said in said:
        assert clean(text_said, lines=False)
        assert text.encodable(text_said)
    assert all(len(sentence) <= text.SENTENCE for sentence in verified(EVIL["long-esc"]))


@pytest.mark.parametrize("said", [EVIL["esc"], HALF, "n" * 10_000])
def test_what_a_failed_metric_says(said: str) -> None:
    (finding,) = derived([Repeating(HALF)], full_record())[1]
    assert "cannot be saved" in str(finding.evidence["error"])
    offered = Signed(said)
    (finding,) = derived([offered], full_record())[1]
    assert clean(str(finding.evidence["error"]), lines=False)
    assert text.encodable(str(finding.evidence["error"]))
