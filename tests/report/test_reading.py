"""The page as its readers use it: slider, tabs, tables, folds, pictures, marks, copying, paper."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from robusteval.record.run import Record
from robusteval.report import render
from robusteval.report.formats import marks
from tests.report.browser import Look, launched, needs_chromium

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, page: str) -> Path:
    path = tmp_path_factory.mktemp("read") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def look(browser: Browser, file: Path) -> Iterator[Look]:
    """The page on a wide screen; at the end it must have said and asked nothing."""
    with Look(browser, 1440) as look:
        look.open(file)
        yield look
        assert look.complaints == []


def column(page: Page, table: str, index: int) -> list[str]:
    rows = page.locator(f'table[aria-label^="{table}"] tbody tr')
    return [text.splitlines()[0] for text in rows.locator(f":nth-child({index})").all_inner_texts()]


def push(slider: Locator, key: str, times: int = 1) -> None:
    slider.focus()
    for _ in range(times):
        slider.press(key)


def test_the_first_screen_is_one_screen(look: Look) -> None:
    bottom = look.page.evaluate("document.querySelector('.answers').getBoundingClientRect().bottom")
    assert bottom <= 900
    assert look.page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_the_slider_moves_tiles_tables_classes_and_pictures(look: Look) -> None:
    page = look.page
    attacks, classes = "Attacks on the bare model, L\u221e", "No defence, L\u221e: per class"

    def state() -> tuple[str, list[str], list[str], str]:
        tile = page.locator('.card-value[data-live="linf worst"]')
        return (
            tile.inner_text(),
            column(page, attacks, 4),
            column(page, classes, 4),
            page.locator('.card [data-live="linf label"]').inner_text(),
        )

    page.locator("section#classes details").evaluate_all("all => all.forEach(part => { part.open = true })")
    slider, before = page.locator("#eps-0"), state()
    assert before[3].endswith("\u2264 8/255")
    push(slider, "Home")
    low = state()
    assert low[3].endswith("\u2264 1/255")
    assert float(low[0].split(" ")[0]) > float(before[0].split(" ")[0])
    assert low[1] != before[1]
    assert low[2] != before[2]
    page.locator(".reset:visible").click()
    assert state() == before
    assert slider.get_attribute("aria-valuetext") == "8/255"
    page.get_by_role("tab", name="L2").click()
    beyond = page.locator('.shot[data-norm="l2"].beyond')
    push(page.locator("#eps-1"), "Home")
    assert beyond.count() == page.locator('.shot[data-norm="l2"]').count() > 0
    push(page.locator("#eps-1"), "End")
    assert beyond.count() == 0


def test_tabs_answer_to_keys_and_attacks_light_up(look: Look) -> None:
    page = look.page
    page.locator("[role=tab]").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("[role=tab]").nth(1)).to_have_attribute("aria-selected", "true")
    expect(page.locator("#panel-0")).to_be_hidden()
    look.settle()
    panel = page.locator("#panel-1")
    coloured = panel.locator(".mark-line path[stroke='#0072B2']")
    expect(coloured).to_have_count(0)
    panel.get_by_role("button", name="DeepFool", exact=True).click()
    expect(coloured).to_have_count(1)
    panel.get_by_role("button", name="known models").click()
    expect(panel.locator(".mark-line path[stroke='#3B8EDE']")).to_have_count(1)


def test_columns_sort_and_long_tables_filter(look: Look) -> None:
    page = look.page
    table = "Attacks on the bare model, L\u221e"
    head = page.locator(f'table[aria-label="{table}"] thead th').nth(3)
    for direction in ("ascending", "descending"):
        head.locator("button.sort").click()
        assert head.get_attribute("aria-sort") == direction
        shown = [float(text.split(" ")[0]) for text in column(page, table, 4)]
        assert shown == sorted(shown, reverse=direction == "descending")
    page.locator("details", has_text=re.compile("values of \u03c1 adv")).locator("summary").click()
    card = page.locator(".table-card", has=page.locator('table[aria-label^="\u03c1 adv"]'))
    rows = card.locator("tbody tr:visible")
    every = card.locator("tbody tr").count()
    assert rows.count() == 10 < every
    card.get_by_role("button", name=f"Show all {every} rows").click()
    assert rows.count() == every
    card.get_by_role("searchbox").fill("square")
    assert 0 < rows.count() < every
    assert all("Square" in text for text in rows.all_inner_texts())


def test_words_are_defined_where_they_stand(look: Look) -> None:
    page = look.page
    page.get_by_role("button", name="Definition: Evaluation quality").first.click()
    shown = page.locator(".term:popover-open")
    expect(shown).to_contain_text("It is not a grade for the model.")
    page.keyboard.press("Escape")
    expect(shown).to_have_count(0)


def test_a_class_an_attack_and_a_point_show_their_pictures(look: Look) -> None:
    page = look.page
    shots = page.locator(".shot:visible")
    every = shots.count()
    button = page.locator("button.shows:visible").first
    counted = int(button.inner_text().split(" ")[0])
    button.click()
    assert shots.count() == counted < every
    expect(page.locator("#gallery-said")).to_contain_text(f"{counted} of {every} pictures")
    page.locator("#gallery-all").click()
    assert shots.count() == every
    points = page.locator("#hero-linf .mark-symbol.role-mark path")
    points.nth(points.count() // 2).click(force=True)
    expect(page.locator("#gallery-said")).to_contain_text("has taken by distance")


def test_one_picture_over_the_other(look: Look) -> None:
    shot = look.page.locator(".shot").first
    over = shot.locator(".over img").nth(1)
    assert over.evaluate("image => image.style.clipPath").startswith("inset(0px")
    push(shot.locator(".wipe input"), "Home")
    assert "100%" in over.evaluate("image => image.style.clipPath")


def test_marks_travel(look: Look, record: Record, tmp_path: Path) -> None:
    page = look.page
    box = page.locator(".mark input").first
    box.check()
    expect(page.locator("#marks-said")).to_have_text("1 marked")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export marks").click()
    path = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(path)
    assert path.name == "marks.json"
    chosen = marks.load(path, record)
    assert [record.gallery.index(picture) for picture in chosen.pictures] == [int(box.get_attribute("value") or -1)]
    assert json.loads(path.read_text())["schema"] == "robusteval-marks-1"
    assert 'id="marked"' in render(record, chosen)
    page.get_by_role("button", name="Clear marks").click()
    expect(page.locator("#marks-said")).to_have_text("0 marked")


def test_the_command_is_copied(look: Look) -> None:
    page = look.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button = page.locator(".first button.copy")
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == "robusteval verify ."


def test_a_link_opens_what_it_leads_to(look: Look) -> None:
    look.page.locator('.sure a[href="#findings"]').click()
    expect(look.page.locator("#findings")).to_be_in_viewport()


def test_folds_open_for_printing_and_close_again(look: Look) -> None:
    page = look.page
    closed = page.locator("details:not([open])")
    before = closed.count()
    assert before > 10
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert closed.count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert closed.count() == before


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_is_cut_on_paper(browser: Browser, file: Path, width: int) -> None:
    """Every fold and row is there, and no table is wider than the sheet."""
    with Look(browser, width) as look:
        page = look.open(file)
        page.set_viewport_size({"width": 690, "height": 1000})  # A4 without its margins, at 96 dots an inch
        page.emulate_media(media="print")
        wide = page.evaluate(
            "[...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth + 1)"
            ".map(t => t.getAttribute('aria-label'))"
        )
        assert wide == []
        assert page.locator("tr.more").evaluate_all(
            "rows => rows.every(row => getComputedStyle(row).display !== 'none')"
        )
        assert page.locator(".needs-script:visible").count() == 0
        assert page.locator("#panel-1 img.chart-static").is_visible()
