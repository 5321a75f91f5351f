"""The page in a real browser: it draws, it runs nothing that was injected, it asks nobody for anything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.report.browser import Look, launched, needs_chromium

pytestmark = [pytest.mark.browser, needs_chromium]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as one:
        yield one


@pytest.fixture(scope="module")
def files(
    tmp_path_factory: pytest.TempPathFactory, page: str, hostile_page: str, several_page: str, hostile_several: str
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    pages = {"plain": page, "hostile": hostile_page, "several": several_page, "hostile-several": hostile_several}
    made = {name: folder / f"{name}.html" for name in pages}
    for name, path in made.items():
        path.write_text(pages[name], encoding="utf-8")
    return made


@pytest.mark.parametrize("name", ["plain", "hostile", "several", "hostile-several"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_draws_and_stays_silent(browser: Browser, files: dict[str, Path], name: str, width: int, scheme: str) -> None:
    with Look(browser, width, scheme) as look:
        page = look.open(files[name])
        look.unfold()
        for tab in page.locator("[role=tab]").all():
            tab.click()
            look.settle()
        charts = page.locator("figure.chart").count()
        assert charts >= 8
        assert page.locator("figure.chart[data-drawn=yes] .chart-live svg path").count() > 4 * charts
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("[...document.images].filter(i => i.complete && i.naturalWidth === 0).length") == 0
        assert look.complaints == []


def test_legend_and_tooltip_answer(browser: Browser, files: dict[str, Path]) -> None:
    with Look(browser) as look:
        page = look.open(files["hostile"])
        look.unfold()
        chart = page.locator("figure.chart", has=page.locator(".role-legend")).first
        marks = chart.locator(".mark-symbol.role-mark path")
        marks.nth(marks.count() // 3).hover(force=True)
        expect(page.locator("#vg-tooltip-element.visible")).to_contain_text("window.pwned")
        faint = chart.locator(".mark-line path[opacity='0.1']")
        assert faint.count() == 0
        chart.locator(".role-legend-label text").first.click(force=True, position={"x": 5, "y": 5})
        expect(faint).not_to_have_count(0)
        assert page.evaluate("typeof window.pwned") == "undefined"
        assert look.complaints == []


def test_the_policy_stops_an_injected_script(browser: Browser, files: dict[str, Path], tmp_path: Path) -> None:
    injected = tmp_path / "injected.html"
    text = files["plain"].read_text(encoding="utf-8")
    injected.write_text(text.replace("</main>", "<script>window.pwned=1</script></main>"), encoding="utf-8")
    with Look(browser) as look:
        assert look.open(injected).evaluate("typeof window.pwned") == "undefined"
        (refused,) = look.complaints
        assert "Content Security Policy" in refused


def test_without_scripts_the_still_pictures_show(browser: Browser, files: dict[str, Path]) -> None:
    with Look(browser, scripts=False) as look:
        look.page.goto(files["plain"].as_uri())
        look.page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
        pictures = look.page.locator("img.chart-static")
        assert pictures.count() >= 9
        for place in range(pictures.count()):
            expect(pictures.nth(place)).to_be_visible()
            assert pictures.nth(place).evaluate("image => image.naturalWidth") > 0
