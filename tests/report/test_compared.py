"""The pages of several models and of finished runs, as their readers use them: on a screen, on a phone, on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from robusteval.finished.paired.document import Paired
from tests.report.browser import Look, launched, needs_chromium

pytestmark = [pytest.mark.browser, needs_chromium]

PAGES = ("several", "paired")
# what reaches further right than the window and lies in nothing that scrolls: a reader never sees it
CUT = """() => [...document.querySelectorAll('main *, footer *, header *')].filter(function (part) {
  if (part.closest('.table-box, .hidden, [popover], svg, nav, pre') || !part.getClientRects().length) { return false; }
  return part.getBoundingClientRect().right > document.documentElement.clientWidth + 1;
}).map((part) => part.outerHTML.slice(0, 120))"""
TOO_WIDE = """() => [...document.querySelectorAll('table, img, figure')].filter(
  (part) => part.getBoundingClientRect().right > innerWidth + 1
).map((part) => part.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as made:
        yield made


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, several_page: str, paired_page: str) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("compared")
    for name, html in zip(PAGES, (several_page, paired_page), strict=True):
        (folder / f"{name}.html").write_text(html, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in PAGES}


@pytest.fixture
def look(browser: Browser, files: dict[str, Path], request: pytest.FixtureRequest) -> Iterator[Look]:
    """A page on a wide screen; at the end it must have said and asked nothing."""
    with Look(browser, 1440) as look:
        look.open(files[request.param])
        yield look
        assert look.complaints == []


def shown(page: Page, table: str, index: int) -> list[str]:
    """A column of a table, without what stands below a figure."""
    cells = page.locator(f'table[aria-label^="{table}"] tbody tr > :nth-child({index})')
    texts: list[str] = cells.evaluate_all("all => all.map(cell => cell.firstChild.textContent)")
    return texts


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_nothing_is_cut_on_a_screen(
    browser: Browser, files: dict[str, Path], name: str, width: int, scheme: str
) -> None:
    with Look(browser, width, scheme) as look:
        page = look.open(files[name])
        look.unfold()
        assert page.evaluate(CUT) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("figure.chart:not([data-drawn='yes'])").count() == 0
        assert look.complaints == []


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_cut_on_paper(browser: Browser, files: dict[str, Path], name: str) -> None:
    """Every fold and every row is there, on white even from a dark screen, and nothing is wider than the sheet."""
    with Look(browser, 1440, "dark") as look:
        page = look.open(files[name])
        page.set_viewport_size({"width": 690, "height": 1000})  # A4 without its margins, at 96 dots an inch
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.evaluate(TOO_WIDE) == []
        assert page.locator("details:not([open])").count() == 0
        assert page.locator("tr.more").evaluate_all(
            "rows => rows.every(row => getComputedStyle(row).display !== 'none')"
        )
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        pictures = page.locator("img.chart-static")
        assert pictures.evaluate_all("all => all.every(picture => picture.getClientRects().length > 0)")
        assert look.complaints == []


@pytest.mark.parametrize("look", ["paired"], indirect=True)
def test_tests_sort_by_what_changed(look: Look, paired: Paired) -> None:
    page, pair = look.page, paired.pairs[0]
    table = f"{pair.second} against {pair.first}"
    head = page.locator(f'table[aria-label^="{table}"] thead th').nth(3)
    assert len(shown(page, table, 4)) == len(pair.tests) > 2
    for direction in ("ascending", "descending"):
        head.locator("button.sort").click()
        assert head.get_attribute("aria-sort") == direction
        changes = [float(text) for text in shown(page, table, 4)]
        assert changes == sorted(changes, reverse=direction == "descending")
    assert min(changes) < -4, "the release that lost images is there"


@pytest.mark.parametrize("look", ["paired"], indirect=True)
def test_images_that_changed_unfold_and_filter(look: Look, paired: Paired) -> None:
    page, pair = look.page, paired.pairs[0]
    title = f"Lost by {pair.second} in L\u221e"
    fold = page.locator("details", has=page.locator("summary", has_text=title))
    rows = fold.locator("tbody tr:visible")
    expect(fold.locator("table")).to_be_hidden()
    fold.locator("summary").focus()
    page.keyboard.press("Enter")
    expect(fold.locator("table")).to_be_visible()
    every = fold.locator("tbody tr").count()
    assert every == sum(image.norm == "linf" and image.went == "lost" for image in pair.changed)
    assert rows.count() == 10 < every
    fold.get_by_role("button", name=f"Show all {every} rows").click()
    assert rows.count() == every
    wanted = f"{pair.changed[0].sample} ("
    fold.get_by_role("searchbox").fill(wanted)
    assert 0 < rows.count() < every
    assert all(wanted in text for text in rows.all_inner_texts())
    page.keyboard.press("Escape")
    fold.locator("summary").click()
    expect(fold.locator("table")).to_be_hidden()


@pytest.mark.parametrize("look", ["several"], indirect=True)
def test_models_sort(look: Look) -> None:
    page = look.page
    head = page.locator("#models thead th")
    names = page.locator("#models tbody th")
    before = names.all_inner_texts()
    assert len(before) == 3
    head.first.locator("button.sort").click()
    assert names.all_inner_texts() == sorted(before)
    head.first.locator("button.sort").press("Enter")
    assert names.all_inner_texts() == sorted(before, reverse=True)


@pytest.mark.parametrize("look", ["several"], indirect=True)
def test_charts_of_single_attacks_unfold(look: Look) -> None:
    fold = look.page.locator("#attacks details")
    charts = fold.locator("figure.chart")
    assert charts.count() > 4
    expect(charts.first).to_be_hidden()
    fold.locator("summary").focus()
    look.page.keyboard.press("Enter")
    expect(charts.first).to_be_visible()
    expect(fold.locator("figure[data-drawn='yes']")).to_have_count(charts.count())


def test_what_is_cut_is_seen(browser: Browser, files: dict[str, Path]) -> None:
    """That the tests above can fail."""
    with Look(browser, 390) as look:
        page = look.open(files["paired"])
        page.evaluate("document.querySelector('h1').style.width = '600px'")
        assert page.evaluate(CUT) != []
        page.evaluate("document.querySelector('table').style.width = '2000px'")
        assert page.evaluate(TOO_WIDE) != []
