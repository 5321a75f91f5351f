"""What the page says, and that it is the same page each time."""

from __future__ import annotations

import base64
import copy
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from robusteval.record import store
from robusteval.record.run import Record
from robusteval.report import render
from robusteval.report.charts.pieces import Value
from robusteval.report.formats import png
from robusteval.report.formats.embed import script_json
from robusteval.report.formats.numbers import budget, interval, norm_title, number, percent
from robusteval.report.sections import headline
from robusteval.report.sections.budgets import budgets
from robusteval.report.summary import HEADINGS, render_markdown, short_table
from tests import records
from tests.report.conftest import EVIL, hostile
from tests.sure import sure


class Tags(HTMLParser):
    """All tags with their attributes, and the text of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self._open: tuple[str | None] | None = None  # (the type of the script that is open,)
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._open = (dict(attrs).get("type"),) if tag == "script" else None

    def handle_endtag(self, tag: str) -> None:
        self._open = None

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.scripts.append((*self._open, data))


def without_scripts(page: str) -> str:
    return re.sub(r"<script.*?</script>|<style.*?</style>|data:image[^\"]*", "", page, flags=re.DOTALL)


def first_screen(page: str) -> str:
    """What is read there: its words, a line each, and the class that says how it looks."""
    section = page[page.index('<section id="verdict"') :].partition("</section>")[0]
    return re.sub(r'<section id="verdict" class="([^"]+)">|<[^>]+>', r"\n\1", section)


def test_the_same_record_gives_the_same_page(record: Record, page: str) -> None:
    assert render(store.from_json(store.to_json(record))) == page


def test_every_section_is_there(page: str) -> None:
    found = re.findall(r'<section id="([^"]+)"', page)
    expected = (
        "verdict accuracy references defences detectors findings gallery classes label-next clever cost others "
        "coverage standards provenance definitions"
    )
    assert found == expected.split()


@pytest.mark.parametrize(
    "text",
    ["Evaluation quality", "Neither defence holds", "Wins that survive 8 bits",
     "MemoryError: pairs of 784 pixels",
     "slower than an hour", "the loss became NaN", "robusteval verify RUN", "CPUExecutionProvider", "mean [0.286]",
     "56" * 32,
     "made as strong is", "masked, as exact gradients report it", "12" * 32,
     "L1, L0: this report says nothing", "Sum of all", "41.5", "95 %: 40 to 43", "acme.sum", "points"],
)  # fmt: skip
def test_the_page_says(page: str, text: str) -> None:
    assert text in without_scripts(page)


def test_nothing_of_nan_or_none_is_shown(page: str) -> None:
    text = without_scripts(page).replace("the loss became NaN", "")
    assert not re.search(r">\s*(nan|NaN|None|inf)\b|\bnan %", text)


def test_seconds_come_from_the_times_alone(record: Record, page: str) -> None:
    other = copy.deepcopy(record)
    other.times.cells_s = dict.fromkeys(other.times.cells_s, 4242.0)
    assert "1 h 10 min" in render(other)
    assert "1 h 10 min" not in page


def test_an_inconclusive_verdict_is_shouted(record: Record) -> None:
    other = copy.deepcopy(record)
    assert other.verdict is not None
    other.verdict.status, other.verdict.grade = "inconclusive", "F"
    page = render(other)
    assert '<p class="word">INCONCLUSIVE</p>' in page
    assert '<section id="accuracy" class="dim">' in page
    assert re.search(r"\d\s%", first_screen(render(record)))
    assert not re.search(r"\d\s%", first_screen(page)), "no figure stands beside it"
    other.verdict = None
    assert "This run holds figures but no judgement on them." in first_screen(render(other))


def test_no_oblivious_figure_without_the_adaptive_one() -> None:
    made = records.make(40)
    made.cells = [cell for cell in made.cells if cell.knowledge != "adaptive"]
    page = without_scripts(render(records.with_results(made)))
    assert "withheld: no adaptive attack finished" in page
    assert "as oblivious attacks grow stronger" not in page
    assert not re.search(r'id="accuracy-l2-[1-9]', page)
    assert "Worth unknown: Denoiser, Logit odds" in first_screen(page)


def test_a_bare_record_renders() -> None:
    made = records.make(20)
    made.cells, made.results, made.gallery, made.findings, made.verdict, made.witnesses = [], [], [], [], None, None
    made.pipelines = made.pipelines[:1]
    page = render(made)
    assert "No attack finished: nothing is known about robustness." in page
    assert "No figures were derived" in page


def test_the_policy_names_exactly_the_scripts_that_are_there(page: str) -> None:
    tags = Tags(page)
    policy = (
        next(attrs["content"] for tag, attrs in tags.tags if attrs.get("http-equiv") == "Content-Security-Policy") or ""
    )
    named = re.findall(r"'sha256-([^']+)'", policy)
    runnable = [text for kind, text in tags.scripts if kind is None]
    assert named == [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in runnable]
    assert len(named) == 2
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_nothing_comes_from_outside(page: str) -> None:
    for tag, attrs in Tags(page).tags:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:image/")), (tag, name, value[:80])


def test_hostile_names_stay_text(hostile_page: str) -> None:
    tags = Tags(hostile_page)
    assert [kind for kind, _ in tags.scripts].count(None) == 2
    assert not any(name.startswith("on") for _, attrs in tags.tags for name in attrs)
    assert all((attrs.get("src") or "data:").startswith("data:") for tag, attrs in tags.tags if tag == "img")
    assert "{{7*7}}" in hostile_page
    assert "window.pwned=1</script>" not in hostile_page
    assert hostile_page.count("not a PNG image, left out") == 2
    for svg in re.findall(r"data:image/svg\+xml;base64,([^\"]+)", hostile_page):
        text = base64.b64decode(svg).decode()
        assert "<script" not in text
        assert "<img" not in text


def test_json_cannot_end_its_tag() -> None:
    text = script_json({"a": EVIL + "<!--"})
    assert "<" not in text
    assert "\u2028" not in text


def test_only_pngs_pass() -> None:
    good = records.make(10).gallery[0].clean_png
    raw = base64.b64decode(good)
    assert png.png_uri(good) == "data:image/png;base64," + good
    broken = raw[:40] + bytes([raw[40] ^ 1]) + raw[41:]
    for bad in (b"", b"<svg/>", raw[:-1], raw + b"<script>", broken, raw[:8]):
        assert png.png_uri(base64.b64encode(bad).decode()) is None
    assert png.png_uri('"><script>') is None


def test_numbers_are_written_the_same_everywhere() -> None:
    assert (percent(0.8317), percent(None), percent(float("nan"))) == ("83.2 %", "\u2013", "\u2013")
    assert (budget(8 / 255, "linf"), budget(0.1, "linf"), budget(0.5, "l2"), budget(8, "linf", 255)) == (
        "8/255",
        "0.1",
        "0.5",
        "8",
    )
    assert (number(1234567), number(0.000123), number(2.0)) == ("1\u202f234\u202f567", "0.000123", "2")
    assert (interval(0.1, 0.25), interval(None, 0.2)) == ("10.0 to 25.0 %", "")


def test_the_short_table(record: Record) -> None:
    rows = short_table(record)
    assert all(len(row) == len(HEADINGS) for row in rows)
    assert ("Distillation", "no adaptive attack finished", "L2", "\u2013", "\u2013") in rows
    worst = [row for row in rows if row[:3] == ("No defence", "worst case", "L2")]
    assert len(worst) == 1
    assert worst[0][3].endswith("% at 0.5")


def test_markdown_stays_text(record: Record) -> None:
    assert "| No defence | worst case | L2 |" in render_markdown(record)
    text = render_markdown(hostile())
    assert "<script>" not in text.replace("\\<", "")
    assert all(line.count("|") - line.count("\\|") == 6 for line in text.splitlines() if line.startswith("|"))


def test_medians_of_both_attackers_stand_with_their_intervals(record: Record) -> None:
    table = sure(headline.defenses(record))
    shown = dict(zip(table.titles, table.rows[0], strict=True))
    for who in ("oblivious", "adaptive"):
        cell = shown[f"Median distance, {who}"]
        assert isinstance(cell, Value)
        assert " to " in cell.below


def test_the_first_screen_answers_in_order(page: str) -> None:
    shown = first_screen(page)
    asked = [
        *("LeNet Fashion-MNIST", "lenet-fashion.onnx, 10 classes", "80 images of Fashion-MNIST test", "standard 1"),
        *("1 January 2026", "How robust is the model?", "Partly robust within L\u221e", "Known models under the same"),
        *("How sure is that?", "Evaluation quality", "not of the model", "What breaks it first?", "leaves"),
        *("What would help?", "against an attacker who knows it", "How do I check this?", "robusteval verify ."),
    ]
    place = 0
    for text in asked:
        found = shown.find(text, place)
        assert found >= place, f"{text} does not stand after what comes before it"
        place = found


def test_the_grade_is_named_a_grade_of_the_evaluation(page: str) -> None:
    assert "trust" not in first_screen(page).lower()
    assert page.count('class="quality-grade"') == 1


def test_an_inconclusive_run_has_no_good_word_anywhere_on_the_first_screen(record: Record) -> None:
    other = copy.deepcopy(record)
    sure(other.verdict).status, sure(other.verdict).grade = "inconclusive", "D"
    for result in other.results:
        if result.tags.get("measure") == "robust-accuracy":
            result.value, result.low, result.high = 0.99, 0.97, 1.0
    shown = first_screen(render(other))
    assert "level-inconclusive" in shown
    assert not re.search(r"Robust within|\bhelps?\b against|9[79]", shown)


def test_what_follows_the_slider_starts_with_the_table(record: Record, page: str) -> None:
    for norm in ("l2", "linf"):
        found = sure(budgets(record, norm))
        for key, texts in found.live.items():
            assert len(texts) == len(found.stops), key
        table = sure(headline.attacks(record, norm, slides=True))
        for row in table.rows:
            cell = row[3]
            assert isinstance(cell, Value)
            assert cell.live.split(" ")[0] == norm
            assert found.live[cell.live.split(" ")[1]][found.start] == [cell.text, cell.below]
        assert f"Accuracy under attack, {norm_title(norm)} \u2264 {found.now}" in page


def test_what_is_folded_says_its_outcome(page: str) -> None:
    folded = re.findall(r"<summary>(.*?)</summary>", page)
    assert any(re.fullmatch(r"\d+ values of \u03c1 adv: DeepFool [\d.]+, worst case [\d.]+", line) for line in folded)
    assert any("attacked by someone who knows it: L\u221e 8/255:" in line for line in folded)


def test_captions_are_said_once(page: str) -> None:
    text = without_scripts(page)
    assert text.count("never quote it alone") == 0
    assert text.count("Read it from left to right") <= 1
    assert text.count("The dotted line is what the same attacks reach") == 1


def test_a_record_of_the_first_version_renders_and_claims_nothing() -> None:
    old = store.load(Path(__file__).parents[1] / "record" / "record-1.json")
    page = render(old)
    assert "level-inconclusive" in page
    assert store.digest(old) in page
